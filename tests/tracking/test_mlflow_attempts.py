"""An attempt read back from MLflow says what its journal said."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from support.toy_execution import outcome_of
from support.toy_study import end_in, failed_events, new_store_uri, toy_events, toy_study

from ablate.study.trial_facts import TrialFacts
from ablate.tracking.events import EpochEnded, Event, TrialEnded, TrialState
from ablate.tracking.mlflow_store import MlflowStore

ENDED = ("COMPLETE", "PRUNED")


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return new_store_uri(tmp_path / "store")


def publish(uri: str, events, trial, folder: Path) -> MlflowStore:
    record, _ = toy_study()
    store = MlflowStore(uri, "toy")
    store.start_study(record, {"commit": "c0ffee", "version/torch": "2"})
    for event in events:
        store.publish(event, trial=trial, folder=folder)
    return store


def without_times(event: Event) -> Event:
    return replace(event, at=0.0)


def with_sorted_files(event: Event) -> Event:
    if not isinstance(event, TrialEnded):
        return event
    outcome = outcome_of(event)
    return replace(event, outcome=replace(outcome, files=tuple(sorted(outcome.files))))


@pytest.mark.slow
@pytest.mark.parametrize(
    "at", [1_700_000_000.0, 1_700_000_000.0009, 1_700_000_000.999, 1_712_345_678.901]
)
def test_a_complete_attempt_is_read_back(at, uri, tmp_path):
    _, (trial, *_) = toy_study()
    whole = toy_events(trial, folder=tmp_path / "1", at=at, attempt=3)
    before = whole[:-1]
    end = end_in(whole)
    outcome = outcome_of(end)
    metrics = {
        **outcome.metrics,
        "time/latency_ms": math.inf,
        "cost/low": -math.inf,
        "tiny": 5e-324,
        "val/ece": 0.1 + 0.2,
    }
    facts = TrialFacts(device="cpu", weights_source="x" * 3000)
    events = [*before, replace(end, outcome=replace(outcome, metrics=metrics, facts=facts))]
    store = publish(uri, events, trial, tmp_path / "1")
    (read,) = store.read_attempts("abc123", states=ENDED, but=())
    assert (read.trial, read.attempt) == (trial, 3)
    assert sorted(read.files) == sorted(outcome.files)
    told = list(map(with_sorted_files, events))
    back = list(map(with_sorted_files, read.events))
    assert list(map(without_times, back)) == list(map(without_times, told))
    assert [int(back[i].at * 1000) for i in (0, -1)] == [int(told[i].at * 1000) for i in (0, -1)]
    times = [event.at for event in read.events]
    assert times == sorted(times)


def test_a_score_that_is_not_a_number_is_read_back(uri, tmp_path):
    _, (trial, *_) = toy_study()
    *before, _ = whole = toy_events(trial, folder=tmp_path / "1")
    end = end_in(whole)
    outcome = replace(outcome_of(end), metrics={"val/macro_f1": math.nan})
    events = [*before, replace(end, outcome=outcome)]
    (read,) = publish(uri, events, trial, tmp_path / "1").read_attempts(
        "abc123", states=ENDED, but=()
    )
    assert math.isnan(outcome_of(end_in(read.events)).metrics["val/macro_f1"])


def test_only_what_ended_so_and_is_not_known_is_read(uri, tmp_path, caplog):
    _, (one, two, three, four, *_) = toy_study()
    publish(uri, failed_events(one), one, tmp_path)
    publish(uri, toy_events(two, folder=tmp_path / "2"), two, tmp_path / "2")
    store = publish(uri, toy_events(three, folder=tmp_path / "3"), three, tmp_path / "3")
    pruned = [
        *failed_events(four, at=1_700_000_100.0)[:-1],
        TrialEnded(four.trial_id, 1, TrialState.PRUNED, at=1_700_000_102.0),
    ]
    publish(uri, pruned, four, tmp_path)
    read = store.read_attempts("abc123", states=ENDED, but={two.trial_id})
    assert [attempt.trial for attempt in read] == [three, four]
    assert [type(event) for event in read[1].events][1:] == [EpochEnded, TrialEnded]
    assert end_in(read[1].events).state is TrialState.PRUNED
    assert end_in(read[1].events).outcome is None
    assert store.read_attempts("another", states=ENDED, but=()) == ()
    assert MlflowStore(uri, "another").read_attempts("abc123", states=ENDED, but=()) == ()
    for path in (tmp_path / "store").rglob("spec.json"):
        path.unlink()
    assert store.read_attempts("abc123", states=ENDED, but=()) == ()
    assert caplog.text.count("has ended in MLflow and is trained again all the same: the run ") == 3
