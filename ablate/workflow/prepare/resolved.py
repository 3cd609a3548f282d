"""A grid on the data that is really there: its arms, its trials, and the pilot that comes first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ablate.data.dataset import DataSet, load_data
from ablate.errors import SpecError
from ablate.grid.expand import (
    Expansion,
    expand,
    noise_seeds,
    shown_in,
    study_record,
    study_trials,
)
from ablate.grid.grid_file import Grid
from ablate.grid.pilot_arms import (
    Candidate,
    candidates,
    check_pilot_seed,
    pilot_record,
    probe_arms,
    tuning_arms,
)
from ablate.recipe.shown_part import USUAL_VIEW, Shown
from ablate.study.arm_record import arms_by_id
from ablate.study.record import ArmRecord, DataFacts, StudyRecord
from ablate.study.tasks import task_of
from ablate.study.trial import DataSpec, Trial
from ablate.workflow.folders import Folders
from ablate.workflow.prepare.own_splits import counted, split_remarks, with_own_splits

_N_SHOWN = 5
"""Class names that an error shows."""


@dataclass(frozen=True)
class Resolved:
    """A grid on the data that is really there."""

    grid: Grid
    data: DataSpec
    data_set: DataSet
    expansion: Expansion
    record: StudyRecord
    trials: tuple[Trial, ...]
    """Empty for a search: what is trained with all seeds is known after it."""
    pilot: PilotPlan | None = None

    @property
    def arms_to_check(self) -> tuple[ArmRecord, ...]:
        """Arms that must be right before they start: the grid's, its pilot's, and added ones."""
        arms = self.expansion.arms
        if self.pilot is not None:
            arms += self.pilot.arms_to_check
        arms += self.record.added_arms
        # A tuning starts from the grid's arms: each is checked once.
        return tuple(arms_by_id(arms).values())

    def first_trial(self, arm: ArmRecord) -> Trial:
        """The trial of an arm of the study with its first seed."""
        return next(trial for trial in self.trials if trial.arm_id == arm.arm_id)


@dataclass(frozen=True)
class PilotPlan:
    """A search or a tuning that comes before the study."""

    record: StudyRecord
    """What the pilot is, as a study."""
    arms_to_check: tuple[ArmRecord, ...]
    """The arms of a tuning; for a search, some that together take every level of its axes."""
    tuning: tuple[Candidate, ...] | None
    """The trials of a tuning; None for a search, which proposes its trials as it runs."""

    @property
    def tuning_trials(self) -> tuple[Trial, ...]:
        """Of a tuning; none of a search."""
        return tuple(candidate.trial for candidate in self.tuning or ())


def resolve(
    grid: Grid, folders: Folders, *, seeds: Sequence[int] | None, allow_fallback: bool, command: str
) -> Resolved:
    """Find the data and expand the grid on it. Raises DataError, SpecError."""
    data, data_set = load_data(
        grid.data, data_dir=folders.data_dir, allow_fallback=allow_fallback, task=grid.task
    )
    fingerprint = data_set.facts.fingerprint
    # Before the cells are gone through: AUROC of two classes needs two, and only the data say so.
    _check_metrics(grid, source=data.source, class_names=data_set.facts.class_names)
    expansion = expand(grid, data=data, fingerprint=fingerprint)
    chosen = grid.seeds
    if seeds:
        chosen = tuple(seeds)
    # A pilot that trained with one of the study's seeds would choose on what is reported.
    check_pilot_seed(grid, (*chosen, *noise_seeds(grid, chosen)))
    # Arms and ids first, then what is asked of them; the trials follow from both.
    seen = _as_arms_see_them(data_set, shown_in(grid, expansion))
    facts = counted(seen, data_set.resplits, chosen)
    data_set = replace(data_set, remarks=(*data_set.remarks, *split_remarks(facts.splits)))
    record = study_record(grid, expansion, facts=facts, seeds=chosen, command=command)
    alike = study_trials(grid, expansion, data=data, fingerprint=fingerprint, seeds=chosen)
    trials = with_own_splits(alike, record, data_set)
    pilot = _pilot_plan(grid, expansion, record, data=data)
    return Resolved(grid, data, data_set, expansion, record, trials, pilot)


def _as_arms_see_them(data_set: DataSet, shown: Sequence[Shown]) -> DataFacts:
    """The facts with what the arms cut away, whichever part of an image the data alone would show.

    Nothing where all see whole images; where only some do, what the others cut away.
    """
    cut_share = 0.0
    if any(one.view == USUAL_VIEW for one in shown):
        cut_share = data_set.cut_share
    return data_set.facts.model_copy(update={"cut_share": cut_share})


def _pilot_plan(
    grid: Grid, expansion: Expansion, record: StudyRecord, *, data: DataSpec
) -> PilotPlan | None:
    fingerprint = record.data.fingerprint
    if grid.search is not None:
        of_search = pilot_record(grid, record, kind="search", n_trials=grid.search.n_trials)
        arms = probe_arms(grid, data=data, fingerprint=fingerprint)
        return PilotPlan(of_search, arms, tuning=None)
    if grid.tune:
        tuning = tuple(candidates(grid, expansion, data=data, fingerprint=fingerprint))
        arms = tuning_arms(expansion, tuning)
        of_tuning = pilot_record(grid, record, kind="tune", n_trials=len(tuning), arms=arms)
        return PilotPlan(of_tuning, arms, tuning)
    return None


def _check_metrics(grid: Grid, *, source: str, class_names: Sequence[str]) -> None:
    """The scores that choose, and a target precision, exist for so many classes.

    Raises SpecError.
    """
    n_classes = len(class_names)
    shown = list(class_names[:_N_SHOWN])
    if n_classes > _N_SHOWN:
        shown.append("...")
    has = f"source {source} has {', '.join(shown)}"
    if grid.target_precision is not None and n_classes != 2:
        raise SpecError(
            f"target_precision must be left out where there are not two classes: {has}; "
            'data.classes can regroup them, e.g. {good: [...], defect: ["*"]}'
        )
    known = [f"val/{metric}" for metric in task_of(grid.task).metrics_of(n_classes)]
    asked = [("select_by", grid.select_by)]
    if grid.search is not None:
        for metric in grid.search.objectives:
            asked.append(("design.search.objectives", metric))
    for field, metric in asked:
        # Objectives may also be costs, which every task has: those do not begin with val/.
        if metric.startswith("val/") and metric not in known:
            raise SpecError(
                f"{field} must be a score of {n_classes} classes ({', '.join(known)}), "
                f"got {metric!r}, which needs exactly 2: {has}"
            )
