"""What fresh seeds say of the arms that a study chose: a paired t test on them alone.

The best of many arms looks better than it is. These seeds had no part in the choice, so what they
show is unbiased, and needs no correction for the arms that were not chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from ablate.reporting.evidence.judged_metrics import primary_metric
from ablate.reporting.evidence.scored_study import scored_study
from ablate.reporting.evidence.second_stage_runs import fresh_study
from ablate.reporting.predictions.read import Predictions
from ablate.reporting.statistics.contrast import gap
from ablate.reporting.statistics.estimate import estimates
from ablate.reporting.statistics.verdict import ALPHA, Judged, judge
from ablate.study.choosing import is_better_when_low
from ablate.study.confirmation import Confirmation
from ablate.tracking.events import TrialState
from ablate.tracking.records import PublishedStudy

# of confirmation.csv: p is not called corrected, because nothing is corrected here
COLUMNS = (
    "what",
    "arm_id",
    "against_arm_id",
    "difference",
    "low",
    "high",
    "p",
    "verdict",
    "n_seeds",
)


@dataclass(frozen=True)
class FreshGap:
    """One chosen arm less another, paired over the fresh seeds."""

    what: str
    """`best arm` or `cheapest arm`."""
    arm_id: str
    against: str
    """arm_id"""
    judged: Judged
    """In units of the metric. Its 95 % are its own: no other comparison takes of its error."""


@dataclass(frozen=True)
class Confirmed:
    """The confirmation of a study as far as it has come."""

    choice: Confirmation
    gaps: tuple[FreshGap, ...]
    """The best arm less the baseline first, where it is another arm."""
    trials: pd.DataFrame
    """The fresh trials, see `frames.trial_frame`."""

    @property
    def n_complete(self) -> int:
        """Fresh trials that completed."""
        return int((self.trials["state"] == TrialState.COMPLETE).sum())

    @property
    def of_champion(self) -> FreshGap | None:
        """The best arm less the baseline; None where the baseline is the best."""
        for fresh in self.gaps:
            if fresh.arm_id == self.choice.champion_arm_id:
                return fresh
        return None


def confirmed(study: PublishedStudy, predictions: Predictions) -> Confirmed | None:
    """Judge what the fresh trials show; None where nothing is confirmed.

    Reads the predictions of each complete fresh run once.
    """
    # as a study of its own, so that the frames and arrays are made by the same functions
    fresh = fresh_study(study)
    choice = study.record.confirmation
    if fresh is None or choice is None:
        return None
    # its seeds are the fresh ones alone, so everything below is over these
    scores = scored_study(fresh, predictions)
    metric = primary_metric(scores.record)
    values_of_metric = scores.array(metric)
    replicates = scores.replicates.get(metric)
    gaps = []
    for what, arm_id, against in _pairs(choice):
        contrast = gap(scores.places[arm_id], scores.places[against])
        # One at a time: a family would lend its variance, and these seeds stand for themselves.
        values = estimates([contrast], values_of_metric, replicates)
        (judged,) = judge(
            values,
            alpha=ALPHA,
            margin=scores.record.margin_of_score,
            is_lower_better=is_better_when_low(metric),
        )
        gaps.append(FreshGap(what, arm_id, against, judged))
    return Confirmed(choice, tuple(gaps), scores.trials)


def _pairs(choice: Confirmation) -> list[tuple[str, str, str]]:
    """What is compared with what: (what, arm_id, arm_id of the reference)."""
    pairs = []
    if choice.champion_arm_id != choice.baseline_arm_id:
        pairs.append(("best arm", choice.champion_arm_id, choice.baseline_arm_id))
    # against the best arm, not the baseline: the question is what its cheapness costs
    if choice.cheapest_arm_id is not None:
        pairs.append(("cheapest arm", choice.cheapest_arm_id, choice.champion_arm_id))
    return pairs


def fresh_gap_frame(gaps: Sequence[FreshGap]) -> pd.DataFrame:
    """One row per comparison, in units of the metric, for confirmation.csv."""
    rows = []
    for fresh in gaps:
        judged = fresh.judged
        answer = (judged.estimate.value, judged.low, judged.high, judged.p, judged.verdict.value)
        pair = (fresh.what, fresh.arm_id, fresh.against)
        rows.append((*pair, *answer, judged.estimate.n_seeds))
    return pd.DataFrame(rows, columns=list(COLUMNS))
