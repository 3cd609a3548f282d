"""`ablate lr-find`: an LR range test on one arm of a grid. Reads the study's data and image store, adds nothing to its journal, caches or runs."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ablate.errors import SpecError
from ablate.grid.parse import nearest
from ablate.study.record import ArmRecord
from ablate.study.request import TrialRequest
from ablate.study.trial import Trial
from ablate.training.lr_range import LrRange, lr_range
from ablate.workflow.prepare.prepared import Prepared

N_ROWS = 12


def find_lr(
    prepared: Prepared, arm: ArmRecord, *, lowest: float, highest: float, n_steps: int
) -> LrRange:
    """Test the arm with the study's first seed. The rates are what `check_rates` lets through."""
    trial = next(trial for trial in prepared.resolved.trials if trial.arm_id == arm.arm_id)
    with tempfile.TemporaryDirectory(prefix="ablate-") as folder:
        return lr_range(
            _request(prepared, trial, Path(folder)), lowest=lowest, highest=highest, n_steps=n_steps
        )


def find_arm(arms: Sequence[ArmRecord], name: str | None, *, baseline_arm_id: str) -> ArmRecord:
    """Return the arm of that name, without one the baseline. Raises SpecError with the nearest name."""
    if name is None:
        return next(arm for arm in arms if arm.arm_id == baseline_arm_id)
    names = [arm.name for arm in arms]
    if name not in names:
        raise SpecError(
            f"--arm must be an arm of the grid as `ablate plan` names them, got {name!r}{nearest(name, names)}"
        )
    return arms[names.index(name)]


def range_table(found: LrRange) -> pd.DataFrame:
    """LR, smoothed loss and a bar of it, for some steps evenly chosen."""
    chosen = sorted({round(i * (len(found.losses) - 1) / (N_ROWS - 1)) for i in range(N_ROWS)})
    top = max(found.losses[i] for i in chosen)
    return pd.DataFrame(
        {
            "head_lr": [f"{found.rates[i]:.2e}" for i in chosen],
            "loss": [f"{found.losses[i]:.3f}" for i in chosen],
            "": ["█" * max(1, round(24 * found.losses[i] / top)) for i in chosen],
        }
    )


def _request(prepared: Prepared, trial: Trial, folder: Path) -> TrialRequest:
    return prepared.request(trial, 1, folder).model_copy(update={"cache": None, "checkpoint": None})
