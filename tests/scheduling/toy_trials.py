"""Trials that need no torch. What a trial does is told by files in the folder above its attempt's: `<trial_id>.do`, e.g. "exit", or "exit until 3" for its
first two attempts."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time

from toy_study import toy_predictions

from ablate.errors import TrialError
from ablate.scheduling.executors._base import Emit
from ablate.spec.request import TrialRequest
from ablate.tracking.artifacts import write_predictions
from ablate.tracking.events import TrialOutcome


def run(request: TrialRequest, emit: Emit) -> TrialOutcome:
    """Score = a number that follows from the trial alone."""
    trial = request.trial
    score = int(trial.trial_id[:6], 16) / 0xFFFFFF
    orders = request.folder.parent / f"{trial.trial_id}.do"
    order, _, until = (orders.read_text() if orders.exists() else "").partition(" until ")
    if until and request.attempt >= int(until):
        order = ""
    sys.stdout.write(f"runs {trial.trial_id} attempt {request.attempt}\n")
    for epoch in range(2):
        emit(epoch, 2, {"train/loss": 1.0 / (epoch + 1), "val/macro_f1": score * (epoch + 1) / 2})
        if epoch == 0:
            _obey(order)
    write_predictions(request.folder / "predictions.parquet", toy_predictions())
    (request.folder / "where.txt").write_text(f"{os.getpid()} {os.environ.get('OMP_NUM_THREADS')} {os.environ.get('CUDA_VISIBLE_DEVICES')}")
    return TrialOutcome(
        best_epoch=1,
        metrics={"val/macro_f1": score, "test/macro_f1": score / 2},
        facts={"device": "cpu"},
        files=("missing.bin",) if order == "forget" else ("predictions.parquet",),
    )


def _obey(order: str) -> None:
    match order:
        case "raise":
            raise TrialError("the loss must be finite, got nan\nin step 3")
        case "exit":
            os._exit(7)
        case "sys.exit":
            sys.exit("enough")
        case "segfault":
            ctypes.string_at(0)
        case "wait":
            time.sleep(600)
        case "slow":
            time.sleep(4)
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "child":
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], close_fds=False)
            os._exit(7)


def nothing(request: TrialRequest, emit: Emit) -> TrialOutcome:
    """As little as a trial can do."""
    return TrialOutcome(best_epoch=0, metrics={"val/macro_f1": 0.5}, facts={}, files=())
