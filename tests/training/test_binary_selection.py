"""The score that is asked for picks the best epoch and says when patience ends.

Scripted epochs of a binary task about which the scores disagree.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as sk

from ablate.recipe.recipe import Recipe
from ablate.recipe.strategy import phases_of
from ablate.training.loop import fit
from ablate.training.loop.training_progress import TrainingProgress
from ablate.training.tasks.classification import Classification
from ablate.training.tasks.join_tiles import WHOLE_IMAGES

LABELS = np.array([0] * 7 + [1] * 3)
EPOCHS = np.array(
    [
        [0.05, 0.18, 0.54, 0.05, 0.02, 0.29, 0.38, 0.51, 0.35, 0.63],
        [0.26, 0.29, 0.92, 0.79, 0.32, 0.40, 0.43, 0.64, 0.69, 0.54],
        [0.31, 0.53, 0.12, 0.21, 0.44, 0.33, 0.21, 0.58, 0.44, 0.51],
        [0.06, 0.39, 0.51, 0.44, 0.12, 0.08, 0.31, 0.69, 0.66, 0.15],
    ]
)
"""Probability of the second class in each epoch; each epoch is the best by another score."""
BEST = {"val/nll": 0, "val/macro_f1": 1, "val/auroc_ovr_macro": 2, "val/average_precision": 3}
ORACLES = {
    "val/nll": lambda p: -sk.log_loss(LABELS, p),
    "val/macro_f1": lambda p: sk.f1_score(LABELS, p > 0.5, average="macro"),
    "val/auroc_ovr_macro": lambda p: sk.roc_auc_score(LABELS, p),
    "val/average_precision": lambda p: sk.average_precision_score(LABELS, p),
}


def _judged(
    select_by: str, monkeypatch: pytest.MonkeyPatch, *, patience: int | None = None
) -> TrainingProgress:
    """Let the loop judge the scripted epochs one by one until its phase is over."""
    recipe = Recipe(backbone="test_efficientnet", epochs=len(EPOCHS), patience=patience)
    setup: Any = SimpleNamespace(
        select_by=select_by,
        recipe=recipe,
        task=Classification(),
        compute=None,
        micro_batch=recipe.batch_size,
        tiles=WHOLE_IMAGES,
    )
    active: Any = SimpleNamespace(
        trained_part=SimpleNamespace(val=SimpleNamespace(labels=LABELS), evaluate=None), ema=None
    )
    network: Any = None
    done = TrainingProgress()
    monkeypatch.setattr(fit, "delta", lambda network: {})
    monkeypatch.setattr(
        fit,
        "predict",
        lambda *args, **named: np.stack(
            [1 - EPOCHS[done.n_epochs], EPOCHS[done.n_epochs]], axis=1
        ).astype(np.float32),
    )
    while not fit.is_over(phases_of(recipe)[0], done):
        fit.judge(network, active, setup, done)
        done.n_epochs += 1
    return done


@pytest.mark.parametrize(("select_by", "epoch"), BEST.items())
def test_each_score_picks_its_own_epoch(
    select_by: str, epoch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert int(np.argmax([ORACLES[select_by](p) for p in EPOCHS])) == epoch
    done = _judged(select_by, monkeypatch)
    assert done.best is not None
    assert (done.best.epoch, done.n_epochs) == (epoch, len(EPOCHS))
    assert abs(done.best.scores[select_by]) == pytest.approx(
        abs(ORACLES[select_by](EPOCHS[epoch])), abs=1e-6
    )


@pytest.mark.parametrize(
    ("select_by", "n_epochs"),
    [("val/nll", 2), ("val/macro_f1", 3), ("val/auroc_ovr_macro", 2), ("val/average_precision", 2)],
)
def test_patience_counts_by_the_same_score(
    select_by: str, n_epochs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _judged(select_by, monkeypatch, patience=1).n_epochs == n_epochs
