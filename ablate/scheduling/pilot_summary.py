"""What a pilot's journal says of its trials, as the study after it keeps it and the report shows
it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ablate.scheduling.study_folder import StudyFolder
from ablate.study.pilot import PilotTrial
from ablate.study.trial import Trial
from ablate.tracking.events import TrialState
from ablate.tracking.journal import Attempt, attempts


def pilot_trials(
    folder: StudyFolder,
    describe: Callable[[Trial], tuple[str, Mapping[str, Any]]],
    *,
    objectives: Sequence[str],
) -> tuple[PilotTrial, ...]:
    """The trials of a pilot that were started, in the order of its plan.

    `describe` gives a trial's arm and what was tried in it.
    """
    of_trial: dict[str, list[Attempt]] = {}
    for (trial_id, _), attempt in attempts(folder.journal.read()).items():
        of_trial.setdefault(trial_id, []).append(attempt)
    return tuple(
        _told(trial, of_trial[trial.trial_id], *describe(trial), objectives)
        for trial in folder.read_plan().trials
        if trial.trial_id in of_trial
    )


def _told(
    trial: Trial,
    tries: Sequence[Attempt],
    arm: str,
    levels: Mapping[str, Any],
    objectives: Sequence[str],
) -> PilotTrial:
    last = next((attempt for attempt in tries if attempt.is_complete), tries[-1])
    outcome = (
        last.ended.outcome
        if last.ended is not None and last.ended.state is TrialState.COMPLETE
        else None
    )
    scores = (
        {}
        if outcome is None
        else {
            name: outcome.metrics[name]
            for name in objectives
            if math.isfinite(outcome.metrics.get(name, math.nan))
        }
    )
    state = TrialState.KILLED if last.ended is None else last.ended.state
    n_epochs = max((epoch.epoch + 1 for attempt in tries for epoch in attempt.epochs), default=0)
    return PilotTrial(
        trial_id=trial.trial_id,
        arm=arm,
        levels=dict(levels),
        state=state.value,
        n_epochs=n_epochs,
        scores=scores,
    )
