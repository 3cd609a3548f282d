"""An attempt made again of its run: what a journal would say of it.

For a home whose journal does not know it.
"""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Mapping

from mlflow import MlflowClient
from mlflow.entities import Run

from ablate.errors import StoreError
from ablate.study.provenance import provenance_of_tags
from ablate.study.trial import Trial
from ablate.study.trial_facts import facts_of_tags
from ablate.tracking import mlflow_fields
from ablate.tracking.artifacts import Curves, curves_from_json
from ablate.tracking.events import (
    EpochEnded,
    Event,
    TrialEnded,
    TrialOutcome,
    TrialStarted,
    TrialState,
)
from ablate.tracking.mlflow_files import CURVES, SPEC, RunFiles
from ablate.tracking.records import PublishedAttempt

_LOG = logging.getLogger(__name__)
# What MLflow keeps of an infinite number.
_ENDLESS = sys.float_info.max


def read_attempt(client: MlflowClient, files: RunFiles, run: Run) -> PublishedAttempt | None:
    """Return a complete or pruned attempt as its journal had it.

    None, and a warning, for a run whose files cannot be read, or that holds another trial than it
    says: one of another version of `ablate`.
    """
    try:
        return _read(client, files, run)
    except (StoreError, ValueError) as error:  # pydantic's and json's errors are ValueErrors
        _LOG.warning(
            "trial %s has ended in MLflow and is trained again all the same: %s",
            run.data.tags[mlflow_fields.TRIAL],
            error,
        )
        return None


def _read(client: MlflowClient, files: RunFiles, run: Run) -> PublishedAttempt:
    tags = run.data.tags
    # The id is computed from the trial: another one means that recipes were read otherwise then.
    trial = Trial.model_validate_json(files.text(run, SPEC))
    if trial.trial_id != tags[mlflow_fields.TRIAL]:
        raise StoreError(
            f"the run {run.info.run_id} must hold the trial that it is tagged with, "
            f"its {SPEC} is of {trial.trial_id}"
        )
    # The run is the trial's, so its tags can be trusted: what is missing here is an error.
    number = int(tags[mlflow_fields.ATTEMPT])
    state = TrialState(mlflow_fields.state_of(run.info.status, tags))
    left = files.left_by_trial(run)
    start_s = _seconds(run.info.start_time)
    end_s = _seconds(run.info.end_time)
    outcome = None
    if state is TrialState.COMPLETE:
        outcome = TrialOutcome(
            best_epoch=_best_epoch(client, run, trial),
            metrics=_metrics(run.data.metrics),
            facts=facts_of_tags(tags),
            files=left,
        )
    slot = tags.get(mlflow_fields.SLOT, "")
    curves = curves_from_json(files.text(run, CURVES))
    events: tuple[Event, ...] = (
        TrialStarted(trial.trial_id, number, slot=slot, at=start_s),
        *_epochs(trial.trial_id, number, curves, start_s=start_s, end_s=end_s),
        TrialEnded(trial.trial_id, number, state, at=end_s, outcome=outcome),
    )
    return PublishedAttempt(
        run_id=run.info.run_id,
        trial=trial,
        attempt=number,
        events=events,
        files=left,
        provenance=provenance_of_tags(tags),
    )


def _seconds(time_ms: int) -> float:
    """Seconds of which the store makes the same milliseconds again."""
    # A half more, because a quotient may lie below the whole number that it stands for.
    return (time_ms + 0.5) / 1000


def _epochs(
    trial_id: str, attempt: int, curves: Curves, *, start_s: float, end_s: float
) -> list[EpochEnded]:
    # From metric -> curve to epoch -> metrics, as events have them.
    by_epoch: dict[int, dict[str, float]] = {}
    for name, curve in curves.items():
        for epoch, value in curve:
            by_epoch.setdefault(epoch, {})[name] = value
    n_epochs = max(by_epoch, default=-1) + 1
    # MLflow keeps the times of epochs with their metrics only: they are spread evenly.
    step_s = (end_s - start_s) / (n_epochs + 1)
    events = []
    for epoch in sorted(by_epoch):
        at = start_s + step_s * (epoch + 1)
        events.append(EpochEnded(trial_id, attempt, epoch, n_epochs, by_epoch[epoch], at=at))
    return events


def _best_epoch(client: MlflowClient, run: Run, trial: Trial) -> int:
    """The step of the score that chose it."""
    # A final score is logged once, at the epoch that gave it; the curve has a name of its own.
    history = client.get_metric_history(run.info.run_id, trial.select_by)
    return int(history[-1].step) if history else 0


def _metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    shown = (mlflow_fields.CURVE_PREFIX, mlflow_fields.PARAM_PREFIX)
    scores: dict[str, float] = {}
    for name, value in metrics.items():
        if not name.startswith(shown):
            scores[name] = _number(value)
    return scores


def _number(value: float) -> float:
    if abs(value) >= _ENDLESS:
        return math.copysign(math.inf, value)
    return value
