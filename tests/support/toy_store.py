"""A toy study in a tracking store."""

from __future__ import annotations

from pathlib import Path

from ablate.study.record import StudyRecord
from ablate.tracking.mlflow_store import MlflowStore
from support.toy_study import failed_events, toy_events, toy_study


def publish_all(
    uri: str, tmp_path: Path, *, finish: bool = True
) -> tuple[MlflowStore, StudyRecord, list]:
    """The first trial completes, the second fails and completes at the second attempt, the third
    fails, the fourth is left running.
    """
    record, trials = toy_study(seeds=(0, 1))
    store = MlflowStore(uri, "toy")
    store.start_study(record, {"commit": "c0ffee"})
    one, two, three, four, *_ = trials
    scripts = [
        (one, toy_events(one, folder=tmp_path / "1", at=1_700_000_000.0)),
        (two, failed_events(two, at=1_700_000_010.0)),
        (two, toy_events(two, folder=tmp_path / "2", attempt=2, at=1_700_000_020.0)),
        (three, failed_events(three, at=1_700_000_030.0)),
        (four, failed_events(four, at=1_700_000_040.0)[:2]),
    ]
    for trial, events in scripts:
        folder = tmp_path / ("2" if trial is two else "1")
        for event in events:
            store.publish(event, trial=trial, folder=folder)
    if finish:
        store.finish_study("FAILED")
    return store, record, trials
