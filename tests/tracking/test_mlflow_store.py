from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from support import TESTS
from support.toy_store import publish_all
from support.toy_study import (
    CLASSES,
    failed_events,
    new_store_uri,
    toy_events,
    toy_predictions,
    toy_study,
)

from ablate.errors import CheckFailed, StoreError
from ablate.tracking.events import TrialEnded, TrialStarted, TrialState
from ablate.tracking.links import compare_url
from ablate.tracking.mlflow_store import MlflowStore
from ablate.tracking.records import PublishedStudy


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return new_store_uri(tmp_path / "store")


@pytest.fixture
def client(uri) -> MlflowClient:
    return MlflowClient(tracking_uri=uri)


def everything(client: MlflowClient) -> list:
    """All that the store holds, but for the parent's end time."""
    found = []
    for experiment in client.search_experiments():
        for run in client.search_runs([experiment.experiment_id]):
            histories = {
                name: [
                    (p.step, p.value, p.timestamp)
                    for p in client.get_metric_history(run.info.run_id, name)
                ]
                for name in sorted(run.data.metrics)
            }
            files = sorted(
                str(path.relative_to(run.info.artifact_uri.removeprefix("file://")))
                for path in Path(run.info.artifact_uri[7:]).rglob("*")
            )
            assert run.inputs is not None
            digests = [data.dataset.digest for data in run.inputs.dataset_inputs]
            found.append(
                (
                    run.info.run_id,
                    run.info.status,
                    run.data.params,
                    run.data.tags,
                    histories,
                    files,
                    digests,
                )
            )
    return found


def test_a_completed_run_holds_everything(uri, client, tmp_path):
    store, _, (one, *_) = publish_all(uri, tmp_path)
    study = store.read_study("toy")
    run = client.get_run(study.runs[0].run_id)
    parent = client.get_run(study.parent_run_id)
    assert (
        parent.info.status,
        parent.info.run_name,
        parent.data.tags["ablate.kind"],
        parent.data.tags["commit"],
    ) == ("FAILED", "toy", "study", "c0ffee")
    assert run.info.status == "FINISHED"
    assert run.data.tags["mlflow.parentRunId"] == study.parent_run_id
    assert (
        run.data.tags.items()
        >= {
            "ablate.kind": "trial",
            "ablate.study_id": "abc123",
            "ablate.trial_id": one.trial_id,
            "ablate.arm_id": one.arm_id,
            "ablate.arm": "freeze_depth=all lr_ratio=0.1",
            "ablate.seed": "0",
            "ablate.attempt": "1",
            "ablate.state": "COMPLETE",
            "commit": "c0ffee",
            "device": "cpu",
        }.items()
    )
    assert (
        run.data.params.items()
        >= {
            "freeze_depth": "all",
            "lr_ratio": "0.1",
            "patience": "null",
            "seed": "0",
            "data.source": "toy",
            "data.split_seed": "3",
        }.items()
    )
    assert (
        run.data.metrics.items()
        >= {
            "val/macro_f1": 0.6,
            "test/macro_f1": 0.55,
            "param/lr_ratio": 0.1,
            "param/seed": 0.0,
            "param/data.split_seed": 3.0,
        }.items()
    )
    assert "param/freeze_depth" not in run.data.metrics
    assert [
        (p.step, p.value) for p in client.get_metric_history(run.info.run_id, "epoch/val/macro_f1")
    ] == [(0, 0.5), (1, 0.6), (2, 0.7)]
    (dataset,) = [entry.dataset for entry in run.inputs.dataset_inputs]
    assert (dataset.name, dataset.digest, json.loads(dataset.profile)["n_images"]) == (
        "Toy flowers",
        "f" * 36,
        {"train": 12, "val": 6, "test": 6},
    )
    files = {entry.path for entry in client.list_artifacts(run.info.run_id)}
    assert files == {
        "predictions.parquet",
        "delta.safetensors",
        "spec.json",
        "curves.json",
        "confusion_val.csv",
        "confusion_test.csv",
    }
    confusion = pd.read_csv(Path(run.info.artifact_uri[7:]) / "confusion_val.csv", index_col=0)
    assert confusion.columns.tolist() == list(CLASSES)
    assert confusion.to_numpy().tolist() == [[1, 1, 0], [0, 2, 0], [1, 0, 1]]
    assert (
        type(one).model_validate_json((Path(run.info.artifact_uri[7:]) / "spec.json").read_text())
        == one
    )


def test_artifacts_lie_beside_the_sqlite_file(uri, client, tmp_path):
    publish_all(uri, tmp_path)
    assert (
        Path(client.get_experiment_by_name("toy").artifact_location.removeprefix("file://"))
        == tmp_path / "store" / "artifacts" / "toy"
    )


def test_what_an_attempt_is_told_in_one_go_is_written_in_one_call(uri, tmp_path, monkeypatch):
    record, (trial, *_) = toy_study()
    store = MlflowStore(uri, "toy")
    store.start_study(record, {})
    batches = []
    log_batch = MlflowClient.log_batch

    def count(*args, **kwargs):
        batches.append(args)
        return log_batch(*args, **kwargs)

    monkeypatch.setattr(MlflowClient, "log_batch", count)
    for event in toy_events(trial, folder=tmp_path / "1"):
        store.publish(event, trial=trial, folder=tmp_path / "1")
    assert len(batches) == 1
    store.rest()
    assert len(batches) == 1  # nothing was left


def trial_run(client: MlflowClient) -> Run:
    """The one run of an attempt."""
    (experiment,) = [one for one in client.search_experiments() if one.name == "toy"]
    (run,) = client.search_runs(
        [experiment.experiment_id], filter_string="tags.`ablate.kind` = 'trial'"
    )
    return run


def test_what_is_held_of_an_attempt_that_goes_on_is_written_at_rest(uri, client, tmp_path):
    record, (trial, *_) = toy_study()
    store = MlflowStore(uri, "toy")
    store.start_study(record, {})
    for event in toy_events(trial, folder=tmp_path / "1")[:2]:
        store.publish(event, trial=trial, folder=tmp_path / "1")
    run = trial_run(client)
    assert (run.info.status, run.data.params, run.data.metrics) == ("RUNNING", {}, {})
    store.rest()
    run = trial_run(client)
    assert run.data.params["backbone"] == trial.recipe.backbone
    assert run.data.metrics["epoch/train/loss"] == 1.0
    assert run.inputs is not None
    (dataset,) = run.inputs.dataset_inputs
    assert dataset.dataset.digest


def test_a_study_is_read_back_with_one_run_a_trial(uri, tmp_path):
    store, record, trials = publish_all(uri, tmp_path)
    store.rest()
    study = store.read_study("toy")
    assert study.record == record
    assert study.tracking_uri == uri
    by_trial = {run.trial_id: run for run in study.runs}
    assert [by_trial[trial.trial_id].status for trial in trials[:4]] == [
        "COMPLETE",
        "COMPLETE",
        "FAILED",
        "RUNNING",
    ]
    assert len(by_trial) == len(study.runs) == 4
    one, two, three, four = (by_trial[trial.trial_id] for trial in trials[:4])
    assert (two.attempt, two.failure, three.attempt, three.failure) == (
        2,
        "",
        1,
        "ValueError: no luck",
    )
    assert (one.arm_id, one.seed, two.seed) == (trials[0].arm_id, 0, 1)
    assert one.metrics == {"val/macro_f1": 0.6, "test/macro_f1": 0.55, "time/train_s": 2.5}
    assert one.curves == {
        "train/loss": ((0, 1.0), (1, 0.5), (2, 1.0 / 3)),
        "val/macro_f1": ((0, 0.5), (1, 0.6), (2, 0.7)),
    }
    assert three.curves == four.curves == {"train/loss": ((0, 1.0),)}
    assert one.params["freeze_depth"] == "all"


def test_a_damaged_file_of_curves_is_replaced_by_the_metrics(uri, client, tmp_path, caplog):
    store, _, _ = publish_all(uri, tmp_path)
    whole = store.read_study("toy").runs
    files = sorted(
        Path(unquote(urlsplit(client.get_run(run.run_id).info.artifact_uri).path), "curves.json")
        for run in whole[:2]
    )
    files[0].write_bytes(files[0].read_bytes().replace(b"1.0", b"9.0"))
    files[1].write_bytes(b"\xff[")
    assert [run.curves for run in store.read_study("toy").runs] == [run.curves for run in whole]
    assert sorted(message.partition(" (")[0] for message in caplog.messages) == sorted(
        f"curves.json of run {run.run_id} is damaged" for run in whole[:2]
    )


def test_the_file_of_curves_says_what_the_metrics_say(uri, client, tmp_path, monkeypatch):
    store, *_ = publish_all(uri, tmp_path)
    fast = store.read_study("toy")
    for run in fast.runs:
        if "ablate.curves" in run.tags:
            client.delete_tag(run.run_id, "ablate.curves")
    assert [run.curves for run in store.read_study("toy").runs] == [run.curves for run in fast.runs]


def test_predictions_are_read_back(uri, tmp_path):
    store, *_ = publish_all(uri, tmp_path)
    study = store.read_study("toy")
    frame = store.read_predictions(study.runs[0])
    written = toy_predictions().values()
    assert frame["image_id"].tolist() == [name for split in written for name in split.image_ids]
    with pytest.raises(
        StoreError,
        match=re.escape(
            f"the run {study.runs[2].run_id} must hold predictions.parquet, "
            "which could not be read from file://"
        ),
    ):
        store.read_predictions(study.runs[2])


@pytest.mark.slow
def test_publishing_twice_changes_nothing(uri, client, tmp_path):
    publish_all(uri, tmp_path)
    before = everything(client)
    assert len(before) == 6
    publish_all(uri, tmp_path)
    assert everything(client) == before


def test_an_end_that_broke_off_is_published_again(uri, client, tmp_path):
    record, (one, *_) = toy_study()
    store = MlflowStore(uri, "toy")
    store.start_study(record, {})
    events = toy_events(one, folder=tmp_path / "1")
    (tmp_path / "1" / "delta.safetensors").rename(tmp_path / "away")
    for event in events[:-1]:
        store.publish(event, trial=one, folder=tmp_path / "1")
    with pytest.raises(Exception, match=r"delta\.safetensors"):
        store.publish(events[-1], trial=one, folder=tmp_path / "1")
    assert [run.status for run in store.read_study("toy").runs] == ["RUNNING"]
    (tmp_path / "away").rename(tmp_path / "1" / "delta.safetensors")
    store.publish(events[-1], trial=one, folder=tmp_path / "1")
    (run,) = store.read_study("toy").runs
    assert run.status == "COMPLETE"
    assert len(run.curves["train/loss"]) == 3


def test_an_attempt_of_the_same_number_that_started_later_is_another_run(uri, tmp_path):
    """A journal was deleted, so attempts count from 1 again: the new result must not vanish behind
    the old one.
    """
    record, (one, *_) = toy_study()
    for events in (
        failed_events(one, at=1_700_000_000.0),
        toy_events(one, folder=tmp_path / "1", at=1_800_000_000.0),
    ):
        store = MlflowStore(uri, "toy")
        store.start_study(record, {})
        for event in events:
            store.publish(event, trial=one, folder=tmp_path / "1")
    (run,) = store.read_study("toy").runs
    assert run.status == "COMPLETE"


def test_runs_of_a_dead_conductor_that_nobody_knows_are_closed(uri, client, tmp_path):
    publish_all(uri, tmp_path, finish=False)
    record, trials = toy_study()
    store = MlflowStore(uri, "toy")
    store.start_study(record, {})
    live = TrialStarted(trials[4].trial_id, 1, slot="cpu:0", at=1_700_000_100.0)
    store.publish(live, trial=trials[4], folder=tmp_path)
    assert store.close_stale() == 1
    status = {run.trial_id: (run.status, run.failure) for run in store.read_study("toy").runs}
    assert status[trials[3].trial_id] == ("KILLED", "ConductorDied: nothing is known of its end")
    assert status[trials[4].trial_id] == ("RUNNING", "")


def test_a_killed_attempt_known_to_the_journal_is_closed_by_its_own_events(uri, tmp_path):
    _, record, trials = publish_all(uri, tmp_path, finish=False)
    store = MlflowStore(uri, "toy")
    store.start_study(record, {})
    started, epoch, _ = failed_events(trials[3], at=1_700_000_040.0)
    for event in (
        started,
        epoch,
        TrialEnded(trials[3].trial_id, 1, TrialState.KILLED, at=1_700_000_050.0),
    ):
        store.publish(event, trial=trials[3], folder=tmp_path)
    assert store.close_stale() == 0
    assert {run.trial_id: run.status for run in store.read_study("toy").runs}[
        trials[3].trial_id
    ] == "KILLED"


def test_publishing_needs_a_start(uri, tmp_path):
    record, (one, *_) = toy_study()
    store = MlflowStore(uri, "toy")
    started, epoch, _ = failed_events(one)
    with pytest.raises(CheckFailed, match=r"^start_study must come before publish\.$"):
        store.publish(started, trial=one, folder=tmp_path)
    store.start_study(record, {})
    with pytest.raises(
        CheckFailed,
        match=re.escape(
            f"a trial's start must be published before its EpochEnded, ('{one.trial_id}', "
            "1) was not."
        ),
    ):
        store.publish(epoch, trial=one, folder=tmp_path)


def test_the_newest_study_or_the_one_that_is_named(uri):
    for study_id in ("first", "second"):
        record, _ = toy_study(study_id=study_id)
        MlflowStore(uri, "toy").start_study(record, {})
    store = MlflowStore(uri, "toy")
    assert store.read_study("toy").record.study_id == "second"
    assert store.read_study("toy", "first").record.study_id == "first"
    with pytest.raises(
        StoreError,
        match=re.escape(
            f"the experiment 'toy' of {uri!r} must hold the study 'third'; studies there: second, "
            "first."
        ),
    ):
        store.read_study("toy", "third")
    with pytest.raises(
        StoreError,
        match=re.escape(
            f"the tracking store {uri!r} must hold the experiment 'toi', it does not; "
            "did you mean toy?"
        ),
    ):
        store.read_study("toi")


def test_runs_of_arms_that_left_the_grid_are_left_out(uri, tmp_path):
    publish_all(uri, tmp_path)
    record, _ = toy_study(seeds=(0,))
    store = MlflowStore(uri, "toy")
    store.start_study(record, {})
    assert {run.seed for run in store.read_study("toy").runs} == {0}


def test_a_deleted_experiment_is_named(uri, client):
    client.delete_experiment(client.create_experiment("toy"))
    message = (
        f"the experiment 'toy' must not be deleted in {uri!r}; restore it there, "
        "or give the grid file another name."
    )
    with pytest.raises(StoreError, match=f"^{re.escape(message)}$"):
        MlflowStore(uri, "toy").check_reachable()


class _NotMlflow(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *_) -> None:
        pass


@pytest.mark.slow
def test_a_server_that_is_no_mlflow_is_refused():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _NotMlflow)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    uri = f"http://127.0.0.1:{server.server_port}"
    try:
        with pytest.raises(
            StoreError, match=re.escape(f"the tracking store must answer, {uri!r} did not: ")
        ):
            MlflowStore(uri, "toy").check_reachable()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_champion_is_a_complete_model(uri, client, tmp_path, monkeypatch):
    store, *_ = publish_all(uri, tmp_path)
    run = store.read_study("toy").runs[0]
    folder = tmp_path / "champion"
    folder.mkdir()
    (folder / "share.txt").write_text("0.25")
    model_uri = store.log_champion(
        run.run_id,
        folder=folder,
        loader_module="support.toy_loader",
        n_classes=3,
        requirements=["numpy"],
    )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    model = mlflow.pyfunc.load_model(model_uri)
    probabilities = model.predict(np.zeros((2, 5, 5, 3), dtype=np.uint8))
    np.testing.assert_array_equal(probabilities, np.full((2, 3), 0.25, dtype=np.float32))
    assert str(model.metadata.signature.inputs) == "[Tensor('uint8', (-1, -1, -1, 3))]"
    assert str(model.metadata.signature.outputs) == "[Tensor('float32', (-1, 3))]"
    with pytest.raises(Exception, match="uint8"):
        model.predict(np.zeros((2, 5, 5, 3), dtype=np.float32))
    logged = client.get_logged_model(model_uri.removeprefix("models:/"))
    assert (logged.source_run_id, logged.status) == (run.run_id, "READY")
    files = [
        path
        for path in Path(logged.artifact_location.removeprefix("file://")).rglob("*")
        if path.is_file()
    ]
    assert "MLmodel" in {path.name for path in files}
    assert not [path for path in files if path.suffix in (".pkl", ".pickle")]
    assert (
        store.log_champion(
            run.run_id,
            folder=folder,
            loader_module="support.toy_loader",
            n_classes=3,
            requirements=[],
        )
        == model_uri
    )
    assert client.get_run(run.run_id).info.status == "FINISHED"


@pytest.mark.slow
def test_a_report_goes_under_its_study(uri, client, tmp_path):
    store, *_ = publish_all(uri, tmp_path)
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "README.md").write_text("# Report")
    study = store.read_study("toy")
    store.log_report(study.parent_run_id, tmp_path / "report", note="# What came of it")
    assert [entry.path for entry in client.list_artifacts(study.parent_run_id, "report")] == [
        "report/README.md"
    ]


def test_the_link_names_every_run(uri, tmp_path):
    store, *_ = publish_all(uri, tmp_path)
    study = store.read_study("toy")
    root, _, page = compare_url("http://127.0.0.1:5000/", study).partition("/#")
    query = parse_qs(urlsplit(page).query)
    assert (root, urlsplit(page).path) == ("http://127.0.0.1:5000", "/compare-runs")
    assert json.loads(query["runs"][0]) == [run.run_id for run in study.runs]
    assert json.loads(query["experiments"][0]) == [study.experiment_id]
    large = PublishedStudy(
        study.record, tracking_uri=uri, experiment_id="7", parent_run_id="p", runs=study.runs * 30
    )
    assert unquote(compare_url("http://h", large)) == (
        "http://h/#/experiments/7?searchFilter=tags.`ablate.study_id` = 'abc123' AND "
        "tags.`ablate.kind` = 'trial'&compareRunsMode=CHART"
    )


@pytest.mark.slow
def test_nothing_is_printed_and_nothing_global_changes(tmp_path):
    """In a process of its own: a new store from nothing, a study, a champion; no word on stdout or
    stderr, no mlflow.db in the working folder.
    """
    script = f"""
import os, sys
sys.path[:0] = {[str(TESTS)]!r}
from pathlib import Path
from support.toy_store import publish_all
home = Path({str(tmp_path)!r})
store, *_ = publish_all("sqlite:///new/mlflow.db", home)
(home / "c").mkdir(); (home / "c" / "share.txt").write_text("0.5")
run_id = store.read_study("toy").runs[0].run_id
store.log_champion(
    run_id,
    folder=home / "c",
    loader_module="support.toy_loader",
    n_classes=3,
    requirements=["numpy"],
)
assert "MLFLOW_TRACKING_URI" not in os.environ
assert "torch" not in sys.modules
"""
    (tmp_path / "cwd").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path / "cwd",
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sorted(path.name for path in (tmp_path / "cwd").iterdir()) == ["new"]
    assert sorted(path.name for path in (tmp_path / "cwd" / "new").iterdir()) == [
        "artifacts",
        "mlflow.db",
    ]
