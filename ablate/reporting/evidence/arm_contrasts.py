"""One arm against the others, on test.

Against the champion to name its ties, against the baseline to say what was gained.

The seeds of two arms are too few to tell their noise: the middle arm's stands in, and their own
where that is larger.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t

from ablate.reporting.evidence.effects import score_array
from ablate.reporting.evidence.judged_metrics import primary_metric
from ablate.reporting.statistics.contrast import CONFIDENCE, Block, block_values, image_variance
from ablate.reporting.statistics.permutation import holm
from ablate.reporting.statistics.power import ALPHA
from ablate.reporting.statistics.variance import noise, typical_variance
from ablate.study.record import ArmRecord, StudyRecord


@dataclass(frozen=True)
class ArmGap:
    """One arm against a reference, in the primary metric on test."""

    arm_id: str
    difference: float
    """The arm less the reference, paired by seed."""
    low: float
    """95 % interval over seeds and images, of this one comparison; NaN with one seed."""
    high: float
    n_seeds: int
    """Complete in both."""
    p_holm: float
    """Of a t test with the noise of seeds and the draw of images, corrected for all other arms; NaN
    with one seed."""

    @property
    def is_tied(self) -> bool:
        """Whether nothing tells them apart."""
        return not self.p_holm < ALPHA


def gaps_to(
    record: StudyRecord,
    trials: pd.DataFrame,
    replicates: Mapping[str, NDArray[np.floating]],
    *,
    reference: ArmRecord,
    order: Sequence[str],
) -> tuple[ArmGap, ...]:
    """Compare every other arm that shares a complete seed with `reference` to it.

    In `order` of arm_ids.
    """
    primary = primary_metric(record)
    scores = score_array(record, trials, primary)
    places = {arm.arm_id: place for place, arm in enumerate(record.arms)}
    typical, df = typical_variance(scores), noise(scores).df
    rows, p_values = [], []
    for arm_id in order:
        block = Block((places[arm_id], places[reference.arm_id]), (1.0, -1.0), 1)
        found = block_values([block], scores)
        if arm_id == reference.arm_id or not found.blocks:
            continue
        images = image_variance(found, replicates[primary]) if primary in replicates else math.nan
        known = found.values[~np.isnan(found.values)]
        own = float(known.var(ddof=1)) if len(known) > 1 else 0.0
        variance = max(own, 2 * typical) / len(known) + (0.0 if math.isnan(images) else images)
        half = float(t.ppf((1 + CONFIDENCE) / 2, df)) * math.sqrt(variance) if df > 0 else math.nan
        rows.append(
            (arm_id, found.estimate, found.estimate - half, found.estimate + half, len(known))
        )
        p_values.append(
            2 * float(t.sf(abs(found.estimate) / math.sqrt(variance), df))
            if variance > 0
            else math.nan
        )
    return tuple(ArmGap(*row, p_holm) for row, p_holm in zip(rows, holm(p_values), strict=True))
