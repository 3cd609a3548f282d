"""The drill: a finished study, and damage to every file of its folder.

Whoever looks or runs gets an answer or a sentence, never another score.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.toy_conductor import conduct, journal, order_in
from support.toy_execution import outcome_of
from support.toy_study import toy_study

from ablate.errors import StoreError
from ablate.scheduling.study_folder import JOURNAL, STUDY, STUDY_COPY
from ablate.scheduling.study_status import study_status
from ablate.tracking.events import TrialEnded

Damage = Callable[[Path], None]


def _changed(change: Callable[[bytes], bytes]) -> Damage:
    def damage(path: Path) -> None:
        path.write_bytes(change(path.read_bytes()))

    return damage


def _a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _a_link_to_nothing(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def _bits(content: bytes) -> bytes:
    chance = random.Random(len(content))
    return bytes(byte ^ (chance.random() < 0.002) for byte in content)


ON_ANY_FILE: dict[str, Damage] = {
    "emptied": _changed(lambda content: b""),
    "cut in half": _changed(lambda content: content[: len(content) // 2]),
    "its last byte lost": _changed(lambda content: content[:-1]),
    "zeros in the middle": _changed(
        lambda content: (
            content[: len(content) // 3]
            + bytes(len(content) // 3)
            + content[2 * len(content) // 3 :]
        )
    ),
    "zeros behind": _changed(lambda content: content + bytes(4096)),
    "bits flipped": _changed(_bits),
    "text instead": _changed(lambda content: b"hello\n"),
    "deep nesting instead": _changed(lambda content: b"[" * 100_000),
    "twice": _changed(lambda content: content * 2),
    "a folder instead": _a_folder,
    "a link to nothing": _a_link_to_nothing,
    "deleted": Path.unlink,
}
ON_LINES: dict[str, Damage] = {
    "line ends of Windows": _changed(lambda content: content.replace(b"\n", b"\r\n")),
    "a byte order mark": _changed(lambda content: b"\xef\xbb\xbf" + content),
    "lines in reverse": _changed(lambda content: b"".join(content.splitlines(keepends=True)[::-1])),
    "lines sorted": _changed(lambda content: b"".join(sorted(content.splitlines(keepends=True)))),
    "lines doubled": _changed(
        lambda content: b"".join(line * 2 for line in content.splitlines(keepends=True))
    ),
    "two lines merged": _changed(lambda content: content.replace(b"\n", b" ", 1)),
    "another score": _changed(
        lambda content: content.replace(b'"val/macro_f1":0.', b'"val/macro_f1":1.')
    ),
    "another state": _changed(lambda content: content.replace(b'"FAILED"', b'"COMPLETE"')),
    "every second line lost": _changed(
        lambda content: b"".join(content.splitlines(keepends=True)[::2])
    ),
}
ON_TREES: dict[str, Damage] = {
    "attempts deleted": lambda folder: shutil.rmtree(folder / "trials"),
    "failures deleted": lambda folder: shutil.rmtree(folder / "failures"),
    "a file for the checkpoints": lambda folder: _fill(folder, b"?", "checkpoints"),
    "checkpoints of nobody": lambda folder: (
        folder / "checkpoints" / "ffff" / "checkpoint.safetensors"
    ).mkdir(parents=True),
    "leavings of a kill": lambda folder: _fill(
        folder, b"{", f"{JOURNAL}.part", f"{STUDY}.77.part", "optuna.db-journal"
    ),
    "leavings of a file manager": lambda folder: _fill(
        folder, b"\0", ".DS_Store", "Thumbs.db", "journal (1).jsonl"
    ),
    "plan and copy": lambda folder: _fill(folder, b"\xff", STUDY, STUDY_COPY),
    "plan, copy and Optuna's file": lambda folder: _fill(
        folder, b"\xff", STUDY, STUDY_COPY, "optuna.db"
    ),
}


def _fill(folder: Path, content: bytes, *names: str) -> None:
    for name in names:
        (folder / name).write_bytes(content)


def _on_file(name: str, damage: Damage) -> Damage:
    return lambda folder: damage(folder / name)


def drills() -> Iterator[tuple[str, str, Damage]]:
    """(file, what happens to it, damage to the study's folder)."""
    for name in (JOURNAL, STUDY, "optuna.db", "conductor.lock"):
        for what, damage in (ON_ANY_FILE | (ON_LINES if name == JOURNAL else {})).items():
            yield name, what, _on_file(name, damage)
    yield "conductor.lock", "a pipe instead", lambda folder: _a_pipe(folder / "conductor.lock")
    for what, damage in ON_TREES.items():
        yield "the folder", what, damage


DRILLS = list(drills())


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A study of three trials, one of which failed once."""
    folder = tmp_path_factory.mktemp("drill") / "study"
    study = toy_study(seeds=(0,))
    order_in(folder, study[1][1], "raise until 2")
    conduct(folder, study=study)
    conduct(folder, study=study)
    next((folder / "trials").glob("*.do")).unlink()
    return folder


def scores(folder: Path) -> dict[str, dict[str, float]]:
    ends = [
        event
        for event in journal(folder).read()
        if isinstance(event, TrialEnded) and event.outcome is not None
    ]
    return {end.trial_id: outcome_of(end).metrics for end in ends}


def answer(act: Callable[[], object]) -> str:
    """The sentence that it ends with, or nothing; whatever else is raised is a traceback."""
    try:
        act()
    except StoreError as error:
        assert "\n" not in str(error)
        assert str(error).endswith(".")
        return str(error)
    return ""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "what"), [drill[:2] for drill in DRILLS])
def test_no_damage_changes_a_score_or_ends_without_a_sentence(
    finished, tmp_path, caplog, name, what
):
    folder, study = tmp_path / "study", toy_study(seeds=(0,))
    shutil.copytree(finished, folder)
    next(damage for *place, damage in DRILLS if place == [name, what])(folder)
    refused = answer(lambda: study_status(folder))
    summaries = []
    stopped = answer(lambda: summaries.append(conduct(folder, study=study)[0]))
    if stopped:
        assert name in (JOURNAL, STUDY, "conductor.lock")
        assert what == "a folder instead"
        return
    (summary,) = summaries
    assert summary.n_complete + summary.n_reused == 3
    if summary.n_complete:
        assert name == JOURNAL
        assert summary.damage or what == "its last byte lost"  # as a kill does
    if refused:
        assert name == STUDY or "plan" in what
    assert scores(folder) == scores(finished)
    assert study_status(folder).states == {"COMPLETE": 3}
    assert answer(lambda: conduct(folder, study=study)) == ""


def test_the_drill_has_more_than_sixty_kinds():
    assert len(DRILLS) > 60
