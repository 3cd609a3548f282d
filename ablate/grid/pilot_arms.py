"""From a grid to its pilot: which trials a tuning asks for, what a search may propose, and the arms that either hands to the study after it."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ablate.errors import SpecError
from ablate.grid.expand import Expansion, arm_trial
from ablate.grid.grid_file import Grid
from ablate.grid.search_mistakes import PILOT_AMONG_SEEDS
from ablate.grid.search_space import Cell, describe_axis, probe_cells
from ablate.grid.size import check_trials
from ablate.recipe.canonical import contradiction, relevant
from ablate.recipe.levels import typed_level
from ablate.recipe.recipe import Recipe
from ablate.study.pilot import PilotKind, Stage
from ablate.study.record import ArmRecord, ExcludedCell, StudyRecord
from ablate.study.trial import DataSpec, Trial


@dataclass(frozen=True, slots=True)
class Candidate:
    """One trial of a tuning: an arm with one combination of the tuned fields."""

    of_arm: str
    """arm_id in the grid's expansion."""
    tuned: Cell
    trial: Trial


def check_pilot_seed(grid: Grid, seeds: Sequence[int]) -> None:
    """The seed that chooses must not be one that judges. Raises SpecError."""
    if (grid.search is not None or grid.tune) and grid.pilot_seed in seeds:
        raise SpecError(PILOT_AMONG_SEEDS.format(grid.pilot_seed))


def searched_trial(grid: Grid, cell: Cell, *, data: DataSpec, fingerprint: str) -> Trial | None:
    """The trial of a proposed cell, with the pilot seed; None for one that the grid excludes or that makes no sense."""
    recipe = grid.base.model_copy(update=dict(cell))
    if grid.rules.why_not(cell) or contradiction(recipe):
        return None
    return arm_trial(grid, data=data, fingerprint=fingerprint, recipe=recipe, seed=grid.pilot_seed)


def probe_arms(grid: Grid, *, data: DataSpec, fingerprint: str) -> tuple[ArmRecord, ...]:
    """Arms that take every level and bound of a search's axes once: what is checked before it starts."""
    arms = {}
    for cell in probe_cells(grid.space):
        trial = searched_trial(grid, cell, data=data, fingerprint=fingerprint)
        if trial is not None:
            arms[trial.arm_id] = ArmRecord(
                arm_id=trial.arm_id,
                name=searched_name(trial.recipe, tuple(grid.axes)),
                recipe=trial.recipe,
                cells=(cell,),
            )
    return tuple(arms.values())


def searched_name(recipe: Recipe, axes: Sequence[str]) -> str:
    """The arm as a report names it: the axes that matter for it, numbers to four digits."""
    matter = relevant(recipe)
    return (
        " ".join(f"{axis}={_short(getattr(recipe, axis))}" for axis in axes if axis in matter)
        or "base"
    )


def _short(level: Any) -> str:
    if level is None or isinstance(level, bool):
        return json.dumps(level)
    return (
        f"{level:.4g}"
        if isinstance(level, float)
        else "+".join(map(str, level))
        if isinstance(level, tuple)
        else str(level)
    )


def candidates(
    grid: Grid, expansion: Expansion, *, data: DataSpec, fingerprint: str
) -> list[Candidate]:
    """Every arm with every combination of the tuned fields that makes sense for it, arm by arm; combinations that cannot differ for an arm come once.

    Raises SpecError where a combination would merge or split arms, or leaves an arm nothing.
    """
    combinations = [(len(levels), f"levels of {name}") for name, levels in grid.tune.items()]
    check_trials([(len(expansion.arms), "arms"), *combinations], what="a tuning")
    found: list[Candidate] = []
    for tuned in _combinations(grid.tune):
        _check_arms_stay_apart(grid, expansion, tuned, data=data, fingerprint=fingerprint)
    for arm in expansion.arms:
        own: dict[str, Candidate] = {}
        for tuned in _combinations(grid.tune):
            recipe = arm.recipe.model_copy(update=tuned)
            if contradiction(recipe) is None:
                trial = arm_trial(
                    grid, data=data, fingerprint=fingerprint, recipe=recipe, seed=grid.pilot_seed
                )
                own.setdefault(trial.trial_id, Candidate(arm.arm_id, tuned, trial))
        if not own:
            raise SpecError(
                f"tune must leave every arm a combination that makes sense, {arm.name} has none; give it one, or exclude the arm's cells"
            )
        found += own.values()
    return found


def _combinations(tune: Mapping[str, Sequence[Any]]) -> Iterator[Cell]:
    for levels in itertools.product(*tune.values()):
        yield {name: typed_level(name, level) for name, level in zip(tune, levels, strict=True)}


def _check_arms_stay_apart(
    grid: Grid, expansion: Expansion, tuned: Cell, *, data: DataSpec, fingerprint: str
) -> None:
    """Fields that decide whether an axis matters cannot be tuned: cells that are one arm would become two, or two arms one."""
    arm_of: dict[str, set[str]] = {}
    for arm in expansion.arms:
        for cell in arm.cells:
            levels = {axis: typed_level(axis, level) for axis, level in cell.items()}
            recipe = grid.base.model_copy(update={**levels, **tuned})
            arm_of.setdefault(
                arm_trial(grid, data=data, fingerprint=fingerprint, recipe=recipe, seed=0).arm_id,
                set(),
            ).add(arm.arm_id)
    n_arms = len({arm_id for arm_ids in arm_of.values() for arm_id in arm_ids})
    if len(arm_of) != n_arms or any(len(arm_ids) > 1 for arm_ids in arm_of.values()):
        words = ", ".join(f"{name}: {level}" for name, level in tuned.items())
        raise SpecError(
            f"tune must leave the arms as they are, but with {words} other cells are equal than without: make it an axis, or leave it in base"
        )


def tuned_arms(
    expansion: Expansion, best: Mapping[str, Candidate | None], n_tried: Mapping[str, int]
) -> tuple[tuple[ArmRecord, ...], tuple[ExcludedCell, ...]]:
    """The arms with what each was tuned to, and the cells of arms of which no pilot trial completed. Both maps go by arm_id in the expansion."""
    arms, lost = [], []
    for arm in expansion.arms:
        chosen = best[arm.arm_id]
        if chosen is None:
            why = f"none of the {n_tried[arm.arm_id]} trials of its tuning completed"
            lost += [ExcludedCell(cell=cell, why=why) for cell in arm.cells]
        else:
            recipe, matter = chosen.trial.recipe, relevant(chosen.trial.recipe)
            tuned = {name: level for name, level in chosen.tuned.items() if name in matter}
            arms.append(
                arm.model_copy(
                    update={"arm_id": chosen.trial.arm_id, "recipe": recipe, "tuned": tuned}
                )
            )
    return tuple(arms), tuple(lost)


def pilot_record(
    grid: Grid,
    record: StudyRecord,
    *,
    kind: PilotKind,
    n_trials: int,
    arms: Sequence[ArmRecord] = (),
) -> StudyRecord:
    """The record of a study's pilot. Its id follows what decides its trials, so that an edited space is another search, and a longer one goes on."""
    asked = grid.model_dump(
        mode="json",
        include={"base", "axes", "pilot_seed", "select_by", "exclude"},
        exclude_defaults=True,
    )
    if grid.search is not None:
        asked["search"] = grid.search.model_dump(mode="json", exclude={"n_trials", "confirm"})
    identity = f"{record.study_id}\x1f{kind}" + (f"\x1f{asked!r}" if kind == "search" else "")
    return record.model_copy(
        update={
            "study_id": hashlib.sha256(identity.encode()).hexdigest()[:12],
            "axes": dict.fromkeys(grid.axes, ())
            if kind == "search"
            else {**record.axes, **grid.tune},
            "baseline_arm_id": "",
            "seeds": (grid.pilot_seed,),
            "noise_seeds": (),
            "arms": tuple(arms),
            "stage": Stage(kind=kind, of_study=record.study_id, n_trials=n_trials),
        }
    )


def tuning_arms(expansion: Expansion, tried: Sequence[Candidate]) -> tuple[ArmRecord, ...]:
    """The arms of a tuning: each arm of the grid with each combination that is tried."""
    of = {arm.arm_id: arm for arm in expansion.arms}
    made = []
    for one in tried:
        arm, words = (
            of[one.of_arm],
            " ".join(f"{name}={_short(level)}" for name, level in one.tuned.items()),
        )
        cells = tuple({**cell, **one.tuned} for cell in arm.cells)
        made.append(
            ArmRecord(
                arm_id=one.trial.arm_id,
                name=f"{arm.name} {words}",
                recipe=one.trial.recipe,
                cells=cells,
            )
        )
    return tuple(made)


def space_words(grid: Grid) -> dict[str, str]:
    """Axis -> what is searched; for a tuning, field -> its levels."""
    if grid.search is not None:
        return {name: describe_axis(axis) for name, axis in grid.space.items()}
    return {name: ", ".join(map(_short, levels)) for name, levels in grid.tune.items()}
