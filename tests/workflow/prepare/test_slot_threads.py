"""Threads of a slot follow from what was asked and begun, never from the machine's load."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.toy_study import toy_study

from ablate.scheduling.study_folder import StudyFolder
from ablate.study.trial_facts import TrialFacts
from ablate.tracking.events import Failure, TrialEnded, TrialOutcome, TrialStarted, TrialState
from ablate.workflow.prepare.slot_threads import slot_threads


def _ended(folder: Path, number: int, *, threads: int | None) -> None:
    trial = toy_study()[1][number]
    journal = StudyFolder(folder).journal
    journal.append(TrialStarted(trial.trial_id, 1, slot="cpu:0", at=0.0))
    outcome = TrialOutcome(0, {}, TrialFacts(threads=threads), files=())
    journal.append(TrialEnded(trial.trial_id, 1, TrialState.COMPLETE, at=1.0, outcome=outcome))


def _failed(folder: Path, number: int) -> None:
    trial = toy_study()[1][number]
    journal = StudyFolder(folder).journal
    journal.append(TrialStarted(trial.trial_id, 1, slot="cpu:0", at=0.0))
    failure = Failure("TrialError", "no", traceback="")
    journal.append(TrialEnded(trial.trial_id, 1, TrialState.FAILED, at=1.0, failure=failure))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "study").mkdir()
    return tmp_path / "study"


def test_one_thread_whatever_the_machine_does(folder: Path) -> None:
    assert slot_threads(None, [folder]) == 1
    assert slot_threads(None, [folder / "never made"]) == 1


def test_a_study_goes_on_with_the_threads_that_it_began_with(folder: Path) -> None:
    _failed(folder, 0)
    _ended(folder, 1, threads=2)
    _ended(folder, 2, threads=4)
    assert slot_threads(None, [folder]) == 2
    assert slot_threads(3, [folder]) == 3


def test_a_study_goes_on_with_the_threads_of_its_pilot(folder: Path, tmp_path: Path) -> None:
    pilot = tmp_path / "pilot"
    pilot.mkdir()
    _ended(pilot, 0, threads=2)
    assert slot_threads(None, [pilot, folder]) == 2


def test_trials_of_the_first_versions_do_not_say_their_threads(folder: Path) -> None:
    _ended(folder, 0, threads=None)
    assert slot_threads(None, [folder]) == 1


def test_a_damaged_journal_is_left_to_whoever_runs_the_study(folder: Path) -> None:
    _ended(folder, 0, threads=2)
    journal = folder / "journal.jsonl"
    journal.write_bytes(b"\xff{]\n" + journal.read_bytes())
    assert slot_threads(None, [folder]) == 2
    journal.unlink()
    journal.mkdir()
    assert slot_threads(None, [folder]) == 1
