from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
from mlflow import MlflowClient
from optuna.trial import TrialState as OptunaState
from support import TESTS
from support.toy_conductor import (
    ALL_TOLD,
    conduct,
    counts,
    journal,
    mlflow_runs,
    optuna_states,
    order_in,
)
from support.toy_execution import (
    RUN,
    alive,
    children,
    end_of,
    line_of,
    one_worker,
    outcome_of,
    request_of,
    two_workers,
)
from support.toy_study import new_store_uri, toy_study

from ablate.errors import CheckFailed, StoreError, StudyStopped
from ablate.scheduling.catch_up import sync_study
from ablate.scheduling.executors.inline import InlineExecutor
from ablate.scheduling.lease import lease
from ablate.scheduling.limits import Limits
from ablate.scheduling.optuna_study import OptunaStudy
from ablate.scheduling.study_folder import JOURNAL
from ablate.study.trial import Trial
from ablate.tracking.events import EpochEnded, Event, TrialEnded, TrialStarted, TrialState
from ablate.tracking.journal import Journal, attempts
from ablate.tracking.mlflow_store import MlflowStore
from ablate.tracking.publisher import Unpublished


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return new_store_uri(tmp_path / "store")


@pytest.mark.slow
@pytest.mark.parametrize("make", [lambda folder: InlineExecutor(RUN), two_workers])
def test_a_study_ends_complete_in_the_journal_in_optuna_and_in_mlflow(make, tmp_path, uri):
    record, trials = study = toy_study()
    folder = tmp_path / "study"
    summary, heard = conduct(
        folder, store=MlflowStore(uri, "toy"), executor=make(folder), study=study
    )
    assert (counts(summary), summary.unpublished, summary.failures, summary.optuna_problem) == (
        (6, 0, 0),
        ALL_TOLD,
        (),
        "",
    )
    assert journal(folder).read() == heard
    assert [event.trial_id for event in heard if isinstance(event, TrialStarted)] == [
        trial.trial_id for trial in trials
    ]
    assert sorted(optuna_states(folder, record)) == sorted(
        (trial.trial_id, 1, "COMPLETE") for trial in trials
    )
    assert mlflow_runs(uri) == {(trial.trial_id, 1): "FINISHED" for trial in trials}
    published = MlflowStore(uri, "toy").read_study("toy")
    assert [run.trial_id for run in published.runs] == [trial.trial_id for trial in trials]
    scores = {
        event.trial_id: outcome_of(event).metrics
        for event in heard
        if isinstance(event, TrialEnded)
    }
    assert {run.trial_id: run.metrics for run in published.runs} == scores
    parent = MlflowClient(tracking_uri=uri).get_run(published.parent_run_id)
    assert (parent.info.status, parent.data.tags["commit"]) == ("FINISHED", "c0ffee")


@pytest.mark.slow
def test_a_finished_study_run_again_starts_nothing(tmp_path, uri):
    study = toy_study()
    conduct(tmp_path / "study", store=MlflowStore(uri, "toy"), study=study)
    before, kept = mlflow_runs(uri), (tmp_path / "study" / JOURNAL).read_bytes()
    summary, heard = conduct(tmp_path / "study", store=MlflowStore(uri, "toy"), study=study)
    assert (counts(summary), heard, summary.unpublished) == ((0, 6, 0), [], ALL_TOLD)
    assert mlflow_runs(uri) == before
    assert (tmp_path / "study" / JOURNAL).read_bytes() == kept
    assert len(optuna_states(tmp_path / "study", study[0])) == 6


@pytest.mark.slow
def test_a_study_without_mlflow_is_published_by_a_later_call(tmp_path, uri):
    study = toy_study()
    conduct(tmp_path / "study", study=study)
    summary, _ = conduct(tmp_path / "study", store=MlflowStore(uri, "toy"), study=study)
    assert counts(summary) == (0, 6, 0)
    assert set(mlflow_runs(uri).values()) == {"FINISHED"}


@pytest.mark.slow
def test_more_seeds_run_only_what_is_new(tmp_path, uri):
    conduct(tmp_path / "study", store=MlflowStore(uri, "toy"), study=toy_study(seeds=(0,)))
    summary, _ = conduct(
        tmp_path / "study", store=MlflowStore(uri, "toy"), study=toy_study(seeds=(0, 1))
    )
    assert counts(summary) == (3, 3, 0)
    assert len(mlflow_runs(uri)) == 6


@pytest.mark.slow
def test_an_edited_grid_goes_on_with_its_finished_trials(tmp_path, uri):
    conduct(tmp_path / "study", store=MlflowStore(uri, "toy"))
    wider = toy_study(axes={"freeze_depth": ("all", -1, 0), "lr_ratio": (0.1, 1.0)})
    summary, _ = conduct(tmp_path / "study", store=MlflowStore(uri, "toy"), study=wider)
    assert counts(summary) == (4, 6, 0)
    assert summary.optuna_problem == ""
    assert sorted(optuna_states(tmp_path / "study", wider[0])) == sorted(
        (trial.trial_id, 1, "COMPLETE") for trial in wider[1]
    )
    narrower, _ = conduct(tmp_path / "study", store=MlflowStore(uri, "toy"))
    assert (counts(narrower), narrower.unpublished) == ((0, 6, 0), ALL_TOLD)


@pytest.mark.slow
def test_a_failed_trial_is_told_in_full_and_tried_again_by_the_next_call(tmp_path, uri):
    record, trials = study = toy_study()
    folder = tmp_path / "study"
    order_in(folder, trials[2], "raise")
    summary, _ = conduct(folder, store=MlflowStore(uri, "toy"), study=study)
    assert counts(summary) == (5, 0, 1)
    (failed,) = summary.failures
    assert (failed.trial_id, failed.arm, failed.seed, failed.attempt) == (
        trials[2].trial_id,
        record.arms[1].name,
        0,
        1,
    )
    assert (failed.failure.kind, failed.failure.message) == (
        "TrialError",
        "the loss must be finite, got nan",
    )
    assert failed.path == folder / "failures" / f"{trials[2].trial_id}-1.txt"
    text = failed.path.read_text()
    assert text.startswith("Traceback (most recent call last):\n")
    assert text.endswith("TrialError: the loss must be finite, got nan\nin step 3\n")
    run = MlflowStore(uri, "toy").read_study("toy").runs[2]
    assert (run.status, run.failure) == ("FAILED", "TrialError: the loss must be finite, got nan")
    client = MlflowClient(tracking_uri=uri)
    assert (
        Path(client.get_run(run.run_id).info.artifact_uri[7:]) / "failure.txt"
    ).read_text() == text
    assert (
        client.get_run(MlflowStore(uri, "toy").read_study("toy").parent_run_id).info.status
        == "FAILED"
    )

    (folder / "trials" / f"{trials[2].trial_id}.do").unlink()
    summary, heard = conduct(folder, store=MlflowStore(uri, "toy"), study=study)
    assert counts(summary) == (1, 5, 0)
    assert {event.attempt for event in heard} == {2}
    published = MlflowStore(uri, "toy").read_study("toy")
    assert (published.runs[2].status, published.runs[2].attempt) == ("COMPLETE", 2)
    assert client.get_run(published.parent_run_id).info.status == "FINISHED"
    assert Counter(state for _, _, state in optuna_states(folder, record)) == {
        "COMPLETE": 6,
        "FAIL": 1,
    }


@pytest.mark.slow
def test_a_killed_worker_costs_one_trial_only(tmp_path, uri):
    _, trials = study = toy_study()
    folder = tmp_path / "study"
    order_in(folder, trials[0], "wait")

    def kill(event: Event) -> None:
        if isinstance(event, EpochEnded) and event.trial_id == trials[0].trial_id:
            os.kill(slowest_child(), signal.SIGKILL)

    def slowest_child() -> int:
        return min(children())  # the first that was started has the first trial

    summary, _ = conduct(
        folder,
        store=MlflowStore(uri, "toy"),
        executor=two_workers(folder),
        study=study,
        on_event=kill,
    )
    assert counts(summary) == (5, 0, 1)
    assert summary.failures[0].failure.kind == "WorkerDied"
    assert summary.failures[0].path.read_text() == (
        "WorkerDied: the worker of slot cpu:0 was ended by SIGKILL (the kernel does that when "
        "memory is short); what it printed is in workers/cpu-0.log\n"
    )
    (folder / "trials" / f"{trials[0].trial_id}.do").unlink()
    assert counts(conduct(folder, store=MlflowStore(uri, "toy"), study=study)[0]) == (1, 5, 0)
    assert Counter(mlflow_runs(uri).values()) == {"FINISHED": 6, "FAILED": 1}


@pytest.mark.slow
@pytest.mark.parametrize("kind", [TrialStarted, EpochEnded, TrialEnded])
def test_an_interrupted_study_says_killed_and_goes_on(kind, tmp_path, uri):
    record, trials = study = toy_study()
    folder = tmp_path / "study"

    def interrupt(event: Event) -> None:
        if isinstance(event, kind) and event.trial_id == trials[1].trial_id:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        conduct(
            folder,
            store=MlflowStore(uri, "toy"),
            executor=two_workers(folder),
            study=study,
            on_event=interrupt,
        )
    assert children() == set()
    stopped = attempts(journal(folder).read())
    assert not any(attempt.is_running for attempt in stopped.values())
    states = Counter(end_of(attempt).state for attempt in stopped.values())
    assert states.keys() <= {TrialState.KILLED, TrialState.COMPLETE}
    assert set(mlflow_runs(uri).values()) <= {"KILLED", "FINISHED"}
    assert (
        MlflowClient(tracking_uri=uri)
        .get_run(MlflowStore(uri, "toy").read_study("toy").parent_run_id)
        .info.status
        == "KILLED"
    )
    assert OptunaState.RUNNING.name not in {state for *_, state in optuna_states(folder, record)}

    summary, _ = conduct(folder, store=MlflowStore(uri, "toy"), study=study)
    assert counts(summary) == (6 - states[TrialState.COMPLETE], states[TrialState.COMPLETE], 0)
    assert Counter(mlflow_runs(uri).values()) == {
        "FINISHED": 6,
        **({"KILLED": states[TrialState.KILLED]} if states[TrialState.KILLED] else {}),
    }


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_real_signal_ends_the_study_in_order(number, tmp_path, uri):
    """Control-C in a terminal goes to the whole foreground group.

    Workers are not in it; the conductor puts them away and says KILLED.
    """
    record, trials = study = toy_study()
    folder = tmp_path / "study"
    order_in(folder, trials[1], "wait")
    conductor = start_conductor(folder, uri, until=trials[1])
    workers = [int(pid) for pid in line_of(conductor).split()]
    os.killpg(conductor.pid, number)
    try:
        _, errors = conductor.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        # else it would stand among the children of the tests that follow
        os.killpg(conductor.pid, signal.SIGKILL)
        raise
    assert conductor.returncode == -signal.SIGINT
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert not any(map(alive, workers))
    stopped = attempts(journal(folder).read())
    assert end_of(stopped[(trials[1].trial_id, 1)]).state is TrialState.KILLED
    assert not any(attempt.is_running for attempt in stopped.values())
    assert "RUNNING" not in mlflow_runs(uri).values()
    assert "RUNNING" not in {state for *_, state in optuna_states(folder, record)}
    assert "Traceback" not in "".join(path.read_text() for path in (folder / "workers").iterdir())
    (folder / "trials" / f"{trials[1].trial_id}.do").unlink()
    assert sum(counts(conduct(folder, store=MlflowStore(uri, "toy"), study=study)[0])) == 6


@pytest.mark.slow
def test_a_conductor_killed_in_the_middle_is_taken_over(tmp_path, uri):
    """kill -9 of the conductor, twice; the third call finishes, and everybody says the same."""
    record, trials = study = toy_study()
    folder = tmp_path / "study"
    victims = trials[1], trials[3]
    for victim in victims:
        order_in(folder, victim, "wait")
    for victim in victims:
        kill_conductor_at(folder, uri, victim)
        (folder / "trials" / f"{victim.trial_id}.do").unlink()
    assert "RUNNING" in mlflow_runs(uri).values()
    summary, _ = conduct(
        folder, store=MlflowStore(uri, "toy"), executor=two_workers(folder), study=study
    )
    assert sum(counts(summary)) == 6
    assert (summary.n_failed, summary.unpublished, summary.optuna_problem) == (0, ALL_TOLD, "")
    kept = attempts(journal(folder).read())
    assert Counter(trial_id for (trial_id, _), attempt in kept.items() if attempt.is_complete) == {
        trial.trial_id: 1 for trial in trials
    }
    in_journal = {
        key: {"COMPLETE": "FINISHED"}.get(end_of(attempt).state, end_of(attempt).state)
        for key, attempt in kept.items()
    }
    assert mlflow_runs(uri) == in_journal
    in_optuna = optuna_states(folder, record)
    assert sorted(in_optuna) == sorted(
        (*key, "COMPLETE" if attempt.is_complete else "FAIL") for key, attempt in kept.items()
    )

    _, heard = conduct(tmp_path / "undisturbed", study=study)
    expected = {event.trial_id: event.outcome for event in heard if isinstance(event, TrialEnded)}
    assert {
        trial_id: end_of(attempt).outcome
        for (trial_id, _), attempt in kept.items()
        if attempt.is_complete
    } == expected


def start_conductor(folder: Path, uri: str, *, until: Trial) -> subprocess.Popen[str]:
    """Run the study in a process of its own, which prints its workers' ids once `until` has ended
    its first epoch.
    """
    script = f"""
import signal, sys
# SIGINT is ignored where the tests themselves were started in the background.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path[:0] = {[str(TESTS)]!r}
from pathlib import Path
from support.toy_conductor import conduct
from support.toy_execution import children, two_workers
from ablate.tracking.events import EpochEnded
from ablate.tracking.mlflow_store import MlflowStore
folder = Path({str(folder)!r})
def tell(event):
    if isinstance(event, EpochEnded) and event.trial_id == {until.trial_id!r}:
        print(*children(), flush=True)
conduct(folder, store=MlflowStore({uri!r}, "toy"), executor=two_workers(folder), on_event=tell)
"""
    return subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def kill_conductor_at(folder: Path, uri: str, victim: Trial) -> None:
    conductor = start_conductor(folder, uri, until=victim)
    workers = [int(pid) for pid in line_of(conductor).split()]
    client = MlflowClient(tracking_uri=uri)
    while not published_as_running(client):
        assert conductor.poll() is None
    conductor.kill()
    conductor.communicate()
    while any(map(alive, workers)):
        pass


def published_as_running(client: MlflowClient) -> bool:
    experiment = client.get_experiment_by_name("toy")
    runs = client.search_runs([experiment.experiment_id]) if experiment else []
    return any(
        run.data.tags.get("ablate.kind") == "trial" and run.info.status == "RUNNING" for run in runs
    )


class FlakyStore(MlflowStore):
    """A real store whose network fails in the middle: every call of the `away` ones raises."""

    def __init__(self, uri: str, grid_name: str, *, away: range) -> None:
        super().__init__(uri, grid_name)
        self.away, self.n_calls = away, 0

    def publish(self, event, **where) -> None:
        self.n_calls += 1
        if self.n_calls in self.away:
            raise ConnectionError("connection refused")
        super().publish(event, **where)

    def check_reachable(self) -> None:
        if self.n_calls in self.away:
            raise StoreError("away")
        super().check_reachable()


@pytest.mark.slow
def test_mlflow_failing_in_the_middle_costs_nothing(tmp_path, uri):
    summary, _ = conduct(tmp_path / "study", store=FlakyStore(uri, "toy", away=range(8, 12)))
    assert (counts(summary), summary.unpublished) == ((6, 0, 0), ALL_TOLD)
    assert set(mlflow_runs(uri).values()) == {"FINISHED"}
    published = MlflowStore(uri, "toy").read_study("toy")
    assert [len(run.curves["train/loss"]) for run in published.runs] == [2] * 6


@pytest.mark.slow
def test_mlflow_away_for_good_is_reported_and_caught_up_by_the_next_call(
    tmp_path, uri, monkeypatch
):
    monkeypatch.setattr("ablate.scheduling.conductor.PATIENCE_S", 0.5)
    summary, _ = conduct(
        tmp_path / "study", store=FlakyStore(uri, "toy", away=range(10, 1_000_000))
    )
    assert counts(summary) == (6, 0, 0)
    assert summary.unpublished == Unpublished(
        n_attempts=4, why="ConnectionError: connection refused"
    )
    assert Counter(mlflow_runs(uri).values()) == {"FINISHED": 2, "RUNNING": 1}
    summary, heard = conduct(tmp_path / "study", store=MlflowStore(uri, "toy"))
    assert (counts(summary), heard, summary.unpublished) == ((0, 6, 0), [], ALL_TOLD)
    assert Counter(mlflow_runs(uri).values()) == {"FINISHED": 6}


@pytest.mark.slow
@pytest.mark.parametrize("away", [range(3, 5), range(3, 1_000_000)], ids=["a while", "for good"])
def test_optuna_failing_in_the_middle_costs_nothing(away, tmp_path, monkeypatch):
    record, trials = study = toy_study()
    original, told = OptunaStudy.tell, []

    def tell(self, event) -> None:
        told.append(event)
        if len(told) in away:
            raise OSError("database is locked")
        original(self, event)

    with monkeypatch.context() as patch:
        patch.setattr(OptunaStudy, "tell", tell)
        patch.setattr("ablate.tracking.publisher._LONGEST_PAUSE_S", 0.01)
        summary, _ = conduct(tmp_path / "study", study=study)
    assert (counts(summary), summary.optuna_problem) == (
        (6, 0, 0),
        "" if 10 not in away else "OSError: database is locked",
    )
    summary, _ = conduct(tmp_path / "study", study=study)
    assert summary.optuna_problem == ""
    assert sorted(optuna_states(tmp_path / "study", record)) == sorted(
        (trial.trial_id, 1, "COMPLETE") for trial in trials
    )


def test_two_conductors_of_one_study_are_one_too_many(tmp_path):
    with (
        lease(tmp_path / "study"),
        pytest.raises(
            StoreError, match=rf"is owned by process {os.getpid()} on .*; wait for it, or end it\.$"
        ),
    ):
        conduct(tmp_path / "study")
    assert counts(conduct(tmp_path / "study")[0]) == (6, 0, 0)


def test_left_overs_of_an_attempt_that_never_started_are_cleared(tmp_path):
    _, trials = toy_study()
    folder = tmp_path / "study"
    request_of(trials[0], folder / "trials")
    (folder / "trials" / f"{trials[0].trial_id}-1" / "half.bin").write_bytes(b"half")
    assert counts(conduct(folder)[0]) == (6, 0, 0)
    assert not (folder / "trials" / f"{trials[0].trial_id}-1" / "half.bin").exists()


def test_the_same_trial_twice_is_a_bug(tmp_path):
    record, trials = toy_study()
    with pytest.raises(
        CheckFailed, match=r"^the trials of a study must differ, got 7 of which 6 differ\.$"
    ):
        conduct(tmp_path / "study", study=(record, [*trials, trials[0]]))


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(
        StoreError,
        match=rf"^the study's folder must be writable, {tmp_path}/file is not: .*; "
        r"set ABLATE_HOME to another place\.$",
    ):
        conduct(tmp_path / "file")


@pytest.mark.slow
def test_a_worker_that_dies_is_tried_again_in_the_same_call(tmp_path, uri):
    _, trials = study = toy_study()
    folder = tmp_path / "study"
    order_in(folder, trials[0], "exit until 3")
    order_in(folder, trials[3], "exit")
    order_in(folder, trials[4], "raise")
    summary, heard = conduct(
        folder,
        store=MlflowStore(uri, "toy"),
        executor=two_workers(folder),
        study=study,
        limits=Limits(retries=2),
    )
    assert (counts(summary), summary.n_retries) == ((4, 0, 2), 4)
    assert {(one.trial_id, one.attempt, one.failure.kind) for one in summary.failures} == {
        (trials[3].trial_id, 3, "WorkerDied"),
        (trials[4].trial_id, 1, "TrialError"),
    }
    tries = Counter(event.trial_id for event in heard if isinstance(event, TrialStarted))
    assert tries == {
        **{trial.trial_id: 1 for trial in trials},
        trials[0].trial_id: 3,
        trials[3].trial_id: 3,
    }
    assert Counter(mlflow_runs(uri).values()) == {"FINISHED": 4, "FAILED": 6}


def test_max_trials_and_budget_leave_the_rest_to_the_next_call(tmp_path):
    _, trials = study = toy_study()
    first, heard = conduct(tmp_path / "study", study=study, limits=Limits(max_trials=4))
    assert (counts(first), first.n_left) == ((4, 0, 0), 2)
    assert [event.trial_id for event in heard if isinstance(event, TrialStarted)] == [
        trial.trial_id for trial in trials[:4]
    ]
    spent, _ = conduct(tmp_path / "study", study=study, limits=Limits(budget_s=0.0))
    assert (counts(spent), spent.n_left) == ((0, 4, 0), 2)
    last, _ = conduct(tmp_path / "study", study=study, limits=Limits(budget_s=600.0))
    assert (counts(last), last.n_left) == ((2, 4, 0), 0)


def test_only_failed_runs_only_what_failed(tmp_path):
    _, trials = study = toy_study()
    folder = tmp_path / "study"
    order_in(folder, trials[1], "raise until 2")
    conduct(folder, study=study, limits=Limits(max_trials=3))
    summary, heard = conduct(folder, study=study, limits=Limits(only_failed=True))
    assert (counts(summary), summary.n_left) == ((1, 2, 0), 3)
    assert {event.trial_id for event in heard} == {trials[1].trial_id}


@pytest.mark.slow
def test_a_journal_that_cannot_be_written_ends_the_call_and_the_next_goes_on(tmp_path, monkeypatch):
    """A disk that fills up: the error says so, no worker stays, only what ran is lost."""
    study = toy_study()
    append, n_lines = Journal.append, []

    def fill_up(self, event) -> None:
        n_lines.append(event)
        if len(n_lines) > 9:
            raise StoreError("no space left on device")
        append(self, event)

    with (
        monkeypatch.context() as patch,
        pytest.raises(StudyStopped, match=r"^no space left on device$"),
    ):
        patch.setattr(Journal, "append", fill_up)
        conduct(tmp_path / "study", executor=two_workers(tmp_path / "study"), study=study)
    assert children() == set()
    assert sum(counts(conduct(tmp_path / "study", study=study)[0])) == 6


@pytest.mark.slow
def test_a_checkpoint_lives_as_long_as_its_trial_may_go_on(tmp_path):
    """Kept for a trial that was killed or whose worker died; gone once it is complete, or failed by
    itself.
    """
    _, trials = study = toy_study()
    folder = tmp_path / "study"
    order_in(folder, trials[0], "exit")
    order_in(folder, trials[1], "raise")
    for trial in trials[:3]:
        (folder / "checkpoints" / trial.trial_id).mkdir(parents=True)

    def interrupt(event: Event) -> None:
        if isinstance(event, EpochEnded) and event.trial_id == trials[3].trial_id:
            (folder / "checkpoints" / trials[3].trial_id).mkdir()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        conduct(folder, executor=one_worker(folder), study=study, on_event=interrupt)
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {
        trials[0].trial_id,
        trials[3].trial_id,
    }


@pytest.mark.slow
def test_sync_publishes_what_mlflow_was_not_told_and_again_changes_nothing(tmp_path, uri):
    study = toy_study()
    folder = tmp_path / "study"
    conduct(folder, study=study)
    assert sync_study(folder, MlflowStore(uri, "toy")) == ALL_TOLD
    before = mlflow_runs(uri)
    assert set(before.values()) == {"FINISHED"}
    parent = MlflowStore(uri, "toy").read_study("toy").parent_run_id
    assert MlflowClient(tracking_uri=uri).get_run(parent).info.status == "FINISHED"
    assert MlflowClient(tracking_uri=uri).get_run(parent).data.tags["commit"] == "c0ffee"
    assert sync_study(folder, MlflowStore(uri, "toy")) == ALL_TOLD
    assert mlflow_runs(uri) == before


def test_sync_of_a_dead_conductors_study_says_killed(tmp_path, uri):
    study = toy_study()
    folder = tmp_path / "study"
    conduct(folder, study=study, limits=Limits(max_trials=2))
    journal(folder).append(TrialStarted(study[1][2].trial_id, 1, slot="cpu:0", at=1.0))
    sync_study(folder, MlflowStore(uri, "toy"))
    assert Counter(mlflow_runs(uri).values()) == {"FINISHED": 2, "KILLED": 1}
    parent = MlflowStore(uri, "toy").read_study("toy").parent_run_id
    assert MlflowClient(tracking_uri=uri).get_run(parent).info.status == "KILLED"


def test_sync_needs_a_study_that_nobody_runs(tmp_path, uri):
    with lease(tmp_path), pytest.raises(StoreError, match=r"^a study must have one conductor, "):
        sync_study(tmp_path, MlflowStore(uri, "toy"))
    with pytest.raises(
        StoreError,
        match=rf"^{tmp_path}/study.json must say what the study is, it cannot be read \(.*\); "
        r"running the grid again writes it\.$",
    ):
        sync_study(tmp_path, MlflowStore(uri, "toy"))


@pytest.mark.slow
def test_stores_locked_for_seconds_cost_nothing(tmp_path, uri):
    """A transaction holds MLflow's and Optuna's files for longer than SQLite itself waits."""
    record, trials = study = toy_study()
    conduct(
        tmp_path / "study", store=MlflowStore(uri, "toy"), study=study, limits=Limits(max_trials=1)
    )
    paths = [Path(uri.removeprefix("sqlite:///")), tmp_path / "study" / "optuna.db"]
    locks = [sqlite3.connect(path, isolation_level=None, check_same_thread=False) for path in paths]
    for lock in locks:
        lock.execute("BEGIN IMMEDIATE")
    release = threading.Timer(8.0, lambda: [lock.execute("ROLLBACK") for lock in locks])
    release.start()
    summary, _ = conduct(tmp_path / "study", store=MlflowStore(uri, "toy"), study=study)
    release.join()
    assert (counts(summary), summary.unpublished, summary.optuna_problem) == (
        (5, 1, 0),
        ALL_TOLD,
        "",
    )
    assert set(mlflow_runs(uri).values()) == {"FINISHED"}
    assert sorted(optuna_states(tmp_path / "study", record)) == sorted(
        (trial.trial_id, 1, "COMPLETE") for trial in trials
    )


def test_a_folder_that_cannot_be_made_any_more_is_named(tmp_path):
    """As on a full disk: the call ends with a sentence, and the next goes on."""
    study = toy_study()
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "trials").write_text("in the way")
    with pytest.raises(
        StoreError,
        match=r"^the study's folder must be writable, .* cannot be made: .*; free space, "
        r"the same command goes on\.$",
    ):
        conduct(folder, study=study)
    (folder / "trials").unlink()
    assert counts(conduct(folder, study=study)[0]) == (6, 0, 0)


def test_a_full_disk_that_leaves_half_a_line_loses_no_trial(tmp_path, monkeypatch):
    """The worst that a disk can do: a part of the line is there, and cannot be taken away."""
    study = toy_study()
    folder = tmp_path / "study"
    write, n_lines = Journal._write, []

    def fill_up(self, line: bytes, *, is_end: bool) -> None:
        n_lines.append(line)
        if len(n_lines) > 9:
            with self.path.open("ab") as file:
                file.write(line[: len(line) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, line, is_end=is_end)

    message = (
        rf"^the study's journal must be writable, {folder / JOURNAL} is not: "
        r".*No space left on device; free space or pass another folder\.$"
    )
    with monkeypatch.context() as patch, pytest.raises(StudyStopped, match=message):
        patch.setattr(Journal, "_write", fill_up)
        conduct(folder, study=study)
    summary, heard = conduct(folder, study=study)
    assert (counts(summary), summary.damage) == ((4, 2, 0), "")
    assert journal(folder).reading().is_whole
    assert journal(folder).read()[-len(heard) :] == heard


class WithoutSpace:
    slots = ()

    def run(self, take, on_event) -> None:
        take("cpu:0")
        raise OSError(errno.ENOSPC, "No space left on device", "worker.log")


def test_workers_that_cannot_start_stop_the_study_in_a_sentence(tmp_path):
    message = (
        "the study's workers must be able to start and to write their logs, they are not: "
        "[Errno 28] No space left on device: 'worker.log'."
    )
    with pytest.raises(StudyStopped, match=f"^{re.escape(message)}$"):
        conduct(tmp_path / "study", executor=WithoutSpace())
    assert counts(conduct(tmp_path / "study")[0]) == (6, 0, 0)


V1 = Path(__file__).parent / "study_v1"
"""A study of the version before journals had checksums: three trials, one of them with a failed
attempt before."""


def test_a_study_of_the_former_version_that_was_cut_short_goes_on(tmp_path):
    study = toy_study(seeds=(0,))
    folder = tmp_path / "study"
    shutil.copytree(V1, folder)
    lines = (folder / JOURNAL).read_bytes().splitlines(keepends=True)
    (folder / JOURNAL).write_bytes(b"".join(lines[:-1]) + lines[-1][:40])
    summary, heard = conduct(folder, study=study)
    assert (counts(summary), {event.attempt for event in heard}, summary.damage) == (
        (1, 2, 0),
        {3},
        "",
    )
    assert (folder / JOURNAL).read_bytes().startswith(b"".join(lines[:-1]))
    assert journal(folder).reading().is_whole
    assert counts(conduct(folder, study=study)[0]) == (0, 3, 0)


@pytest.mark.slow
@pytest.mark.parametrize("n_line", range(12))
def test_a_trial_whose_line_is_damaged_is_run_again_with_the_same_score(tmp_path, n_line):
    study = toy_study(seeds=(0,))
    folder = tmp_path / "study"
    conduct(folder, study=study)
    whole = {
        event.trial_id: event.outcome
        for event in journal(folder).read()
        if isinstance(event, TrialEnded)
    }
    lines = (folder / JOURNAL).read_bytes().splitlines(keepends=True)
    lines[n_line] = lines[n_line].replace(b":1", b":7", 1)
    (folder / JOURNAL).write_bytes(b"".join(lines))
    summary, _ = conduct(folder, study=study)
    assert counts(summary) == (1, 2, 0)
    assert summary.damage.startswith(
        f"the journal {folder / JOURNAL} is damaged: line {n_line + 1} cannot be read and is left "
        "out; attempt "
    )
    kept = attempts(journal(folder).read())
    assert {
        key[0]: end_of(attempt).outcome for key, attempt in kept.items() if attempt.is_complete
    } == whole
    again, heard = conduct(folder, study=study)
    assert (counts(again), heard, again.damage) == ((0, 3, 0), [], "")


def test_sync_mends_a_damaged_journal_and_says_killed(tmp_path, uri):
    study = toy_study(seeds=(0,))
    folder = tmp_path / "study"
    conduct(folder, study=study)
    content = (folder / JOURNAL).read_bytes()
    (folder / JOURNAL).write_bytes(content.replace(b'"test/macro_f1":0.', b'"test/macro_f1":9.', 1))
    assert sync_study(folder, MlflowStore(uri, "toy")) == ALL_TOLD
    assert Counter(mlflow_runs(uri).values()) == {"FINISHED": 2, "KILLED": 1}
    assert len(list(folder.glob("journal.damaged-*.jsonl"))) == 1
