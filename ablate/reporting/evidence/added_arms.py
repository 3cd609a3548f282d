"""Arms that results added around the best one, apart from those of the design.

They were chosen because of what the design's arms scored, so they take no part in main effects, in
the choice of the best arm, or in the set of arms that may be the best. What they answer is what
each choice of the best arm is worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from ablate.reporting.evidence.arm_gaps import ArmGap
from ablate.reporting.evidence.choices import Choice, choices
from ablate.reporting.evidence.effects import Effects
from ablate.reporting.evidence.frames import trial_frame
from ablate.reporting.evidence.scored_study import scored_study
from ablate.reporting.evidence.second_stage_runs import widened_study
from ablate.reporting.predictions.read import Predictions
from ablate.study.arm_record import arms_by_id
from ablate.study.choosing import is_better
from ablate.study.record import ArmRecord
from ablate.tracking.records import PublishedStudy


@dataclass(frozen=True)
class AddedArms:
    """The arms that results added, and their trials."""

    arms: tuple[ArmRecord, ...]
    trials: pd.DataFrame
    """One row for each of them and seed, see `frames.trial_frame`."""

    def mean(self, arm_id: str, metric: str) -> float:
        """Mean of a metric over an arm's complete trials; NaN without one."""
        return self._of(arm_id, metric).mean()

    def sd(self, arm_id: str, metric: str) -> float:
        """Its SD with n - 1; NaN with one seed."""
        # n - 1, as in the arms' own table beside which it stands
        return self._of(arm_id, metric).std(ddof=1)

    def n_seeds(self, arm_id: str, metric: str) -> int:
        """Complete trials of an arm."""
        return int(self._of(arm_id, metric).notna().sum())

    def ahead(self, select_by: str, best: float) -> list[ArmRecord]:
        """Those whose mean on val is better than `best`, the best arm's."""
        found = []
        for arm in self.arms:
            if is_better(select_by, self.mean(arm.arm_id, select_by), than=best):
                found.append(arm)
        return found

    def _of(self, arm_id: str, metric: str) -> pd.Series[float]:
        if metric not in self.trials:
            return pd.Series(dtype=float)
        return self.trials.loc[self.trials["arm_id"] == arm_id, metric]


def whole_choices(
    study: PublishedStudy,
    predictions: Predictions,
    *,
    best: ArmRecord,
    found: Sequence[Choice],
    effects: Effects,
    to_baseline: Sequence[ArmGap],
) -> tuple[Choice, ...]:
    """The choices of the design's arms and of the added ones, as one family.

    `found` are those of the design's arms alone. Reads the predictions of the whole study once
    more where arms were added.
    """
    record = study.record
    # nothing was added: no predictions are read a second time
    if record.around is None or not record.around.arms:
        return tuple(found)
    # The design's arms come first, as in the study: effects name arms by their places.
    whole = widened_study(study, arms_by_id(record.all_arms))
    scores = scored_study(whole, predictions)
    return choices(scores, best=best, effects=effects, to_baseline=to_baseline)


def added_arms(study: PublishedStudy) -> AddedArms | None:
    """The arms that results added; None where there is none."""
    added = study.record.added_arms
    if not added:
        return None
    # apart from the design's arms, whose frame must not change when results add some
    alone = widened_study(study, arms_by_id(added))
    return AddedArms(added, trial_frame(alone))
