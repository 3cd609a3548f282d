"""The report's folder: whose it is.

Nothing of anybody else's is ever replaced, removed or taken along.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from ablate.errors import StoreError
from ablate.reporting.pages.folder import MARK, claim_folder, digest_of, first_file, read_mark
from ablate.reporting.pages.html import page
from ablate.reporting.pages.write import write_report

RUN_ID = "0123456789abcdef0123456789abcdef"
UNMARKED = f"""# Which way of transferring works?

- 2 arms x 1 seed = 2 trials: 2 complete.

## Arms

| arm | seeds | val macro F1 |
| --- | --: | --: |
| [`freeze_depth=-1`](cards/freeze_depth--1.md) ★ | 1 of 1 | 0.839 |
| [`freeze_depth=all`](cards/freeze_depth-all.md) ◆ | 1 of 1 | 0.779 |

![Val macro F1 by freeze_depth](figures/axis_freeze_depth.svg)

As tables: `trials.csv`, `arms.csv`.

## How to reproduce

- MLflow: experiment `GRID`, parent run `{RUN_ID}`, study `0123456789ab`

| arm | seed | MLflow run | trial |
| --- | --: | --- | --- |
| freeze_depth=-1 | 0 | `{RUN_ID}` | `aaaaaaaaaaaaaaaa` |
| freeze_depth=all | 0 | `{RUN_ID}` | `bbbbbbbbbbbbbbbb` |
"""
"""The README of a report from before there were marks, cut to what such a report is known by."""
TRIALS = """arm,arm_id,trial_id,seed,state
freeze_depth=-1,c,aaaaaaaaaaaaaaaa,0,complete
freeze_depth=all,d,bbbbbbbbbbbbbbbb,0,complete
"""
SMALL = {"augment": ("none", "light")}
OWN = {
    "README.md": "my own words",
    "cards/mine.md": "a card I wrote",
    "figures/logo.png": "logo",
    "private.txt": "private",
    ".env": "TOKEN=1",
}


def fill(folder: Path, files: dict[str, str]) -> dict[Path, bytes]:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return contents(folder)


def fill_unmarked(folder: Path, *, grid_name: str = "flowers") -> str:
    """Put a report from before there were marks into a folder; return its README."""
    readme = UNMARKED.replace("GRID", grid_name)
    fill(
        folder,
        {
            "README.md": readme,
            "report.html": page(readme, defaultdict(bytes)),
            "trials.csv": TRIALS,
            "arms.csv": "arm\n",
            "cards/freeze_depth--1.md": "card",
            "cards/freeze_depth-all.md": "card",
            "cards/champion.md": "card",
            "figures/axis_freeze_depth.svg": "<svg/>",
            "figures/axis_freeze_depth.png": "drawn",
        },
    )
    return readme


def contents(folder: Path) -> dict[Path, bytes]:
    return {
        path.relative_to(folder): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def claim(out: Path, *, grid_name: str = "flowers", **others: Path):
    return claim_folder(
        out, grid_name=grid_name, others={"ABLATE_HOME": others["home"]} if others else {}
    )


def refusal(out: Path, *, grid_name: str = "flowers", **others: Path) -> str:
    with pytest.raises(StoreError) as caught:
        claim(out, grid_name=grid_name, **others)
    return str(caught.value)


@pytest.fixture(scope="module")
def small(build):
    return build(axes=SMALL)


@pytest.fixture
def report(small, tmp_path) -> Path:
    """A folder with a report in it."""
    write_report(small.study, predictions=small.predictions, out=tmp_path / "report")
    return tmp_path / "report"


@pytest.mark.parametrize(
    "name", [*OWN, "deep/er/notes.txt", "cards/.hidden", "trials.csv", "report.html"]
)
def test_a_folder_that_holds_a_file_of_somebodys_is_refused_and_stays(
    tmp_path, small, name: str
) -> None:
    out = tmp_path / "docs"
    before = fill(out, {name: OWN.get(name, "mine")})
    expected = (
        f"the report folder must be empty or hold an earlier report of ablate, {out} holds {name} "
        "and no report; name another report folder"
    )
    assert refusal(out) == expected
    with pytest.raises(StoreError) as caught:
        write_report(small.study, predictions=small.predictions, out=out)
    assert str(caught.value) == expected
    assert contents(out) == before
    assert {path.name for path in out.iterdir()} == {Path(name).parts[0]}


@pytest.mark.parametrize("make", ["nothing", "empty", "folders", "litter"])
def test_a_folder_that_holds_nothing_is_taken(tmp_path, make: str) -> None:
    out = tmp_path / "a" / "report"
    if make != "nothing":
        out.mkdir(parents=True)
    if make == "folders":
        (out / "cards" / "old").mkdir(parents=True)
    if make == "litter":
        fill(out, {".gitkeep": "", ".DS_Store": "x"})
    assert claim(out).files == {}
    assert read_mark(out) is not None
    fill(out, {"notes.md": "written while it trained"})
    assert claim(out).grid == "flowers"


def test_a_readme_that_quotes_a_report_is_nobodys_report(tmp_path) -> None:
    """The text of a report in one's own README, even beside its tables, is no report.

    Its page does not hold the same words.
    """
    quoted = fill_unmarked(tmp_path / "edited")
    for number, files in enumerate(
        [{}, {"trials.csv": "arm,arm_id,trial_id,seed,state\n"}, {"report.html": "<!doctype html>"}]
    ):
        out = tmp_path / str(number)
        fill(out, {"README.md": f"# My project\n\n{quoted}", **files})
        assert read_mark(out) is None
    out = tmp_path / "edited"
    (out / "README.md").write_text(f"{quoted}\nMy own remark.\n")
    assert refusal(out).endswith("holds README.md and no report; name another report folder")


def test_a_report_from_before_there_were_marks_is_known_as_ours(tmp_path) -> None:
    out = tmp_path / "report"
    fill_unmarked(out)
    written = {path.as_posix() for path in contents(out)}
    assert set(claim(out).files) == written
    (out / MARK).unlink()
    fill(out, {"notes.md": "mine", "cards/mine.md": "mine", "figures/logo.png": "mine"})
    assert set(claim(out).files) == written


@pytest.mark.slow
def test_a_report_of_another_grid_is_refused(report) -> None:
    expected = (
        f"the report folder must hold no report of another grid, {report} holds that of 'flowers', "
        "not of 'tulips'; name another report folder"
    )
    assert refusal(report, grid_name="tulips") == expected
    (report / MARK).unlink()
    shutil.rmtree(report)
    fill_unmarked(report, grid_name="textile")
    assert "holds that of 'textile', not of 'flowers'" in refusal(report)


@pytest.mark.slow
def test_a_report_again_removes_what_it_wrote_and_nothing_else(report, small, build) -> None:
    fill(
        report,
        {
            "notes.md": "mine",
            "cards/mine.md": "mine",
            "figures/logo.png": "mine",
            "cards/deep/old.md": "mine",
        },
    )
    kept = {
        name: (report / name).read_bytes()
        for name in ("notes.md", "cards/mine.md", "figures/logo.png", "cards/deep/old.md")
    }
    edited, stale = sorted(path for path in (report / "cards").glob("augment*.md"))
    edited.write_text("I wrote something here.")
    other = build(axes={"lr_ratio": (0.1, 1.0), "freeze_depth": (-1,)})
    paths = write_report(other.study, predictions=other.predictions, out=report)
    assert not stale.exists() and not (report / "figures" / "axis_augment.svg").exists()
    assert edited.read_text() == "I wrote something here."
    assert {name: (report / name).read_bytes() for name in kept} == kept
    mine = {Path(name) for name in kept} | {edited.relative_to(report)}
    assert set(contents(report)) == {path.relative_to(report) for path in paths.files} | mine


@pytest.mark.slow
def test_a_page_that_was_changed_by_hand_is_kept_beside_the_new_one(report, small, caplog) -> None:
    whole = (report / "README.md").read_bytes()
    for number, name in enumerate(["README.md.edited", "README.md.edited2"]):
        (report / "README.md").write_text(f"My conclusion {number}.")
        write_report(small.study, predictions=small.predictions, out=report)
        assert (report / name).read_text() == f"My conclusion {number}."
        assert (
            f"{report / 'README.md'} was changed by hand since a report wrote it; it is kept as "
            f"{name}" in caplog.messages
        )
    assert (report / "README.md").read_bytes() == whole
    (report / "trials.csv").write_bytes(
        (report / "trials.csv").read_bytes().replace(b"\n", b"\r\n")
    )  # as a version control may do
    write_report(small.study, predictions=small.predictions, out=report)
    assert not (report / "trials.csv.edited").exists()


@pytest.mark.slow
def test_a_file_of_ones_own_in_the_way_is_refused(report, small) -> None:
    mark = json.loads((report / MARK).read_text())
    del mark["files"]["cards/champion.md"]
    (report / MARK).write_text(json.dumps(mark))
    before = contents(report)
    with pytest.raises(StoreError) as caught:
        write_report(small.study, predictions=small.predictions, out=report)
    card = report / "cards" / "champion.md"
    assert (
        str(caught.value)
        == f"a report must not replace what it did not write, {card} is such a file; move it, or "
        "name another report folder"
    )
    assert {**contents(report), Path(MARK): b""} == {**before, Path(MARK): b""}


@pytest.mark.slow
def test_links_are_never_followed_nor_replaced(report, small, tmp_path) -> None:
    mine = tmp_path / "mine.md"
    mine.write_text("mine")
    readme = report / "README.md"
    readme.unlink()
    readme.symlink_to(mine)
    with pytest.raises(StoreError) as caught:
        write_report(small.study, predictions=small.predictions, out=report)
    assert (
        str(caught.value)
        == f"a report must write files of its own, {readme} is a link; remove the link, or name "
        "another report folder"
    )
    assert readme.is_symlink() and mine.read_text() == "mine"
    readme.unlink()
    os.link(mine, readme)  # another name of one's own file
    write_report(small.study, predictions=small.predictions, out=report)
    assert mine.read_text() == "mine" and readme.read_text() != "mine"


@pytest.mark.slow
def test_a_folder_in_the_form_of_a_link_is_taken_for_what_it_leads_to(small, tmp_path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    write_report(small.study, predictions=small.predictions, out=tmp_path / "link")
    assert (tmp_path / "disk" / "README.md").is_file()
    fill(tmp_path / "docs", OWN)
    (tmp_path / "other").symlink_to(tmp_path / "docs")
    assert "holds .env and no report" in refusal(tmp_path / "other")


@pytest.mark.parametrize("make", ["file", "below a file", "leads nowhere"])
def test_a_folder_that_cannot_be_one_is_refused(tmp_path, make: str) -> None:
    blocked = tmp_path / "blocked"
    if make == "leads nowhere":
        blocked.symlink_to(tmp_path / "gone")
    else:
        blocked.write_text("mine")
    out = blocked / "report" if make == "below a file" else blocked
    assert (
        refusal(out)
        == f"the report folder must be a folder, {blocked} is a file or leads nowhere; free it, or "
        "name another report folder"
    )


@pytest.mark.parametrize("name", ["cards", "figures"])
def test_a_subfolder_that_is_a_link_or_a_file_is_refused(small, tmp_path, name: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "report").mkdir()
    folder = tmp_path / "report" / name
    folder.symlink_to(tmp_path / "elsewhere")
    linked = (
        f"{name}/ of a report must be a folder of its own, {folder} is a link; remove the link, or "
        "name another report folder"
    )
    with pytest.raises(StoreError) as caught:
        write_report(small.study, predictions=small.predictions, out=tmp_path / "report")
    assert str(caught.value) == linked
    folder.unlink()
    folder.write_text("mine")
    assert (
        refusal(tmp_path / "report")
        == f"{name}/ of a report must be a folder of its own, {folder} is a file; move the file, "
        "or name another report folder"
    )


@pytest.mark.parametrize("name", [".", "reports/flowers"])
def test_a_folder_with_another_purpose_is_refused(tmp_path, name: str) -> None:
    home, out = tmp_path / "home", tmp_path / "home" / name
    assert (
        refusal(out, home=home)
        == f"the report folder must lie outside ABLATE_HOME, {out} lies in {home}; name another "
        "report folder"
    )
    assert not home.exists()
    assert claim(tmp_path / "homely", home=home).grid == "flowers"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[1]",
        '{"grid": 3, "files": {}}',
        '{"grid": "flowers", "files": {"a": 1}}',
        "\x00",
        '{"grid": "flowers"',
    ],
)
def test_a_damaged_mark_marks_nothing(tmp_path, text: str) -> None:
    fill(tmp_path, {MARK: text, "README.md": "mine"})
    assert read_mark(tmp_path) is None
    assert "holds README.md and no report" in refusal(tmp_path)


@pytest.mark.slow
def test_a_mark_that_names_other_files_gives_no_right_to_them(report, small, tmp_path) -> None:
    victims = {name: tmp_path / name for name in ("outside.md", "secret.txt")}
    for path in victims.values():
        path.write_text("mine")
    (report / "main.py").write_text("mine")
    mark = json.loads((report / MARK).read_text())
    names = [
        "../outside.md",
        str(victims["secret.txt"]),
        "main.py",
        "cards/../../outside.md",
        "cards/..",
        "figures/../main.py",
    ]
    mark["files"] |= dict.fromkeys(names, "")
    (report / MARK).write_text(json.dumps(mark))
    write_report(small.study, predictions=small.predictions, out=report)
    assert all(path.read_text() == "mine" for path in [*victims.values(), report / "main.py"])


@pytest.mark.slow
def test_a_report_that_was_cut_short_is_written_again(report, small, monkeypatch) -> None:
    whole = contents(report)
    calls, move = iter(range(100)), Path.replace

    def full(self, target):
        if next(calls) == 6:
            raise OSError(28, "No space left on device", str(self))
        return move(self, target)

    changed = small.with_runs(lambda run: replace(run, tags={**run.tags, "commit": "other"}))
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", full)
        with pytest.raises(StoreError) as caught:
            write_report(changed.study, predictions=changed.predictions, out=report)
    assert str(caught.value).startswith(f"the report folder must be writable, {report}")
    assert str(caught.value).endswith(
        " is not: No space left on device; free it, or name another report folder"
    )
    assert not list(report.rglob("*.ablate-part"))
    write_report(small.study, predictions=small.predictions, out=report)
    assert contents(report) == whole


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch) -> None:
    def full(_self, _mode):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "open", full)
    out = tmp_path / "report"
    assert (
        refusal(out)
        == f"the report folder must be writable, {out} is not: Read-only file system; free it, or "
        "name another report folder"
    )


def test_first_file_and_digests(tmp_path) -> None:
    assert first_file(tmp_path / "nowhere") is None
    (tmp_path / "b" / "c").mkdir(parents=True)
    assert first_file(tmp_path) is None
    (tmp_path / "b" / "link").symlink_to(tmp_path)
    assert first_file(tmp_path) == "b/link"
    assert digest_of(b"a\r\nb\n") == digest_of(b"a\nb\n") != digest_of(b"a b\n")
