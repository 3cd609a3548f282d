"""Everything that report, figures and cards say of a study, and what a task must be able to say."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ablate.reporting.evidence.added_arms import AddedArms
from ablate.reporting.evidence.arm_gaps import ArmGap
from ablate.reporting.evidence.arm_names import difference_names
from ablate.reporting.evidence.choices import Choice
from ablate.reporting.evidence.confirmed import Confirmed
from ablate.reporting.evidence.effects import Effects
from ablate.reporting.evidence.frames import best_among, complete_among, run_of_trial
from ablate.reporting.evidence.noise_floor import NoiseFloor
from ablate.reporting.figures.picture import Picture
from ablate.reporting.figures.tiles import ImageKey, TileFigure
from ablate.study.arm_record import arms_by_id
from ablate.study.record import ArmRecord, StudyRecord
from ablate.study.tasks import TaskSpec, metric_prose, task_of
from ablate.tracking.records import PublishedRun, PublishedStudy

# one word everywhere, and never an empty cell: a reader must know that nothing is hidden
NOT_MEASURED = "not measured"
OfArm = TypeVar("OfArm")
ShowFigure = Callable[[str], str]
"""Name of a figure -> the Markdown that shows it, empty where it was not drawn."""


@dataclass(frozen=True)
class CardWords:
    """What the cards of a task say of any arm. Braces are filled in."""

    purpose: str
    """What the network is for: a sentence; may name `{n_classes}` and `{classes}`."""
    limit: str
    """What it was trained on and cannot do: a sentence; may name `{n_images}` and `{n_classes}`."""
    load_champion: str
    """Python that loads the champion; may name `{run_id}` and `{class_names}`."""
    load_run: str
    """Python that loads any run; the same."""
    scores_by_seed: tuple[str, ...] = ()
    """Metrics that the table of seeds has beside `shown_scores`."""


class Insight(Protocol):
    """What the predictions of a study say. One class a task, made by `insights.INSIGHTS`.

    Arms whose predictions could not be read are no error: their parts are empty, or say so.
    """

    @property
    def words(self) -> CardWords:
        """What cards say in any case."""
        ...

    # the slash: implementations may name an argument that they do not use with an underscore
    def with_columns(self, arms: pd.DataFrame, record: StudyRecord, /) -> pd.DataFrame:
        """The frame of arms with what the task adds to it, or as it was."""
        ...

    def tables(self, results: Results, /) -> dict[str, pd.DataFrame]:
        """File name without ending -> a table that only this task has; all studies have each."""
        ...

    def pictures(self, results: Results, /) -> list[Picture]:
        """Figures of the best arm."""
        ...

    def tiles(self, results: Results, /) -> list[TileFigure]:
        """Figures of example images, without rows where there are none."""
        ...

    def report_sections(self, results: Results, /) -> list[str]:
        """Sections of the report, each with its heading, between the axes and the costs."""
        ...

    def error_lines(self, results: Results, /) -> list[str]:
        """At most three short lines on what the best arm gets wrong; none where it is not known."""
        ...

    def error_parts(self, results: Results, show: ShowFigure, /) -> list[str]:
        """Paragraphs below "Errors of the best arm"; none where no predictions could be read."""
        ...

    def review_parts(self, results: Results, show: ShowFigure, /) -> list[str]:
        """Paragraphs below "Images to look at"."""
        ...

    def checks(self) -> dict[str, int | None]:
        """What the task looks for -> how many it found, None where it could not look."""
        ...

    def card_sections(self, results: Results, arm: ArmRecord, /) -> list[str]:
        """Sections of an arm's card, each with its heading, below its scores."""
        ...

    def score_note(self, results: Results, arm: ArmRecord, /) -> str:
        """A sentence below the scores of an arm's card, or nothing."""
        ...

    def limits(self, results: Results, arm: ArmRecord, /) -> list[str]:
        """Lines of the list of limits of an arm's card."""
        ...


@dataclass(frozen=True)
class Results:
    """The study and all tables on it."""

    study: PublishedStudy
    trials: pd.DataFrame
    """See `frames.trial_frame`."""
    arms: pd.DataFrame
    """See `frames.arm_frame`: the best arm first."""
    effects: Effects
    noise_floor: NoiseFloor
    """Of the task's primary metric on test."""
    champion: ArmRecord | None
    to_baseline: tuple[ArmGap, ...]
    """Every other scored arm against the baseline, in the order of `arms`."""
    choices: tuple[Choice, ...]
    """The champion against the arms that differ from it in one axis."""
    may_be_best: frozenset[str]
    """arm_ids of the arms among which the best one is, by test, in 95 % of studies."""
    insight: Insight
    """What the predictions say."""
    slugs: Mapping[str, str]
    """arm_id -> file name of its card, without `.md`."""
    confirmed: Confirmed | None = None
    """What fresh seeds say of the choice; None where the grid asks for none, or none is made."""
    added: AddedArms | None = None
    """Arms that results added around the best one; `arms` and `trials` do not hold them."""
    # last, because results are made without images, and pictures are added for the page
    thumbnails: Mapping[ImageKey, NDArray[np.uint8]] | None = None
    """(H, W, 3) of the images that the report shows; None where images are left out."""

    @property
    def record(self) -> StudyRecord:
        """What the grid asked for."""
        return self.study.record

    @property
    def task(self) -> TaskSpec:
        """What was learned."""
        return task_of(self.record.task)

    @property
    def baseline(self) -> ArmRecord | None:
        """The reference arm."""
        return self.record.baseline

    def of_champion(self, by_arm: Mapping[str, OfArm]) -> OfArm | None:
        """The champion's entry of a table by arm_id; None without a champion, or without one."""
        if self.champion is None:
            return None
        return by_arm.get(self.champion.arm_id)

    @cached_property
    def arm_of_id(self) -> dict[str, ArmRecord]:
        """arm_id -> the arm, in the order of the grid."""
        return arms_by_id(self.record.arms)

    @cached_property
    def _names(self) -> dict[str, str]:
        # with the arms of the design alone, so that a name does not change when results add an arm
        names = difference_names(self.record)
        if self.record.added_arms:
            update = {"arms": self.record.all_arms, "around": None}
            every = difference_names(self.record.model_copy(update=update))
            # Arms of the design keep their names, whatever results have added.
            names = {**every, **names}
        return names

    def name(self, arm_id: str) -> str:
        """What the report calls an arm: by what differs from the baseline."""
        return self._names[arm_id]

    @cached_property
    def _gaps(self) -> dict[str, ArmGap]:
        return {gap.arm_id: gap for gap in self.to_baseline}

    def gap_to_baseline(self, arm_id: str) -> ArmGap | None:
        """An arm against the baseline; None for the baseline, and where they share no seed."""
        return self._gaps.get(arm_id)

    @cached_property
    def run_of_trial(self) -> dict[tuple[str, int], PublishedRun]:
        """(arm_id, seed) -> run; kept, as every card asks for it."""
        return run_of_trial(self.study)

    def complete_runs(self, arm_id: str) -> list[PublishedRun]:
        """The arm's completed runs, in the order of the seeds."""
        return complete_among(self.run_of_trial, arm_id, seeds=self.record.seeds)

    def best_run(self, arm_id: str) -> PublishedRun | None:
        """The arm's best run on val, see `frames.best_run`."""
        return best_among(self.complete_runs(arm_id), select_by=self.record.select_by)

    @cached_property
    def _rows(self) -> dict[str, dict[Hashable, Any]]:
        """arm_id -> its row of `arms`: reading the frame anew for each number takes too long."""
        return {row["arm_id"]: row for row in self.arms.to_dict("records")}

    def number(self, arm_id: str, column: str) -> float:
        """A number of an arm's row of `arms`, e.g. `cost/macs/mean`; NaN where not measured."""
        return float(self._rows[arm_id].get(column, math.nan))


def shown_scores(record: StudyRecord) -> list[str]:
    """The scores that tables of arms and of seeds show: what chooses first."""
    task = task_of(record.task)
    # average precision exists for two classes alone
    existing = task.metrics_of(len(record.data.class_names))
    shown = [record.select_by, f"val/{task.primary}"]
    for metric in task.metrics:
        if metric.is_shown and metric.name in existing:
            shown.append(f"test/{metric.name}")
    # `select_by` may be the primary metric on val: once is enough
    return list(dict.fromkeys(shown))


def card_slugs(record: StudyRecord) -> dict[str, str]:
    """Return arm_id -> a file name for its card.

    It is the arm's slug, with the arm's id where slugs are too long, collide (case ignored), or
    hit `champion`.
    """
    folded = [arm.slug.casefold() for arm in record.arms]
    slugs = {}
    for arm in record.arms:
        # Two names that differ in case alone are one file on Windows and macOS.
        is_unique = folded.count(arm.slug.casefold()) == 1
        # A file name may have 255 bytes, and a letter up to four; `champion` is the copy of one.
        if is_unique and len(arm.slug) <= 120 and arm.slug.casefold() != "champion":
            slugs[arm.arm_id] = arm.slug
        else:
            slugs[arm.arm_id] = f"{arm.slug[:100]}__{arm.arm_id}"
    return slugs


def best_epoch(run: PublishedRun, select_by: str) -> int | None:
    """The epoch, counted from 1, whose weights were scored; None where the run does not say."""
    if "best_epoch" in run.metrics:
        # logged from 0
        return int(run.metrics["best_epoch"]) + 1
    # Runs of older versions did not log their best epoch: it is where the curve has the score.
    score = run.metrics.get(select_by, math.nan)
    for epoch, value in run.curves.get(select_by, ()):
        if math.isclose(value, score, rel_tol=1e-9):
            return epoch + 1
    return None


def prose(metric: str) -> str:
    """The key of a metric as words: `test/accuracy` is "test accuracy"."""
    split, _, name = metric.rpartition("/")
    return f"{split} {metric_prose(name)}".strip()
