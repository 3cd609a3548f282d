"""Whatever dies: twenty times kill -9, of a worker or of the conductor, at random moments.

The study ends complete, each trial once, with the same numbers.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from mlflow import MlflowClient
from support import TESTS
from support.toy_conductor import ALL_TOLD, conduct, counts, journal, mlflow_runs, optuna_states
from support.toy_study import new_store_uri, toy_study

from ablate.reporting.evidence.frames import trial_frame, trials_csv
from ablate.scheduling.executors.local import LocalExecutor
from ablate.scheduling.executors.slots import cpu_slots
from ablate.scheduling.limits import Limits
from ablate.scheduling.study_folder import JOURNAL
from ablate.tracking.journal import attempts
from ablate.tracking.mlflow_store import MlflowStore

N_KILLS, N_CONDUCTORS_KILLED, N_WORKERS, SEEDS = 20, 7, 3, range(8)  # 8 seeds x 3 arms = 24 trials


def study():
    return toy_study(seeds=SEEDS)


def conduct_toys(folder: Path, uri: str):
    executor = LocalExecutor(
        "support.toy_trials:lengthy",
        slots=cpu_slots(N_WORKERS, threads=1),
        log_folder=folder / "workers",
    )
    return conduct(
        folder,
        store=MlflowStore(uri, "toy"),
        executor=executor,
        study=study(),
        limits=Limits(retries=N_KILLS),
    )


def start(folder: Path, uri: str) -> subprocess.Popen[bytes]:
    here = Path(__file__).parent
    paths = [str(here), str(TESTS)]
    script = (
        f"import sys; sys.path[:0] = {paths!r}; from pathlib import Path; "
        f"from scheduling.test_chaos import conduct_toys; conduct_toys(Path({str(folder)!r}), "
        f"{uri!r})"
    )
    with (folder.parent / "conductor.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-c", script], stdout=log, stderr=log, start_new_session=True
        )


def workers_of(conductor: subprocess.Popen[bytes]) -> list[int]:
    try:
        return [
            int(pid)
            for pid in Path(f"/proc/{conductor.pid}/task/{conductor.pid}/children")
            .read_text()
            .split()
        ]
    except (FileNotFoundError, ProcessLookupError):
        return []


def kill_here_and_there(folder: Path, uri: str, moments: random.Random) -> None:
    """Kill at random moments, also before a conductor has begun, and start again; return once the
    study has ended in spite of it.
    """
    victims = ["conductor"] * N_CONDUCTORS_KILLED + ["worker"] * (N_KILLS - N_CONDUCTORS_KILLED)
    moments.shuffle(victims)
    conductor = start(folder, uri)
    while True:
        time.sleep(moments.uniform(0.02, 0.5))
        if conductor.poll() is not None:
            assert conductor.returncode in (0, -signal.SIGKILL), (
                folder.parent / "conductor.log"
            ).read_text()
            if not victims and conductor.returncode == 0:
                return
            conductor = start(folder, uri)
        elif (
            victims
            and victims[-1] == "conductor"
            and (workers_of(conductor) or moments.random() < 0.05)
        ):
            conductor.kill()
            conductor.wait()
            victims.pop()
        elif victims and victims[-1] == "worker" and (workers := workers_of(conductor)):
            os.kill(moments.choice(workers), signal.SIGKILL)
            victims.pop()


@pytest.mark.slow
def test_twenty_kills_lose_nothing_and_repeat_nothing(tmp_path):
    record, trials = study()
    assert len(trials) == 24
    calm_uri, uri = new_store_uri(tmp_path / "calm-store"), new_store_uri(tmp_path / "store")
    calm, folder = tmp_path / "calm", tmp_path / "chaos" / "study"
    folder.mkdir(parents=True)
    assert counts(conduct_toys(calm, calm_uri)[0]) == (24, 0, 0)
    kill_here_and_there(folder, uri, random.Random(7))

    once = Counter(trial.trial_id for trial in trials)
    kept = attempts(journal(folder).read())
    assert (
        Counter(trial_id for (trial_id, _), attempt in kept.items() if attempt.is_complete) == once
    )
    assert not any(attempt.is_running for attempt in kept.values())
    assert len(kept) > 24
    in_optuna = optuna_states(folder, record)
    assert Counter(trial_id for trial_id, _, state in in_optuna if state == "COMPLETE") == once
    assert {state for *_, state in in_optuna} == {"COMPLETE", "FAIL"}
    assert {key[:2] for key in in_optuna} == set(kept)
    in_mlflow = mlflow_runs(uri)
    assert (
        Counter(trial_id for (trial_id, _), status in in_mlflow.items() if status == "FINISHED")
        == once
    )
    assert set(in_mlflow.values()) == {"FINISHED", "FAILED", "KILLED"}
    assert set(in_mlflow) == set(kept)

    stormy, quiet = (MlflowStore(which, "toy").read_study("toy") for which in (uri, calm_uri))
    assert MlflowClient(tracking_uri=uri).get_run(stormy.parent_run_id).info.status == "FINISHED"
    tables = [
        [
            (run.trial_id, run.arm_id, run.seed, run.status, run.metrics, run.curves, run.params)
            for run in one.runs
        ]
        for one in (stormy, quiet)
    ]
    assert len(tables[0]) == 24
    assert tables[0] == tables[1]
    assert trials_csv(trial_frame(stormy)) == trials_csv(trial_frame(quiet))
    assert list((folder / "checkpoints").iterdir()) == []

    before = (folder / JOURNAL).read_bytes()
    summary, heard = conduct_toys(folder, uri)
    assert (counts(summary), heard, summary.unpublished) == ((0, 24, 0), [], ALL_TOLD)
    assert mlflow_runs(uri) == in_mlflow
    assert (folder / JOURNAL).read_bytes() == before
