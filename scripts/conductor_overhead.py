"""What the conductor itself costs per trial.

Trials that do nothing, two workers, MLflow on SQLite followed in the background.

run: .venv/bin/python scripts/conductor_overhead.py 5000
Seen on 2 cores: 16.1 ms per trial (bound: 20) over 5,000 trials; memory 271 MB after 625 of them,
273 MB at the end.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support.toy_study import new_store_uri, toy_study  # noqa: E402

from ablate.scheduling.conductor import run_study  # noqa: E402
from ablate.scheduling.executors.local import LocalExecutor  # noqa: E402
from ablate.scheduling.executors.slots import cpu_slots  # noqa: E402
from ablate.scheduling.session import Session  # noqa: E402
from ablate.scheduling.study_folder import StudyPlan  # noqa: E402
from ablate.study.request import Compute, TrialRequest  # noqa: E402
from ablate.study.trial import Trial  # noqa: E402
from ablate.tracking.events import Event, TrialEnded  # noqa: E402
from ablate.tracking.mlflow_store import MlflowStore  # noqa: E402


def make_request(trial: Trial, attempt: int, folder: Path) -> TrialRequest:
    compute = Compute(device="cpu", precision="fp32", channels_last=False, threads=1)
    return TrialRequest(
        trial=trial, attempt=attempt, n_classes=3, store_path=folder, folder=folder, compute=compute
    )


def resident_mb() -> float:
    """Memory of this process now, in MB; resource.getrusage knows the peak alone."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return float("nan")


class Meter:
    """Prints how long a trial takes once the last one has ended, without waiting for MLflow."""

    def __init__(self, n_trials: int, home: Path) -> None:
        self.n_trials = n_trials
        self.home = home
        self.n_ended = 0
        self.start = 0.0

    def __call__(self, event: Event) -> None:
        if not isinstance(event, TrialEnded):
            return
        self.n_ended += 1
        if self.n_ended == 1:
            self.start = time.perf_counter()
        if self.n_ended % (self.n_trials // 8) == 0:
            sys.stdout.write(f"{self.n_ended} trials, {resident_mb():.0f} MB\n")
        if self.n_ended == self.n_trials:
            seconds = (time.perf_counter() - self.start) / (self.n_trials - 1)
            sys.stdout.write(f"{seconds * 1000:.1f} ms per trial\n")
            sys.stdout.flush()
            # Replaces this process: what is still to be published to MLflow is not measured.
            os.execvp("rm", ["rm", "-rf", str(self.home)])  # noqa: S606, S607


def main(n_trials: int) -> None:
    home = Path(tempfile.mkdtemp(prefix="ablate-overhead-"))
    # Optuna keeps all levels of an axis with each trial: thousands would cost milliseconds.
    levels = tuple((number + 1) * 1e-6 for number in range(n_trials // 10))
    record, trials = toy_study(
        axes={"head_lr": levels, "freeze_depth": ("all",)}, seeds=tuple(range(10))
    )
    executor = LocalExecutor(
        "support.toy_trials:nothing", slots=cpu_slots(2, threads=1), log_folder=home / "logs"
    )
    store = MlflowStore(new_store_uri(home / "store"), "toy")
    meter = Meter(len(trials), home)
    session = Session(home / "study", executor, make_request, store=store, on_event=meter)
    run_study(StudyPlan(record, tuple(trials)), session)


if __name__ == "__main__":
    main(int(sys.argv[1]))
