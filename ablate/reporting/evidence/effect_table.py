"""Effects as a table: effects.csv and interactions.csv, and what the library returns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from ablate.reporting.evidence.effects import Effect

# of effects.csv and interactions.csv, whose readers go by these names
COLUMNS = (
    "kind",
    "name",
    "is_exploratory",
    "axes",
    "levels",
    "against",
    "metric",
    "difference",
    "low",
    "high",
    "p_corrected",
    "verdict",
    "omega_squared",
    "se_seeds",
    "se_images",
    "df",
    "smallest_detectable",
    "seeds_to_settle",
    "n_seeds",
    "n_pairs",
    "n_higher",
    "sd_of_pairs",
    "n_same_arm",
    "n_cells_left_out",
)


def effect_frame(effects: Sequence[Effect]) -> pd.DataFrame:
    """One row per effect, in units of the metric; what is not known is NaN."""
    # with columns named, a study without effects has a header too
    return pd.DataFrame(list(map(_row, effects)), columns=list(COLUMNS))


def _row(effect: Effect) -> dict[str, Any]:
    comparison = effect.comparison
    judged = effect.judged
    estimate = judged.estimate
    return {
        "kind": comparison.kind,
        "name": comparison.name,
        "is_exploratory": effect.is_exploratory,
        # as in the name, so that a filter on one axis finds its interactions too
        "axes": " x ".join(comparison.axes),
        "levels": " x ".join(comparison.levels),
        "against": " x ".join(comparison.against),
        "metric": effect.metric,
        "difference": estimate.value,
        "low": judged.low,
        "high": judged.high,
        "p_corrected": judged.p,
        "verdict": judged.verdict.value,
        "omega_squared": effect.share,
        "se_seeds": estimate.se_seeds,
        "se_images": estimate.se_images,
        "df": _finite(estimate.df),
        "smallest_detectable": _finite(effect.smallest_effect),
        "seeds_to_settle": _number(effect.seeds_to_settle),
        "n_seeds": estimate.n_seeds,
        "n_pairs": effect.n_pairs,
        "n_higher": effect.n_higher,
        "sd_of_pairs": effect.sd_of_pairs,
        "n_same_arm": comparison.n_same_arm,
        "n_cells_left_out": estimate.n_cells_left_out,
    }


def _number(count: int | None) -> float:
    # a column with holes is float in pandas, and NaN is written as an empty cell
    if count is None:
        return math.nan
    return float(count)


def _finite(value: float) -> float:
    """The value; NaN where it is infinite, which a table would print as a word."""
    if math.isinf(value):
        return math.nan
    return value
