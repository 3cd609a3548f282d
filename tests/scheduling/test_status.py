from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from support.toy_conductor import conduct, journal, order_in
from support.toy_study import toy_study

from ablate.console.status_text import status_tables
from ablate.errors import StoreError
from ablate.scheduling.lease import holder, lease
from ablate.scheduling.limits import Limits
from ablate.scheduling.remaining import StudyClock
from ablate.scheduling.study_folder import JOURNAL
from ablate.scheduling.study_status import study_status
from ablate.tracking.events import EpochEnded, Failure, TrialEnded, TrialStarted, TrialState


def test_a_study_that_rests_and_one_that_runs(tmp_path):
    record, trials = study = toy_study()
    folder = tmp_path / "study"
    order_in(folder, trials[1], "raise")
    conduct(folder, study=study, limits=Limits(max_trials=3))
    log = journal(folder)
    log.append(TrialStarted(trials[3].trial_id, 1, slot="cpu:0", at=time.time() - 60))
    log.append(EpochEnded(trials[3].trial_id, 1, epoch=1, n_epochs=5, metrics={}, at=time.time()))

    rests = study_status(folder)
    assert rests.states == {"COMPLETE": 2, "FAILED": 1, "KILLED": 1, "WAITING": 2}
    assert (rests.n_trials, rests.n_attempts, rests.conductor, rests.slots, rests.left_s) == (
        6,
        4,
        None,
        (),
        None,
    )
    (failure,) = rests.failures
    assert (failure.trial, failure.line) == (
        f"{record.arms[0].name}, seed 1",
        "TrialError: the loss must be finite, got nan",
    )
    assert "Traceback" in Path(failure.path).read_text()

    with lease(folder):
        runs = study_status(folder)
    assert runs.states == {"COMPLETE": 2, "FAILED": 1, "RUNNING": 1, "WAITING": 2}
    assert runs.conductor is not None
    assert runs.conductor.startswith("process ")
    (slot,) = runs.slots
    assert (slot.slot, slot.trial, slot.attempt, slot.n_epochs_done, slot.n_epochs) == (
        "cpu:0",
        f"{record.arms[1].name}, seed 1",
        1,
        2,
        5,
    )
    assert 60 <= slot.for_s < 90
    clock = StudyClock({trial.trial_id: trial.recipe for trial in trials}, 6)
    clock.hear_all(log.read())
    left = clock.left(time.time())
    assert left is not None
    # it runs longer than any of its kind did
    assert (runs.left_s, runs.is_left_rough) == (
        pytest.approx(left.seconds, abs=10.0),  # it counts down between the two looks
        True,
    )
    assert runs.trials_per_hour is not None
    assert runs.trials_per_hour > 0


def test_a_look_does_not_take_the_lease(tmp_path):
    assert holder(tmp_path) is None
    with lease(tmp_path):
        assert (holder(tmp_path) or "").startswith("process ")
    assert holder(tmp_path) is None


def test_a_folder_without_a_study_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"study\.json must say what the study is"):
        study_status(tmp_path)


def test_a_damaged_journal_is_said_and_left_as_it_is(tmp_path):
    study = toy_study(seeds=(0,))
    folder = tmp_path / "study"
    conduct(folder, study=study)
    lines = (folder / JOURNAL).read_bytes().splitlines(keepends=True)
    assert len(lines) == 12
    damaged = json.loads(lines[5])["trial_id"]
    (folder / JOURNAL).write_bytes(b"".join([*lines[:5], b"?" + lines[5][1:], *lines[6:]]))
    before = (folder / JOURNAL).read_bytes()
    found = study_status(folder)
    assert found.states == {"COMPLETE": 2, "KILLED": 1}
    assert found.damage == (
        f"the journal {folder / JOURNAL} is damaged: line 6 cannot be read and is left out; "
        f"attempt {damaged}-1 counts as not completed"
    )
    assert (folder / JOURNAL).read_bytes() == before
    rows, title = status_tables(found)[-1]
    assert (title, rows) == (
        "Damage",
        [{"what": found.damage, "then": "the next call mends it"}],
    )


def test_a_study_that_is_over_says_so_and_one_that_is_not_does_not(tmp_path):
    _, trials = study = toy_study()
    conduct(tmp_path / "study", study=study, limits=Limits(max_trials=3))
    assert not study_status(tmp_path / "study").is_over
    conduct(tmp_path / "study", study=study)
    over = study_status(tmp_path / "study")
    assert over.is_over
    assert (over.states, over.repeats, over.n_not_in_optuna) == ({"COMPLETE": len(trials)}, {}, 0)
    order_in(tmp_path / "failed", trials[1], "raise")
    conduct(tmp_path / "failed", study=study)
    assert not study_status(tmp_path / "failed").is_over  # the next call tries it again


def test_attempts_that_repeat_a_trial_are_told_with_their_reasons(tmp_path):
    _, trials = study = toy_study()
    folder = tmp_path / "study"
    conduct(folder, study=study)
    log = journal(folder)
    for number, kind in enumerate(("WorkerDied", "WorkerDied", "TrialTimeout"), start=2):
        log.append(TrialStarted(trials[0].trial_id, number, slot="cpu:0", at=time.time()))
        log.append(
            TrialEnded(
                trials[0].trial_id,
                number,
                TrialState.FAILED,
                at=time.time(),
                failure=Failure(kind, "", ""),
            )
        )
    log.append(TrialStarted(trials[0].trial_id, 5, slot="cpu:0", at=time.time()))
    status = study_status(folder)
    assert status.repeats == {"WorkerDied": 2, "COMPLETE": 1, "TrialTimeout": 1}
    assert status.n_not_in_optuna == 3  # those that Optuna was not told


@pytest.mark.slow
@pytest.mark.parametrize("damage", [None, b"", b"no database", b"SQLite format 3\0" + b"x" * 500])
def test_an_optuna_file_that_cannot_be_read_is_no_lag(tmp_path, damage):
    folder = tmp_path / "study"
    conduct(folder, study=toy_study())
    for path in folder.glob("optuna.db*"):
        path.unlink()
    if damage is not None:
        (folder / "optuna.db").write_bytes(damage)
    assert study_status(folder).n_not_in_optuna is None
