"""A real MLflow server that is stopped for the middle third of a study: nothing waits for it,
nothing is lost, all is published after it returns.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from mlflow import MlflowClient
from support.toy_conductor import ALL_TOLD, conduct, counts, mlflow_runs
from support.toy_execution import outcome_of
from support.toy_study import new_store_uri, toy_study

from ablate.scheduling.catch_up import sync_study
from ablate.tracking.events import Event, TrialEnded
from ablate.tracking.mlflow_store import MlflowStore

N_SEEDS = 6


class Server:
    """`mlflow server` on a port of its own, over one SQLite file."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store_uri = folder, new_store_uri(folder)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        where = ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        what = [
            "--backend-store-uri",
            self.store_uri,
            "--artifacts-destination",
            str(self.folder / "artifacts"),
        ]
        command = [sys.executable, "-m", "mlflow", "server", *where, *what]
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        until = time.monotonic() + 120
        while not self.answers():
            assert time.monotonic() < until, (self.folder / "server.log").read_text()
            time.sleep(0.2)

    def answers(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.url}/health", timeout=2).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    made = Server(tmp_path_factory.mktemp("server"))
    made.start()
    yield made
    made.stop()


@pytest.mark.slow
def test_a_server_away_for_the_middle_third_misses_nothing(server, tmp_path, monkeypatch):
    monkeypatch.setattr("ablate.tracking.publisher._LONGEST_PAUSE_S", 0.5)
    _, trials = study = toy_study(seeds=range(N_SEEDS))
    n_ended = 0

    def stop_and_start(event: Event) -> None:
        nonlocal n_ended
        n_ended += isinstance(event, TrialEnded)
        if isinstance(event, TrialEnded) and n_ended == len(trials) // 3:
            server.stop()
        if isinstance(event, TrialEnded) and n_ended == 2 * len(trials) // 3:
            assert not server.answers()
            server.start()

    summary, heard = conduct(
        tmp_path / "study",
        store=MlflowStore(server.url, "toy"),
        study=study,
        on_event=stop_and_start,
    )
    assert (counts(summary), summary.unpublished) == ((len(trials), 0, 0), ALL_TOLD)
    assert mlflow_runs(server.url) == {(trial.trial_id, 1): "FINISHED" for trial in trials}
    expected = {
        event.trial_id: outcome_of(event).metrics
        for event in heard
        if isinstance(event, TrialEnded)
    }
    store = MlflowStore(server.url, "toy")
    published = store.read_study("toy")
    assert {run.trial_id: run.metrics for run in published.runs} == expected
    assert {len(run.curves["val/macro_f1"]) for run in published.runs} == {2}
    assert len(store.read_predictions(published.runs[-1])) == 12


@pytest.mark.slow
def test_a_server_away_for_good_is_caught_up_by_sync(server, tmp_path, monkeypatch):
    monkeypatch.setattr("ablate.scheduling.conductor.PATIENCE_S", 1.0)
    study = toy_study(grid_name="later", study_id="later")
    summary, _ = conduct(
        tmp_path / "study",
        store=MlflowStore(server.url, "later"),
        study=study,
        on_event=lambda event: server.stop(),
    )
    assert counts(summary) == (6, 0, 0)
    assert summary.unpublished.n_attempts == 6
    server.start()
    for _ in range(2):
        assert sync_study(tmp_path / "study", MlflowStore(server.url, "later")) == ALL_TOLD
        runs = MlflowStore(server.url, "later").read_study("later").runs
        assert [run.status for run in runs] == ["COMPLETE"] * 6
    experiment = MlflowClient(tracking_uri=server.url).get_experiment_by_name("later")
    assert experiment is not None
    assert len(MlflowClient(tracking_uri=server.url).search_runs([experiment.experiment_id])) == 7
