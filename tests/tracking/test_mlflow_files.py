"""Files that were deleted from a store are written again of the journal and its attempts, the same
to the last byte.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient
from support.toy_study import failed_events, new_store_uri, toy_events, toy_study

from ablate.errors import StoreError
from ablate.tracking.mlflow_files import LackingFile
from ablate.tracking.mlflow_store import MlflowStore


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return new_store_uri(tmp_path / "store")


def tell(uri: str, folder: Path) -> MlflowStore:
    """One trial that completes at its second attempt, told from its journal."""
    record, (trial, *_) = toy_study()
    store = MlflowStore(uri, "toy")
    store.start_study(record, {})
    for event in [
        *failed_events(trial),
        *toy_events(trial, folder=folder / "first", attempt=2, at=1_800_000_000.0),
    ]:
        store.publish(event, trial=trial, folder=folder / "first")
    return store


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "gone",
    [
        "*",
        "predictions.parquet",
        "curves.json",
        "spec.json",
        "delta.safetensors",
        "study.json",
        "failure.txt",
    ],
)
def test_deleted_files_are_written_again(gone, uri, tmp_path):
    tell(uri, tmp_path)
    kept = tmp_path / "store" / "artifacts"
    before = files_in(kept)
    assert len(before) == 10
    deleted = [path for path in kept.rglob(gone) if path.is_file()]
    assert deleted
    if gone == "failure.txt":
        deleted[0].with_name("spec.json").unlink()
    for path in deleted:
        path.unlink()
    tell(uri, tmp_path)
    assert files_in(kept) == before
    assert len(MlflowClient(tracking_uri=uri).search_runs(["1"])) == 3


def test_a_report_sees_that_predictions_are_gone(uri, tmp_path):
    store = tell(uri, tmp_path)
    assert not store.lacks_files(store.read_study("toy"))
    (path,) = (tmp_path / "store").rglob("predictions.parquet")
    path.unlink()
    assert store.lacks_files(store.read_study("toy"))
    study = store.read_study("toy")
    message = (
        f"the run {study.runs[0].run_id} must hold predictions.parquet, "
        f"which could not be read from {path.parent.as_uri()}: there is no such file; "
        "ablate sync toy writes it again where the study's journal is, "
        "else put the file back there."
    )
    with pytest.raises(LackingFile, match=f"^{re.escape(message)}$"):
        store.read_predictions(study.runs[0])


def test_predictions_that_are_gone_everywhere_are_named(uri, tmp_path):
    store = tell(uri, tmp_path)
    (run,) = store.read_study("toy").runs
    shutil.rmtree(tmp_path / "store" / "artifacts")
    record, (trial, *_) = toy_study()
    again, events = (
        MlflowStore(uri, "toy"),
        toy_events(trial, folder=tmp_path / "again", attempt=2, at=1_800_000_000.0),
    )
    (tmp_path / "first" / "predictions.parquet").unlink()
    again.start_study(record, {})
    for event in events[:-1]:
        again.publish(event, trial=trial, folder=tmp_path / "first")
    message = (
        f"the run {run.run_id} must hold predictions.parquet, "
        f"it is gone from MLflow and from {tmp_path / 'first'}"
    )
    with pytest.raises(StoreError, match=f"^{re.escape(message)}$"):
        again.publish(events[-1], trial=trial, folder=tmp_path / "first")


def test_what_the_trial_itself_lacks_holds_nothing_up(uri, tmp_path):
    """Somebody deleted the weights to save space, in both places."""
    tell(uri, tmp_path)
    for path in tmp_path.rglob("delta.safetensors"):
        path.unlink()
    record, (trial, *_) = toy_study()
    events = toy_events(trial, folder=tmp_path / "other", attempt=2, at=1_800_000_000.0)
    store = MlflowStore(uri, "toy")
    store.start_study(record, {})
    for event in events:
        store.publish(event, trial=trial, folder=tmp_path / "first")
    assert len(list((tmp_path / "store").rglob("predictions.parquet"))) == 1
