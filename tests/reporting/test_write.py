"""The rim: which files, which bytes, what is removed, and what is never imported."""

from __future__ import annotations

import csv
import hashlib
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ablate.errors import StoreError
from ablate.reporting.write import ReportPaths, check_report_folder, write_report


def digests(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*")) if path.is_file()}


SMALL = {"augment": ("none", "light")}


@pytest.fixture(scope="module")
def written(published, tmp_path_factory) -> ReportPaths:
    """A whole report, for tests that only look."""
    return write_report(published.study, predictions=published.predictions, out=tmp_path_factory.mktemp("report"))


def test_the_same_runs_give_the_same_bytes_whatever_their_order(published, written, tmp_path) -> None:
    write_report(replace(published.study, runs=published.study.runs[::-1]), predictions=published.predictions, out=tmp_path)
    assert len(digests(tmp_path)) == 10 + 11 + 2 * 9
    assert digests(tmp_path) == digests(written.readme.parent)


def test_paths_name_what_was_written(written) -> None:
    out = written.readme.parent
    named = {written.readme, *written.tables, written.page, *written.cards, *written.figures}
    assert named == {path for path in out.rglob("*") if path.is_file()}
    assert written.champion_card == out / "cards" / "champion.md"
    assert len(list(csv.DictReader((written.readme.parent / "effects.csv").open()))) == 8
    assert {row["kind"] for row in csv.DictReader((written.readme.parent / "interactions.csv").open())} == {"interaction"}


def test_links_and_images_resolve(written) -> None:
    targets = re.findall(r"\]\(([^)]+)\)", written.readme.read_text())
    assert len(targets) == 10 + 9
    assert all((written.readme.parent / target).is_file() for target in targets)


def test_the_page_stands_alone(written) -> None:
    """No address, no script, no file beside it: what a browser would fetch is inside."""
    text = written.page.read_text()
    assert set(re.findall(r'(?:src|href)="([^"]{0,26})', text)) == {"data:image/svg+xml;base64,"}
    assert "<script" not in text and "url(" not in text
    assert text.count("<img ") == 9 and text.count("<h1>") == 1
    assert "**" not in re.sub(r"<code>.*?</code>", "", text) and "](" not in text


def test_stale_figures_and_cards_go_and_nothing_else(build, tmp_path) -> None:
    small = build(axes=SMALL)
    kept = [tmp_path / name for name in ("notes.md", "figures/data.txt", "cards/deep/old.md", "other/old.svg")]
    stale = [tmp_path / name for name in ("figures/old.svg", "figures/old.png", "cards/old.md")]
    for path in kept + stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("before")
    outside = tmp_path / "outside.md"
    outside.write_text("before")
    (tmp_path / "cards" / "link.md").symlink_to(outside)
    write_report(small.study, predictions=small.predictions, out=tmp_path)
    assert not any(path.exists() for path in stale) and not (tmp_path / "cards" / "link.md").is_symlink()
    assert all(path.read_text() == "before" for path in [*kept, outside])


def test_no_champion_card_without_a_champion(published, tmp_path) -> None:
    failed = published.with_runs(lambda run: replace(run, status="FAILED"))
    paths = write_report(failed.study, predictions=failed.predictions, out=tmp_path)
    assert paths.champion_card is None and len(paths.cards) == 10 and paths.figures == ()


def test_a_report_folder_that_cannot_be_is_refused(tmp_path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(StoreError) as caught:
        check_report_folder(blocked / "report")
    assert str(caught.value) == f"the report folder must be writable, {blocked / 'report'} is not: Not a directory; free it, or name another report folder"


def test_a_linked_folder_is_refused(published, tmp_path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "cards").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError) as caught:
        write_report(published.study, predictions=published.predictions, out=tmp_path / "report")
    folder = tmp_path / "report" / "cards"
    assert str(caught.value) == f"cards/ of a report must be a folder of its own, {folder} is a link; remove the link, or name another report folder"


def test_binary_absent_and_single_seed_studies_have_reports(build, tmp_path) -> None:
    studies = [build(axes=SMALL, n_classes=2), build(axes=SMALL, absent=(0, 3)), build(axes=SMALL, seeds=(7,)), build(axes={"augment": ("none",)})]
    for number, study in enumerate(studies):
        paths = write_report(study.study, predictions=study.predictions, out=tmp_path / str(number))
        assert "nan" not in paths.readme.read_text() and paths.champion_card is not None


_WITHOUT_TORCH = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "torchvision", "timm", "peft", "mlflow", "optuna", "ray", "sklearn"}:
            raise ImportError(f"reporting imports {name}")

sys.meta_path.insert(0, Refuse())
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from conftest import make_study
from ablate.reporting.write import write_report
study = make_study(axes={"augment": ("none", "light")})
print(write_report(study.study, predictions=study.predictions, out=Path(sys.argv[2])).readme.name)
"""


def test_reporting_needs_neither_torch_nor_mlflow(tmp_path) -> None:
    command = [sys.executable, "-c", _WITHOUT_TORCH, str(Path(__file__).parent), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "README.md\n"), done.stderr
