"""What MLflow is told of a trial: plain dictionaries of parameters, metrics and tags, and back. Knows the names, not the library."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

from ablate.quoting import code, text, without_folders
from ablate.recipe.recipe import Recipe
from ablate.study.record import DataFacts, StudyRecord
from ablate.study.tasks import task_of
from ablate.study.trial import Trial
from ablate.tracking.events import EpochEnded, Failure, TrialOutcome, TrialState

KIND, STUDY, STATE, FAILURE, CURVES, CHAMPION = (
    f"ablate.{name}" for name in ("kind", "study_id", "state", "failure", "curves", "champion")
)
TRIAL, ARM_ID, ARM, SEED, ATTEMPT = (
    f"ablate.{name}" for name in ("trial_id", "arm_id", "arm", "seed", "attempt")
)
SLOT = "ablate.slot"
STAGE = "ablate.stage"
"""On the runs of studies in two stages: `search`, `tune`, or `study` for the one whose trials conclusions are made of."""
CURVE_PREFIX, PARAM_PREFIX = "epoch/", "param/"
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
_STATE = {"FINISHED": "COMPLETE", "FAILED": "FAILED", "KILLED": "KILLED"}


def state_of(status: str, tags: Mapping[str, str]) -> str:
    """Return the TrialState value of a run, or RUNNING: its own tag once it has ended, else what MLflow's status says."""
    return tags.get(STATE, _STATE.get(status, "RUNNING")) if status in _STATE else "RUNNING"


def trial_params(trial: Trial) -> dict[str, str]:
    """Every field of the recipe by its own name, `seed`, and the data's fields as `data.<name>`; values as `param_text` has them."""
    return {name: param_text(value) for name, value in _flat(trial).items()}


def param_text(value: Any) -> str:
    """What a store keeps of a parameter: the value as in YAML, cut where the store would refuse it. Whoever compares parameters compares these."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text[:PARAM_LENGTH]


def param_metrics(trial: Trial) -> dict[str, float]:
    """The numeric parameters again as `param/<name>`, because MLflow keeps parameters as text and sorts 10 before 9.

    Fields that may also be a word (`freeze_depth: all`) or null have none, so that all runs have the same metrics; `cost/n_frozen_units` sorts instead.
    """
    values = {
        name: value
        for name, value in _flat(trial).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    return {
        PARAM_PREFIX + name: float(value) for name, value in values.items() if name not in _MIXED
    }


def _kinds(annotation: Any) -> set[Any]:
    """The types that a field admits; that of a literal is the type of its words."""
    parts = get_args(annotation)
    if get_origin(annotation) is Literal:
        return set(map(type, parts))
    return (
        set().union(*map(_kinds, parts))
        if parts and get_origin(annotation) is not tuple
        else {annotation}
    )


_MIXED = frozenset(
    name
    for name, field in Recipe.model_fields.items()
    if {str, type(None)} & _kinds(field.annotation)
)
"""Fields of a recipe that are a number in one arm and a word or nothing in another."""


def _flat(trial: Trial) -> dict[str, Any]:
    data = trial.data.model_dump(mode="json", exclude={"fallback"})
    parts = {
        f"data.{name}.{key}": value
        for name in ("fractions", "sizes")
        for key, value in (data.pop(name) or {}).items()
    }
    data |= {"classes": regrouping} if (regrouping := data.pop("classes")) else {}
    return {
        **trial.recipe.model_dump(mode="json"),
        "seed": trial.seed,
        "select_by": trial.select_by,
        **{f"data.{k}": v for k, v in data.items()},
        **parts,
    }


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
        "ablate.data": record.data.title,
        "ablate.data_is_fallback": str(record.data.is_fallback).lower(),
        **stage_tags(record),
    }


def stage_tags(record: StudyRecord) -> dict[str, str]:
    """Which stage of a study in two stages a run belongs to; nothing for other studies."""
    if record.stage is not None:
        return {STAGE: record.stage.kind}
    return {} if record.pilot is None else {STAGE: "study"}


def study_kind(record: StudyRecord) -> str:
    """`study`, or `pilot` for one that only prepares another: nobody who asks for a grid's newest study gets a pilot."""
    return "study" if record.stage is None else "pilot"


def outer_study(record: StudyRecord) -> StudyRecord:
    """The study that a pilot prepares, as far as the pilot knows it: it has no arms yet."""
    assert record.stage is not None
    return record.model_copy(
        update={"study_id": record.stage.of_study, "stage": None, "arms": (), "axes": {}}
    )


def trial_note(trial: Trial, outcome: TrialOutcome, record: StudyRecord) -> str:
    """A short card of a trial: what it is, how it did, what it cost, from what."""
    data, metrics = record.data, outcome.metrics
    warning = (
        f"**Stand-in data**, asked for {code(data.requested_source)}. " if data.is_fallback else ""
    )
    rows = [
        f"| {name} | {metrics[f'val/{name}']:.3f} | {metrics[f'test/{name}']:.3f} |"
        for name in task_of(trial.task).metric_names
        if {f"val/{name}", f"test/{name}"} <= set(metrics)
    ]
    costs = {
        "trained parameters": ("cost/n_trainable", ",.0f"),
        "training s": ("time/train_s", ",.1f"),
        "latency ms": ("time/latency_ms", ",.1f"),
    }
    told = ", ".join(
        f"{what} {metrics[name]:{form}}" for what, (name, form) in costs.items() if name in metrics
    )
    shown = {
        "device": outcome.facts.device,
        "precision": outcome.facts.precision,
        "weights": outcome.facts.weights_source,
    }
    facts = ", ".join(f"{name} {text(value)}" for name, value in shown.items() if value is not None)
    head = (
        f"{code(arm_name(trial, record))}, seed {trial.seed}: {code(trial.recipe.backbone)} on {text(data.title)}. {warning}"
        f"Epoch {outcome.best_epoch + 1} was chosen on val."
    )
    table = "\n".join(["| metric | val | test |", "|---|--:|--:|", *rows])
    return f"{head}\n\n{table}\n\n{told}. {facts}. One seed is no result: see the study's report in the parent run."[
        :TAG_LENGTH
    ]


def arm_name(trial: Trial, record: StudyRecord) -> str:
    """The arm's readable name in the study, or its id where the study does not know it."""
    return next((arm.name for arm in record.arms if arm.arm_id == trial.arm_id), trial.arm_id)


def study_tags(record: StudyRecord) -> dict[str, str]:
    """Tags of a parent run."""
    return {
        KIND: study_kind(record),
        STUDY: record.study_id,
        **stage_tags(record),
        NOTE: f"{text(record.question)}\n\nData: {text(record.data.title)}. Again: {code(record.command)}"[
            :TAG_LENGTH
        ],
        "ablate.data": record.data.title,
        "ablate.data_is_fallback": str(record.data.is_fallback).lower(),
    }


def failure_line(failure: Failure) -> str:
    """One line: kind and message, without folders of this machine."""
    return without_folders(f"{failure.kind}: {failure.message}".partition("\n")[0])[:TAG_LENGTH]


def failure_text(failure: Failure) -> str:
    """The full traceback, or the one line where there is none."""
    return (failure.traceback or failure_line(failure)).rstrip() + "\n"


def curve_metrics(event: EpochEnded, *, first: str) -> dict[str, float]:
    """An epoch's metrics under the names that MLflow shows as curves, `first` before the others: it colours the UI's parallel coordinates."""
    return {
        CURVE_PREFIX + name: event.metrics[name]
        for name in sorted(event.metrics, key=lambda name: name != first)
    }


def data_profile(facts: DataFacts) -> dict[str, Any]:
    """Sizes of a data set, for MLflow's table of inputs."""
    facts_kept = {
        "licence": facts.licence,
        "is_synthetic": facts.is_synthetic,
        "split_rule": facts.split_rule,
    }
    return {"n_classes": len(facts.class_names), "n_images": facts.n_images, **facts_kept}
