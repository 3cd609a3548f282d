"""Binary tasks with a target precision: the threshold chosen on val, and what it does on test.

Seed by seed, because each run has a threshold of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from ablate.reporting.insights.classification.class_digest import ClassDigest

# Columns of the arm frame
SEEDS = "at_target/n_seeds"
"""Seeds whose predictions could be read."""
REACHED = "at_target/n_reached"
"""Those of them in which a threshold keeps the target on val."""
VALUES = ("threshold", "precision", "recall")
"""`at_target/<name>/mean` and `/sd` over the seeds that reach it, precision and recall on test."""


def with_target(arms: pd.DataFrame, insights: Mapping[str, ClassDigest]) -> pd.DataFrame:
    """The arm frame with the columns of `at_target`; NaN where no seed has a value."""
    rows = [_row(insights.get(arm_id)) for arm_id in arms["arm_id"]]
    # on the frame's own index: the arms are sorted by score
    return pd.concat([arms, pd.DataFrame(rows, index=arms.index)], axis=1)


def _row(insight: ClassDigest | None) -> dict[str, float]:
    # no insight: none of the arm's predictions could be read
    thresholds = () if insight is None else insight.thresholds
    points = []
    for threshold in thresholds:
        if threshold.point is not None:
            points.append(threshold.point)
    row: dict[str, float] = {SEEDS: len(thresholds), REACHED: len(points)}
    for name in VALUES:
        # pandas, because its mean of nothing is NaN without a warning
        values = pd.Series([getattr(point, name) for point in points], dtype=float)
        row[f"at_target/{name}/mean"] = values.mean()
        row[f"at_target/{name}/sd"] = values.std(ddof=1)
    return row
