"""Trials that need no torch. What a trial does is told by files in the folder above its attempt's: `<trial_id>.do`, e.g. "exit", or "exit until 3" for its
first two attempts. A node that has no such folder finds them in $TOY_ORDERS."""

from __future__ import annotations

import ctypes
import hashlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from ablate.errors import TrialError
from ablate.files import write_text
from ablate.scheduling.executors._base import Emit
from ablate.study.request import TrialRequest
from ablate.study.trial_facts import TrialFacts
from ablate.tracking.artifacts import write_predictions
from ablate.tracking.events import TrialOutcome
from support.toy_study import toy_predictions


def run(request: TrialRequest, emit: Emit) -> TrialOutcome:
    """Score = a number that follows from the trial alone."""
    trial = request.trial
    score = int(trial.trial_id[:6], 16) / 0xFFFFFF
    orders = Path(os.environ.get("TOY_ORDERS") or request.folder.parent) / f"{trial.trial_id}.do"
    order, _, until = (orders.read_text() if orders.exists() else "").partition(" until ")
    if until and request.attempt >= int(until):
        order = ""
    sys.stdout.write(f"runs {trial.trial_id} attempt {request.attempt}\n")
    for epoch in range(2):
        emit(epoch, 2, {"train/loss": 1.0 / (epoch + 1), "val/macro_f1": score * (epoch + 1) / 2})
        if epoch == 0:
            _obey(order)
    write_predictions(
        request.folder / "predictions.parquet", toy_predictions(), task="classification"
    )
    (request.folder / "where.txt").write_text(
        f"{os.getpid()} {os.environ.get('OMP_NUM_THREADS')} {os.environ.get('CUDA_VISIBLE_DEVICES')}"
    )
    return TrialOutcome(
        best_epoch=1,
        metrics={"val/macro_f1": score, "test/macro_f1": score / 2},
        facts=TrialFacts(device="cpu"),
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
            time.sleep(
                600
            )  # the signal stops the process a moment later, in whatever this thread does then
        case "child":
            subprocess.Popen(
                [sys.executable, "-c", "import time; time.sleep(600)"], close_fds=False
            )
            os._exit(7)


def nothing(request: TrialRequest, emit: Emit) -> TrialOutcome:
    """As little as a trial can do."""
    return TrialOutcome(best_epoch=0, metrics={"val/macro_f1": 0.5}, facts=TrialFacts(), files=())


def lengthy(request: TrialRequest, emit: Emit) -> TrialOutcome:
    """Four epochs of a chain of numbers; each needs the one before it, and another attempt goes on from the last one kept."""
    kept = request.checkpoint.folder / "epochs.json"
    scores = json.loads(kept.read_text()) if kept.exists() else []
    for epoch, score in enumerate(scores):
        emit(epoch, 4, {"val/macro_f1": score})
    while len(scores) < 4:
        time.sleep(0.2)
        link = hashlib.sha256(
            f"{request.trial.trial_id} {scores[-1] if scores else 0.0!r}".encode()
        ).digest()
        scores.append(int.from_bytes(link[:6], "big") / 2**48)
        emit(len(scores) - 1, 4, {"val/macro_f1": scores[-1]})
        write_text(kept, json.dumps(scores))
    write_predictions(
        request.folder / "predictions.parquet", toy_predictions(), task="classification"
    )
    best = max(range(4), key=lambda epoch: scores[epoch])
    metrics = {"val/macro_f1": scores[best], "test/macro_f1": scores[-1]}
    return TrialOutcome(
        best_epoch=best,
        metrics=metrics,
        facts=TrialFacts(device="cpu"),
        files=("predictions.parquet",),
    )


def analytic(request: TrialRequest, emit: Emit) -> TrialOutcome:
    """A smooth stand-in for training: best at head_lr 10^-2.3, weight_decay 10^-3 and rank 8, and learned over 9 epochs; no noise."""
    recipe = request.trial.recipe
    distance = (
        (math.log10(recipe.head_lr) + 2.3) ** 2
        + 0.5 * (math.log10(recipe.weight_decay) + 3) ** 2
        + (0.0 if recipe.lora_rank == 8 else 0.3)
    )
    best = math.exp(-distance)
    for epoch in range(recipe.epochs):
        emit(epoch, recipe.epochs, {"val/macro_f1": best * (1 - math.exp(-(epoch + 1) / 2))})
    costs = {"cost/n_trainable": 100.0 + 10 * recipe.lora_rank}
    return TrialOutcome(
        best_epoch=recipe.epochs - 1,
        metrics={"val/macro_f1": best, **costs},
        facts=TrialFacts(),
        files=(),
    )


def diverging(request: TrialRequest, emit: Emit) -> TrialOutcome:
    """As analytic, but rank 8, which is best, ends without a number, and rank 4 without an end."""
    found = analytic(
        request,
        lambda epoch, n_epochs, metrics: emit(
            epoch, n_epochs, {"val/macro_f1": spoilt(request, metrics["val/macro_f1"])}
        ),
    )
    metrics = {**found.metrics, "val/macro_f1": spoilt(request, found.metrics["val/macro_f1"])}
    return TrialOutcome(best_epoch=found.best_epoch, metrics=metrics, facts=TrialFacts(), files=())


def spoilt(request: TrialRequest, score: float) -> float:
    return {8: math.nan, 4: math.inf}.get(request.trial.recipe.lora_rank, score)


def without_score(request: TrialRequest, emit: Emit) -> TrialOutcome:
    """Completes, but with no score that is a number."""
    scores = {"val/macro_f1": math.nan, "test/macro_f1": math.nan, "cost/n_trainable": math.inf}
    emit(0, 1, {"train/loss": math.inf, "val/macro_f1": math.nan})
    return TrialOutcome(best_epoch=0, metrics=scores, facts=TrialFacts(), files=())
