"""A trial as MLflow's fields: plain dictionaries of parameters, metrics and tags, and back.

Knows the names, not the library.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

from ablate.quoting import code, text, without_folders
from ablate.recipe.recipe import Recipe
from ablate.recipe.shown_part import SHOWN_FIELDS
from ablate.study.record import DataFacts, StudyRecord
from ablate.study.tasks import task_of
from ablate.study.trial import Trial
from ablate.tracking.events import EpochEnded, Failure, TrialOutcome, TrialState

# Tags of runs. Stores of every earlier version hold them: none may change.
KIND = "ablate.kind"
STUDY = "ablate.study_id"
STATE = "ablate.state"
FAILURE = "ablate.failure"
CURVES = "ablate.curves"
CHAMPION = "ablate.champion"
TRIAL = "ablate.trial_id"
ARM_ID = "ablate.arm_id"
ARM = "ablate.arm"
SEED = "ablate.seed"
ATTEMPT = "ablate.attempt"
SLOT = "ablate.slot"
STAGE = "ablate.stage"
"""On the runs of studies in two stages: `search` or `tune` for a pilot, `study` for the one whose
trials conclusions are made of; `confirm` for trials with fresh seeds, which confirm those, `around`
for those of arms that results added."""
DATA = "ablate.data"
DATA_IS_FALLBACK = "ablate.data_is_fallback"

# A score has one final value and one per epoch: under one name MLflow would show the last epoch's
# as the run's result.
CURVE_PREFIX = "epoch/"
PARAM_PREFIX = "param/"
NOTE = "mlflow.note.content"
"""What the UI shows as a run's description, as Markdown."""

TAG_LENGTH = 4000
"""Longest tag value kept, in characters: below what every backend of MLflow takes."""
PARAM_LENGTH = 500
"""Longest parameter value kept, in characters."""

STATUS = {
    TrialState.COMPLETE: "FINISHED",
    TrialState.PRUNED: "FINISHED",
    TrialState.FAILED: "FAILED",
    TrialState.KILLED: "KILLED",
}
"""TrialState -> MLflow's status of a run."""
# MLflow's status -> TrialState, for runs without our tag: MLflow itself ended them.
_STATE = {"FINISHED": "COMPLETE", "FAILED": "FAILED", "KILLED": "KILLED"}


def state_of(status: str, tags: Mapping[str, str]) -> str:
    """Return the TrialState value of a run that has ended, else RUNNING."""
    # SCHEDULED and RUNNING: somebody is at it, or died without a word.
    if status not in _STATE:
        return "RUNNING"
    # MLflow has no status for a pruned run: ours is in a tag. Without it, MLflow ended the run.
    return tags.get(STATE, _STATE[status])


def trial_params(trial: Trial) -> dict[str, str]:
    """The recipe's fields by name, `seed`, and the data's fields as `data.<name>`.

    Values are as `param_text` has them.
    """
    params = {}
    for name, value in _flat(trial).items():
        params[name] = param_text(value)
    return params


def param_text(value: Any) -> str:
    """What a store keeps of a parameter: the value as in YAML, cut where the store would refuse it.

    Whoever compares parameters compares these texts.
    """
    if not isinstance(value, str):
        # As YAML and JSON spell it alike: `true`, `null`, `[1, 2]`.
        value = json.dumps(value)
    return str(value)[:PARAM_LENGTH]


def param_metrics(trial: Trial) -> dict[str, float]:
    """The numeric parameters again as `param/<name>`, so that MLflow's table sorts by them.

    MLflow keeps parameters as text and sorts 10 before 9. Fields that may also be a word
    (`freeze_depth: all`) or null are left out, so that all runs have the same metrics;
    `cost/n_frozen_units` sorts instead.
    """
    metrics = {}
    for name, value in _flat(trial).items():
        # a bool is an int to Python, and no number to a reader
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and name not in _MIXED:
            metrics[PARAM_PREFIX + name] = float(value)
    return metrics


def _kinds(annotation: Any) -> set[Any]:
    """The types that a field admits; that of a literal is the type of its words."""
    # `int | Literal["all"]` is {int, str}; a tuple is one kind, whatever it holds.
    parts = get_args(annotation)
    if get_origin(annotation) is Literal:
        return set(map(type, parts))
    if not parts or get_origin(annotation) is tuple:
        return {annotation}
    return set().union(*map(_kinds, parts))


def _is_mixed(annotation: Any) -> bool:
    return not _kinds(annotation).isdisjoint({str, type(None)})


_MIXED = frozenset(
    name for name, field in Recipe.model_fields.items() if _is_mixed(field.annotation)
)
"""Fields of a recipe that are a number in one arm and a word or nothing in another."""


def _flat(trial: Trial) -> dict[str, Any]:
    # Without the fallback: by now the data are one or the other, and `data.source` says which.
    data = trial.data.model_dump(mode="json", exclude={"fallback"})
    by_split = {}
    # One column a split: MLflow cannot sort by a dictionary.
    for name in ("fractions", "sizes"):
        for split, value in (data.pop(name) or {}).items():
            by_split[f"data.{name}.{split}"] = value
    # Only where classes are merged: all other studies keep the columns that they have.
    if not data["classes"]:
        del data["classes"]
    recipe = trial.recipe.model_dump(mode="json")
    # The same for what a recipe leaves to the data.
    for name in SHOWN_FIELDS:
        if recipe[name] is None:
            del recipe[name]
    flat = {**recipe, "seed": trial.seed, "select_by": trial.select_by}
    for name, value in data.items():
        flat[f"data.{name}"] = value
    return flat | by_split


def trial_tags(trial: Trial, *, attempt: int, slot: str, record: StudyRecord) -> dict[str, str]:
    """Tags of a child run at its start."""
    return {
        KIND: "trial",
        STUDY: record.study_id,
        TRIAL: trial.trial_id,
        ARM_ID: trial.arm_id,
        ARM: arm_name(trial, record),
        SEED: str(trial.seed),
        ATTEMPT: str(attempt),
        SLOT: slot,
        DATA: record.data.title,
        DATA_IS_FALLBACK: str(record.data.is_fallback).lower(),
        **_trial_stage(trial, record),
    }


def _trial_stage(trial: Trial, record: StudyRecord) -> dict[str, str]:
    # By seed first: fresh seeds confirm arms of the grid and added ones alike.
    if trial.seed in record.fresh_seeds:
        return {STAGE: "confirm"}
    for arm in record.added_arms:
        if trial.arm_id == arm.arm_id:
            return {STAGE: "around"}
    return stage_tags(record)


def stage_tags(record: StudyRecord) -> dict[str, str]:
    """Which stage of a study in two stages a run belongs to; nothing for other studies."""
    if record.stage is not None:
        return {STAGE: record.stage.kind}
    if record.pilot is None:
        return {}
    return {STAGE: "study"}


def study_kind(record: StudyRecord) -> str:
    """`study`, or `pilot` for one that only prepares another.

    Whoever asks for a grid's newest study gets no pilot.
    """
    return "study" if record.stage is None else "pilot"


def outer_study(record: StudyRecord) -> StudyRecord:
    """The study that a pilot prepares, as far as the pilot knows it: it has no arms yet."""
    assert record.stage is not None
    return record.model_copy(
        update={"study_id": record.stage.of_study, "stage": None, "arms": (), "axes": {}}
    )


def trial_note(trial: Trial, outcome: TrialOutcome, record: StudyRecord) -> str:
    """A short card of a trial: what it is, how it did, what it cost, from what."""
    data = record.data
    warning = ""
    if data.is_fallback:
        warning = f"**Fallback data**: {code(data.requested_source)} is not available. "
    head = (
        f"{code(arm_name(trial, record))}, seed {trial.seed}: "
        f"{code(trial.recipe.backbone)} on {text(data.title)}. {warning}"
        f"Epoch {outcome.best_epoch + 1} was chosen on val."
    )
    table = "\n".join(["| metric | val | test |", "|---|--:|--:|", *_score_rows(trial, outcome)])
    foot = (
        f"{_costs(outcome.metrics)}. {_circumstances(outcome)}. "
        "One seed is no result: see the study's report in the parent run."
    )
    return f"{head}\n\n{table}\n\n{foot}"[:TAG_LENGTH]


def _score_rows(trial: Trial, outcome: TrialOutcome) -> list[str]:
    metrics = outcome.metrics
    rows = []
    for name in task_of(trial.task).metric_names:
        val = metrics.get(f"val/{name}")
        test = metrics.get(f"test/{name}")
        # A metric that the task gained later is missing in trials of older versions.
        if val is not None and test is not None:
            rows.append(f"| {name} | {val:.3f} | {test:.3f} |")
    return rows


def _costs(metrics: Mapping[str, float]) -> str:
    costs = {
        "trained parameters": ("cost/n_trainable", ",.0f"),
        "training s": ("time/train_s", ",.1f"),
        "latency ms": ("time/latency_ms", ",.1f"),
    }
    measured = []
    for title, (name, form) in costs.items():
        if name in metrics:
            measured.append(f"{title} {metrics[name]:{form}}")
    return ", ".join(measured)


def _circumstances(outcome: TrialOutcome) -> str:
    facts = {
        "device": outcome.facts.device,
        "precision": outcome.facts.precision,
        "weights": outcome.facts.weights_source,
    }
    known = []
    for name, value in facts.items():
        if value is not None:
            known.append(f"{name} {text(value)}")
    return ", ".join(known)


def arm_name(trial: Trial, record: StudyRecord) -> str:
    """The arm's readable name in the study, or its id where the study does not know it."""
    for arm in record.all_arms:
        if arm.arm_id == trial.arm_id:
            return arm.name
    return trial.arm_id


def study_tags(record: StudyRecord) -> dict[str, str]:
    """Tags of a parent run."""
    note = (
        f"{text(record.question)}\n\nData: {text(record.data.title)}. Again: {code(record.command)}"
    )
    return {
        KIND: study_kind(record),
        STUDY: record.study_id,
        **stage_tags(record),
        NOTE: note[:TAG_LENGTH],
        DATA: record.data.title,
        DATA_IS_FALLBACK: str(record.data.is_fallback).lower(),
    }


def failure_line(failure: Failure) -> str:
    """One line: kind and message, without folders of this machine."""
    first_line = f"{failure.kind}: {failure.message}".partition("\n")[0]
    return without_folders(first_line)[:TAG_LENGTH]


def failure_text(failure: Failure) -> str:
    """The full traceback, or the one line where there is none."""
    return (failure.traceback or failure_line(failure)).rstrip() + "\n"


def curve_metrics(event: EpochEnded, *, first: str) -> dict[str, float]:
    """An epoch's metrics under the names that MLflow shows as curves, `first` before the others.

    MLflow colours its parallel coordinates by the metric that was logged first.
    """
    in_order = sorted(event.metrics, key=lambda name: name != first)  # stable: the rest as it was
    metrics = {}
    for name in in_order:
        metrics[CURVE_PREFIX + name] = event.metrics[name]
    return metrics


def data_profile(facts: DataFacts) -> dict[str, Any]:
    """Sizes of a data set, for MLflow's table of inputs."""
    return {
        "n_classes": len(facts.class_names),
        "n_images": facts.n_images,
        "licence": facts.licence,
        "is_synthetic": facts.is_synthetic,
        "split_rule": facts.split_rule,
    }
