"""Everything that report, figures and cards say, computed once from a published study."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ablate.reporting.evidence.arm_contrasts import ArmGap, gaps_to
from ablate.reporting.evidence.arm_intervals import with_intervals
from ablate.reporting.evidence.effects import Effects, study_effects
from ablate.reporting.evidence.noise_floor import NoiseFloor, noise_floor
from ablate.reporting.evidence.tables import arm_frame, champion, complete_runs, trial_frame
from ablate.reporting.predictions.classification_insight import (
    CLASS_SCORES,
    ArmInsight,
    arm_insight,
    replicate_arrays,
    similarity_order,
)
from ablate.reporting.predictions.multilabel_insight import (
    LABEL_SCORES,
    LabelInsight,
    label_insight,
)
from ablate.reporting.predictions.read import Pooled, Predictions, Readings, read_study
from ablate.reporting.predictions.suspects import Suspect, suspect_labels
from ablate.reporting.predictions.target_precision import with_target
from ablate.study.record import ArmRecord, StudyRecord
from ablate.study.tasks import metric_prose, task_of
from ablate.tracking.records import PublishedRun, PublishedStudy

NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Results:
    """The study and all tables on it."""

    study: PublishedStudy
    trials: pd.DataFrame
    """See `tables.trial_frame`."""
    arms: pd.DataFrame
    """See `tables.arm_frame`: the best arm first."""
    effects: Effects
    noise_floor: NoiseFloor
    """Of `effects.PRIMARY`."""
    champion: ArmRecord | None
    to_champion: tuple[ArmGap, ...]
    """Every other scored arm against the champion, in the order of `arms`."""
    to_baseline: tuple[ArmGap, ...]
    """The same against the baseline."""
    insights: Mapping[str, ArmInsight]
    """arm_id -> what its predictions say; arms without readable predictions are missing."""
    pooled: tuple[Pooled, ...]
    """What all complete trials say of val and test images."""
    suspects: tuple[Suspect, ...]
    """The surest first."""
    slugs: Mapping[str, str]
    """arm_id -> file name of its card, without `.md`."""
    thumbnails: Mapping[tuple[str, str], NDArray[np.uint8]] | None = None
    """(split, image_id) -> (H, W, 3) of the images that the report shows; None where images are left out."""

    label_insights: Mapping[str, LabelInsight] = field(default_factory=dict)
    """`insights` where images have several labels; one of the two is empty."""

    @property
    def has_several_labels(self) -> bool:
        """Whether an image may have several labels."""
        return self.record.task == "multilabel"

    @property
    def record(self) -> StudyRecord:
        """What the grid asked for."""
        return self.study.record

    @property
    def baseline(self) -> ArmRecord | None:
        """The reference arm."""
        return next(
            (arm for arm in self.record.arms if arm.arm_id == self.record.baseline_arm_id), None
        )

    def complete_runs(self, arm_id: str) -> list[PublishedRun]:
        """The arm's completed runs, in the order of the seeds."""
        return complete_runs(self.study, arm_id)

    @cached_property
    def _rows(self) -> dict[str, dict[Hashable, Any]]:
        """arm_id -> its row of `arms`: a look into the frame for each printed number would take longer than all else."""
        return {row["arm_id"]: row for row in self.arms.to_dict("records")}

    def number(self, arm_id: str, column: str) -> float:
        """A number of the arm's row of `arms`, e.g. `test/macro_f1/mean`; NaN where no run measured it."""
        return float(self._rows[arm_id].get(column, math.nan))


def compute_results(study: PublishedStudy, predictions: Predictions) -> Results:
    """Compute every table of the report. Reads the predictions of each complete run once."""
    return results_of(study, read_study(study, predictions))


def results_of(study: PublishedStudy, readings: Readings) -> Results:
    """The same from predictions that were read before."""
    record, trials = study.record, trial_frame(study)
    arms, best, replicates = (
        arm_frame(study, trials),
        champion(record, trials),
        replicate_arrays(readings, record),
    )
    baseline = next((arm for arm in record.arms if arm.arm_id == record.baseline_arm_id), None)
    insights = {arm.arm_id: arm_insight(readings, record, arm.arm_id) for arm in record.arms}
    of_labels = {arm.arm_id: label_insight(readings, record, arm.arm_id) for arm in record.arms}
    known = {arm_id: insight for arm_id, insight in insights.items() if insight is not None}
    arms = with_intervals(arms, record, trials, replicates)
    return Results(
        study=study,
        trials=trials,
        arms=arms if record.target_precision is None else with_target(arms, known),
        effects=study_effects(record, trials, replicates),
        noise_floor=noise_floor(study, trials),
        champion=best,
        to_champion=()
        if best is None
        else gaps_to(record, trials, replicates, reference=best, order=arms["arm_id"].tolist()),
        to_baseline=()
        if baseline is None
        else gaps_to(record, trials, replicates, reference=baseline, order=arms["arm_id"].tolist()),
        insights=known,
        pooled=readings.pooled,
        suspects=suspect_labels(readings.pooled),
        slugs=card_slugs(study.record),
        label_insights={
            arm_id: insight for arm_id, insight in of_labels.items() if insight is not None
        },
    )


def shown_scores(record: StudyRecord) -> list[str]:
    """The scores that tables of arms and of seeds show: what chooses first."""
    task = task_of(record.task)
    n_classes = len(record.data.class_names)
    shown = [f"test/{name}" for name in task.metrics_of(n_classes) if task.metric(name).is_shown]
    return list(dict.fromkeys([record.select_by, f"val/{task.primary}", *shown]))


def class_frame(results: Results) -> pd.DataFrame:
    """One row an arm and class: scores on test, means over the seeds."""
    names = {arm.arm_id: arm.name for arm in results.record.arms}
    insights = results.label_insights if results.has_several_labels else results.insights
    frames = [insight.classes.assign(arm=names[arm_id]) for arm_id, insight in insights.items()]
    columns = [
        "arm",
        "class",
        *(LABEL_SCORES if results.has_several_labels else CLASS_SCORES),
        "support",
    ]
    return pd.concat(frames)[columns] if frames else pd.DataFrame(columns=columns)


def confusion_frame(results: Results) -> pd.DataFrame:
    """The champion's confusion matrix on test, all seeds together, in the order of the figure: a row a label, a column a predicted class."""
    insight = None if results.champion is None else results.insights.get(results.champion.arm_id)
    if insight is None:
        return pd.DataFrame(columns=["label"])
    order = similarity_order(insight.confusion)
    names = [results.record.data.class_names[c] for c in order]
    frame = pd.DataFrame(insight.confusion[np.ix_(order, order)], columns=names)
    frame.insert(0, "label", names, allow_duplicates=True)
    return frame


def card_slugs(record: StudyRecord) -> dict[str, str]:
    """Return arm_id -> a file name: the arm's slug, with the arm's id where slugs are too long, collide (case ignored), or hit `champion`."""
    folded = [arm.slug.casefold() for arm in record.arms]
    slugs = {}
    for arm in record.arms:
        is_plain = (
            len(arm.slug) <= 120
            and folded.count(arm.slug.casefold()) == 1
            and arm.slug.casefold() != "champion"
        )
        slugs[arm.arm_id] = arm.slug if is_plain else f"{arm.slug[:100]}__{arm.arm_id}"
    return slugs


def best_epoch(run: PublishedRun, select_by: str) -> int | None:
    """The epoch, counted from 1, whose weights were scored; None where the run does not tell."""
    if "best_epoch" in run.metrics:
        return int(run.metrics["best_epoch"]) + 1
    curve = run.curves.get(select_by, ())
    return next(
        (
            epoch + 1
            for epoch, value in curve
            if math.isclose(value, run.metrics.get(select_by, math.nan), rel_tol=1e-9)
        ),
        None,
    )


def prose(metric: str) -> str:
    """`val/macro_f1` as words: "val macro F1"."""
    split, _, name = metric.rpartition("/")
    return " ".join(part for part in (split, metric_prose(name)) if part)
