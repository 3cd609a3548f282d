"""Binary tasks with a target precision: the threshold chosen on val for it, seed by seed, and what it does on test."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from ablate.reporting.insights.classification.class_digest import ClassDigest

SEEDS, REACHED = "at_target/n_seeds", "at_target/n_reached"
"""Columns of the arm frame: seeds whose predictions could be read, and those of them in which a threshold keeps the target on val."""
VALUES = ("threshold", "precision", "recall")
"""`at_target/<name>/mean` and `/sd` over the seeds that reach it; precision and recall are of test."""


def with_target(arms: pd.DataFrame, insights: Mapping[str, ClassDigest]) -> pd.DataFrame:
    """The arm frame with the columns of `at_target`; NaN where no seed has a value, SD with n - 1."""
    rows = [_row(insights.get(arm_id)) for arm_id in arms["arm_id"]]
    return pd.concat([arms, pd.DataFrame(rows, index=arms.index)], axis=1)


def _row(insight: ClassDigest | None) -> dict[str, float]:
    thresholds = () if insight is None else insight.thresholds
    points = [one.point for one in thresholds if one.point is not None]
    row: dict[str, float] = {SEEDS: len(thresholds), REACHED: len(points)}
    for name in VALUES:
        own = pd.Series([getattr(point, name) for point in points], dtype=float)
        row |= {f"at_target/{name}/mean": own.mean(), f"at_target/{name}/sd": own.std(ddof=1)}
    return row
