"""A study whose Optuna storage and MLflow store are one real PostgreSQL server. `make test-services` installs what this needs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import optuna
import pytest
from support import TESTS
from support.toy_execution import RUN, order
from support.toy_postgres import WHY_NOT, binaries, postgres
from support.toy_study import toy_study

from ablate.scheduling.conductor import run_study
from ablate.scheduling.executors.inline import InlineExecutor
from ablate.scheduling.session import Session
from ablate.scheduling.study_folder import JOURNAL, StudyPlan
from ablate.study.request import Compute, TrialRequest
from ablate.tracking.databases import with_driver
from ablate.tracking.events import EpochEnded
from ablate.tracking.journal import Journal, attempts
from ablate.tracking.mlflow_store import MlflowStore

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(binaries() is None, reason=WHY_NOT),
    pytest.mark.skipif(
        find_spec("psycopg") is None,
        reason="the driver is not installed: pip install 'psycopg[binary]'",
    ),
]


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, str]]:
    """URLs for MLflow and for Optuna, which cannot share a database."""
    with postgres("mlflow", "optuna") as (mlflow, optuna_url):
        yield with_driver(mlflow), with_driver(optuna_url)


def run_toy(folder: Path, server: tuple[str, str], *, on_event=lambda event: None):
    """All trials of the toy study, told to the server."""
    record, trials = toy_study()

    def make_request(trial, attempt: int, attempt_folder: Path) -> TrialRequest:
        compute = Compute(device="cpu", precision="fp32", channels_last=False, threads=1)
        return TrialRequest(
            trial=trial,
            attempt=attempt,
            n_classes=3,
            store_path=folder,
            folder=attempt_folder,
            compute=compute,
        )

    return run_study(
        StudyPlan(record, tuple(trials)),
        Session(
            folder,
            InlineExecutor(RUN),
            make_request,
            store=MlflowStore(server[0], "toy", artifact_root=folder / "artifacts"),
            on_event=on_event,
            optuna_url=server[1],
        ),
    )


def tell_of(trial_id: str):
    """Say on standard output that a trial is in its middle."""

    def on_event(event) -> None:
        if event.trial_id == trial_id and isinstance(event, EpochEnded):
            sys.stdout.write("waits\n")
            sys.stdout.flush()

    return on_event


def states(server: tuple[str, str]) -> tuple[Counter[str], Counter[str]]:
    """Trials by state in Optuna, child runs by status in MLflow."""
    from mlflow import MlflowClient

    (summary,) = optuna.get_all_study_summaries(server[1])
    found = Counter(
        trial.state.name
        for trial in optuna.load_study(study_name=summary.study_name, storage=server[1]).trials
    )
    client = MlflowClient(server[0])
    runs = client.search_runs([client.get_experiment_by_name("toy").experiment_id], max_results=100)
    return found, Counter(run.info.status for run in runs if "mlflow.parentRunId" in run.data.tags)


def artifact_uri(server: tuple[str, str]) -> str:
    """Where the files of a finished run lie."""
    from mlflow import MlflowClient

    client = MlflowClient(server[0])
    (run, *_) = client.search_runs(
        [client.get_experiment_by_name("toy").experiment_id],
        filter_string="attributes.status = 'FINISHED'",
        max_results=1,
    )
    return run.info.artifact_uri


def test_a_study_that_is_killed_ends_complete_once_in_journal_optuna_and_mlflow(server, tmp_path):
    _, trials = toy_study()
    order(tmp_path / "trials", trials[3], "wait until 2")
    script = f"""
import sys
sys.path[:0] = {[str(Path(__file__).parent), str(TESTS)]!r}
from pathlib import Path
from scheduling.test_postgres import run_toy, tell_of
run_toy(Path({str(tmp_path)!r}), {server!r}, on_event=tell_of({trials[3].trial_id!r}))
"""
    conductor = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert "waits\n" in iter(conductor.stdout.readline, "")
    os.kill(conductor.pid, signal.SIGKILL)
    conductor.communicate()

    summary = run_toy(tmp_path, server)
    assert (summary.n_complete, summary.n_reused, summary.n_failed) == (3, 3, 0)
    assert not summary.unpublished.why
    assert not summary.optuna_problem
    ended = attempts(Journal(tmp_path / JOURNAL).read())
    assert Counter(
        trial_id for (trial_id, _), attempt in ended.items() if attempt.is_complete
    ) == Counter(trial.trial_id for trial in trials)
    in_optuna, in_mlflow = states(server)
    assert in_optuna == {"COMPLETE": 6, "FAIL": 1}
    assert in_mlflow["FINISHED"] == 6
    assert set(in_mlflow) <= {"FINISHED", "KILLED"}

    again = run_toy(tmp_path, server)
    assert (again.n_complete, again.n_reused) == (0, 6)
    assert states(server) == (in_optuna, in_mlflow)
    assert "/artifacts/toy/" in artifact_uri(server)
