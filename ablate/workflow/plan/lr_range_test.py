"""`ablate lr-find`: an LR range test on one arm of a grid.

Reads the study's data and image store, adds nothing to its journal, caches or runs.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ablate.grid.grid_file import Grid
from ablate.study.record import ArmRecord
from ablate.training.lr_range import LrRange, lr_range
from ablate.workflow.folders import Folders
from ablate.workflow.plan.find_arm import find_arm
from ablate.workflow.prepare.option_checks import check_rates, check_threads
from ablate.workflow.prepare.prepared import Prepared, prepare
from ablate.workflow.prepare.resolved import resolve
from ablate.workflow.run.watcher import Watcher

N_ROWS = 12
"""Steps that a table shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeTest:
    """What an LR range test is asked for."""

    arm: str | None = None
    """An arm as `ablate plan` names it; None: the baseline."""
    lowest: float = 1e-6
    """Head LR of the first step."""
    highest: float = 1.0
    """Head LR of the last step."""
    n_steps: int = 100
    threads: int | None = None
    allow_fallback: bool = True

    def check(self) -> None:
        """Raises SpecError for what no machine can keep."""
        check_threads(self.threads)
        check_rates(self.lowest, self.highest, n_steps=self.n_steps)


def find_lr(
    prepared: Prepared, arm: ArmRecord, *, lowest: float, highest: float, n_steps: int
) -> LrRange:
    """Test the arm with the study's first seed. The rates are what `check_rates` admits."""
    # The first attempt of a trial that no journal will hear of.
    trial = prepared.resolved.first_trial(arm)
    with tempfile.TemporaryDirectory(prefix="ablate-") as folder:
        request = prepared.request(trial, 1, Path(folder))
        # Without them it leaves nothing behind that a study would go on from.
        request = request.model_copy(update={"cache": None, "checkpoint": None})
        return lr_range(request, lowest=lowest, highest=highest, n_steps=n_steps)


def find_lr_of_grid(
    grid: Grid, folders: Folders, asked: RangeTest, watcher: Watcher
) -> tuple[ArmRecord, LrRange]:
    """Find the data, prepare the study, and test one of its arms. Raises RequestError."""
    asked.check()
    resolved = resolve(grid, folders, seeds=None, allow_fallback=asked.allow_fallback, command="")
    record = resolved.record
    # The baseline by its id: its name is like any other.
    arm = find_arm(record.arms, asked.arm, otherwise=record.baseline_arm_id)
    watcher.data_found(resolved)
    with watcher.preparing() as on_progress:
        prepared = prepare(
            resolved,
            folders,
            # No report is written: a folder that is checked anyway stands for it.
            report_dir=folders.home,
            threads=asked.threads,
            cache_gb=0,
            on_progress=on_progress,
        )
    measured = find_lr(
        prepared, arm, lowest=asked.lowest, highest=asked.highest, n_steps=asked.n_steps
    )
    return arm, measured


def range_rows(measured: LrRange) -> list[dict[str, object]]:
    """LR, smoothed loss and a bar of it, for some steps evenly chosen."""
    losses = measured.losses
    # A set: tests of fewer steps than rows would show some of them twice.
    # Evenly from the first step to the last, both included.
    chosen = sorted(set(np.linspace(0, len(losses) - 1, N_ROWS).round().astype(int).tolist()))
    top = max(losses[step] for step in chosen)
    rows: list[dict[str, object]] = []
    for step in chosen:
        # 24 characters for the largest loss; at least one, so that no row looks empty.
        bar = "█" * max(1, round(24 * losses[step] / top))
        row = {"head_lr": f"{measured.rates[step]:.2e}", "loss": f"{losses[step]:.3f}"}
        rows.append({**row, "": bar})
    return rows
