"""A study whose Optuna storage and MLflow store are one real PostgreSQL server.

`make test-services` installs what this needs.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec

import optuna
import pytest
from mlflow import MlflowClient
from support import TESTS
from support.toy_execution import line_of, order
from support.toy_postgres import WHY_NOT, binaries, postgres, run_toy
from support.toy_study import toy_study

from ablate.scheduling.study_folder import JOURNAL
from ablate.tracking.databases import with_driver
from ablate.tracking.journal import Journal, attempts

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


def experiment_id(client: MlflowClient) -> str:
    experiment = client.get_experiment_by_name("toy")
    assert experiment is not None
    return experiment.experiment_id


def states(server: tuple[str, str]) -> tuple[Counter[str], Counter[str]]:
    """Trials by state in Optuna, child runs by status in MLflow."""
    storage = optuna.storages.RDBStorage(server[1])
    (study,) = storage.get_all_studies()
    found = Counter(trial.state.name for trial in storage.get_all_trials(study._study_id))
    storage.remove_session()
    storage.engine.dispose()
    client = MlflowClient(server[0])
    runs = client.search_runs([experiment_id(client)], max_results=100)
    return found, Counter(run.info.status for run in runs if "mlflow.parentRunId" in run.data.tags)


def artifact_uri(server: tuple[str, str]) -> str:
    """Where the files of a finished run lie."""
    client = MlflowClient(server[0])
    (run, *_) = client.search_runs(
        [experiment_id(client)],
        filter_string="attributes.status = 'FINISHED'",
        max_results=1,
    )
    return run.info.artifact_uri


@pytest.mark.slow
def test_a_study_that_is_killed_ends_complete_once_in_journal_optuna_and_mlflow(server, tmp_path):
    _, trials = toy_study()
    order(tmp_path / "trials", trials[3], "wait until 2")
    script = f"""
import sys
sys.path[:0] = {[str(TESTS)]!r}
from pathlib import Path
from support.toy_postgres import run_toy, tell_of
run_toy(Path({str(tmp_path)!r}), {server!r}, on_event=tell_of({trials[3].trial_id!r}))
"""
    conductor = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert "waits\n" in iter(partial(line_of, conductor), "")
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
