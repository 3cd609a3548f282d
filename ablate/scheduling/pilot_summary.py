"""The trials of a pilot as the study after it keeps them and the report shows them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ablate.scheduling.study_folder import StudyFolder
from ablate.study.pilot_record import PilotTrial
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
    tries: dict[str, list[Attempt]] = {}
    for (trial_id, _), attempt in attempts(folder.journal.read()).items():
        tries.setdefault(trial_id, []).append(attempt)
    pilot: list[PilotTrial] = []
    # In the order in which they were proposed: a report draws how a search went on.
    for trial in folder.read_plan().trials:
        of_trial = tries.get(trial.trial_id)
        if of_trial:
            described = describe(trial)
            pilot.append(_pilot_trial(trial, of_trial, described=described, objectives=objectives))
    return tuple(pilot)


def _pilot_trial(
    trial: Trial,
    tries: Sequence[Attempt],
    *,
    described: tuple[str, Mapping[str, Any]],
    objectives: Sequence[str],
) -> PilotTrial:
    arm, levels = described
    # A complete attempt speaks for the trial, also where a later one was begun.
    last = next((attempt for attempt in tries if attempt.is_complete), tries[-1])
    state = TrialState.KILLED
    if last.ended is not None:
        state = last.ended.state
    # Of all attempts: one that goes on from a checkpoint reports its own epochs only.
    n_epochs = 0
    for attempt in tries:
        for epoch in attempt.epochs:
            n_epochs = max(n_epochs, epoch.epoch + 1)
    return PilotTrial(
        trial_id=trial.trial_id,
        arm=arm,
        levels=dict(levels),
        state=state.value,
        n_epochs=n_epochs,
        scores=_scores(last, objectives),
    )


def _scores(attempt: Attempt, objectives: Sequence[str]) -> dict[str, float]:
    """Objective -> score of a complete attempt, those that are finite; empty for any other."""
    ended = attempt.ended
    if ended is None or ended.outcome is None or ended.state is not TrialState.COMPLETE:
        return {}
    scores: dict[str, float] = {}
    for name in objectives:
        score = ended.outcome.metrics.get(name, math.nan)
        if math.isfinite(score):  # JSON, and whoever draws them, knows no nan
            scores[name] = score
    return scores
