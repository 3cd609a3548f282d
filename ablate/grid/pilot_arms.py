"""From a grid to its pilot, the tuning or search before the study.

Which trials a tuning asks for, what a search may propose, and the arms that either hands on.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ablate.errors import SpecError
from ablate.grid.arm_names import arm_name, level_word
from ablate.grid.expand import Expansion, arm_trial
from ablate.grid.grid_file import Grid
from ablate.grid.search_mistakes import PILOT_AMONG_SEEDS
from ablate.grid.search_space import Cell, describe_axis, probe_cells, typed_cell
from ablate.grid.size import check_trials
from ablate.recipe.canonical import relevant
from ablate.recipe.recipe import Recipe
from ablate.study.arm_record import arms_by_id
from ablate.study.pilot_record import PilotKind, Stage
from ablate.study.record import ArmRecord, ExcludedCell, StudyRecord
from ablate.study.trial import DataSpec, Trial, contradiction_on

_N_DIGITS = 4
"""Of numbers in names: enough to tell apart what samplers and people propose."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One trial of a tuning: an arm with one combination of the tuned fields."""

    of_arm: str
    """arm_id in the grid's expansion."""
    tuned: Cell
    trial: Trial


def check_pilot_seed(grid: Grid, seeds: Sequence[int]) -> None:
    """Check that the seed that chooses is none of those that judge. Raises SpecError."""
    # `--seeds` replaces the file's seeds after the file was checked, hence once more here.
    has_pilot = grid.search is not None or bool(grid.tune)
    if has_pilot and grid.pilot_seed in seeds:
        raise SpecError(PILOT_AMONG_SEEDS.format(grid.pilot_seed))


def searched_trial(grid: Grid, cell: Cell, *, data: DataSpec, fingerprint: str) -> Trial | None:
    """The trial of a proposed cell, with the pilot seed.

    None for a cell that the grid excludes or that contradicts itself.
    """
    # The sampler's levels are typed already: `space_of` made its ranges and choices so.
    recipe = grid.base.model_copy(update=dict(cell))
    if grid.rules.reason_excluded(cell) or contradiction_on(grid.data, recipe):
        return None
    return arm_trial(grid, data=data, fingerprint=fingerprint, recipe=recipe, seed=grid.pilot_seed)


def probe_arms(grid: Grid, *, data: DataSpec, fingerprint: str) -> tuple[ArmRecord, ...]:
    """Arms that take every level and bound of a search's axes once: checked before it starts."""
    # By id: cells that differ in a level that cannot matter are one arm, checked once.
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
    """The arm of a search as a report names it: numbers to four digits."""
    return arm_name(axes, recipe, n_digits=_N_DIGITS)


def candidates(
    grid: Grid, expansion: Expansion, *, data: DataSpec, fingerprint: str
) -> list[Candidate]:
    """Every arm with every combination of the tuned fields that makes sense for it, arm by arm.

    Combinations that cannot differ for an arm come once. Raises SpecError where a combination
    would merge or split arms, or where an arm has no combination left.
    """
    factors = [(len(expansion.arms), "arms")]
    for name, levels in grid.tune.items():
        factors.append((len(levels), f"levels of {name}"))
    # Before the combinations are gone through one by one: there may be billions.
    check_trials(factors, what="a tuning")
    for tuned in _combinations(grid.tune):
        _check_arms_stay_apart(grid, expansion, tuned, data=data, fingerprint=fingerprint)
    all_candidates: list[Candidate] = []
    for arm in expansion.arms:
        of_arm = _candidates_of(arm, grid, data=data, fingerprint=fingerprint)
        if not of_arm:
            raise SpecError(
                "tune must leave every arm a combination that makes sense, "
                f"{arm.name} has none; give it one, or exclude the arm's cells"
            )
        all_candidates += of_arm
    return all_candidates


def _candidates_of(
    arm: ArmRecord, grid: Grid, *, data: DataSpec, fingerprint: str
) -> list[Candidate]:
    by_trial: dict[str, Candidate] = {}
    for tuned in _combinations(grid.tune):
        recipe = arm.recipe.model_copy(update=tuned)
        if contradiction_on(grid.data, recipe) is None:
            trial = arm_trial(
                grid, data=data, fingerprint=fingerprint, recipe=recipe, seed=grid.pilot_seed
            )
            # Combinations that differ where it does not matter are one trial: the first stays.
            by_trial.setdefault(trial.trial_id, Candidate(arm.arm_id, tuned, trial))
    return list(by_trial.values())


def _combinations(tune: Mapping[str, Sequence[Any]]) -> Iterator[Cell]:
    for levels in itertools.product(*tune.values()):
        yield typed_cell(dict(zip(tune, levels, strict=True)))


def _check_arms_stay_apart(
    grid: Grid, expansion: Expansion, tuned: Cell, *, data: DataSpec, fingerprint: str
) -> None:
    """Check that the arms stay as they are with the tuned fields set. Raises SpecError.

    A field that decides whether an axis matters cannot be tuned: cells that are one arm would
    become two, or two arms one.
    """
    arms_by_tuned_id: dict[str, set[str]] = {}
    for arm in expansion.arms:
        for cell in arm.cells:
            recipe = grid.base.model_copy(update={**typed_cell(cell), **tuned})
            # An arm's id leaves the seed out, so any will do.
            trial = arm_trial(grid, data=data, fingerprint=fingerprint, recipe=recipe, seed=0)
            arms_by_tuned_id.setdefault(trial.arm_id, set()).add(arm.arm_id)
    # An id with two arms: they would be one. More ids than arms: the cells of an arm would part.
    some_merge = max(map(len, arms_by_tuned_id.values()), default=0) > 1
    n_arms = len(set().union(*arms_by_tuned_id.values()))
    some_split = len(arms_by_tuned_id) > n_arms
    if some_merge or some_split:
        words = ", ".join(f"{name}: {level}" for name, level in tuned.items())
        raise SpecError(
            f"tune must not change which cells are merged into one arm, but {words} would; "
            "make the field an axis, or leave it in base"
        )


def tuned_arms(
    expansion: Expansion, best: Mapping[str, Candidate | None], n_tried: Mapping[str, int]
) -> tuple[tuple[ArmRecord, ...], tuple[ExcludedCell, ...]]:
    """The arms with what each was tuned to, and the cells of arms that have no best candidate.

    Those are the arms of which no pilot trial completed. Both maps go by arm_id in the expansion.
    """
    arms = []
    lost: list[ExcludedCell] = []
    for arm in expansion.arms:
        chosen = best[arm.arm_id]
        if chosen is None:
            # Not an error of the study: its other arms go on, and the report says what is lost and
            # why.
            why = f"none of the {n_tried[arm.arm_id]} trials of its tuning completed"
            for cell in arm.cells:
                lost.append(ExcludedCell(cell=cell, why=why))
        else:
            arms.append(_tuned_arm(arm, chosen))
    return tuple(arms), tuple(lost)


def _tuned_arm(arm: ArmRecord, chosen: Candidate) -> ArmRecord:
    recipe = chosen.trial.recipe
    matter = relevant(recipe)
    # What does not matter for the arm was not tuned in truth: all its levels gave one trial.
    tuned: Cell = {}
    for name, level in chosen.tuned.items():
        if name in matter:
            tuned[name] = level
    # The name stays the arm's own: reports compare axes, and say beside them what was tuned.
    changes = {"arm_id": chosen.trial.arm_id, "recipe": recipe, "tuned": tuned}
    return arm.model_copy(update=changes)


def pilot_record(
    grid: Grid,
    record: StudyRecord,
    *,
    kind: PilotKind,
    n_trials: int,
    arms: Sequence[ArmRecord] = (),
) -> StudyRecord:
    """The record of a study's pilot."""
    # What was tuned are axes to the pilot's own report, with their levels.
    axes: Mapping[str, Any] = {**record.axes, **grid.tune}
    if kind == "search":
        axes = dict.fromkeys(grid.axes, ())  # a range has no levels that could be listed
    # A pilot is a study of its own in journal and MLflow, with an id that its outer study leads to.
    identity = _pilot_identity(grid, record.study_id, kind)
    return record.model_copy(
        update={
            "study_id": hashlib.sha256(identity.encode()).hexdigest()[:12],
            "axes": axes,
            # It compares nothing and confirms nothing: it chooses.
            "baseline_arm_id": "",
            "seeds": (grid.pilot_seed,),
            "noise_seeds": (),
            "n_confirm": 0,
            "arms": tuple(arms),
            "stage": Stage(kind=kind, of_study=record.study_id, n_trials=n_trials),
        }
    )


def _pilot_identity(grid: Grid, study_id: str, kind: PilotKind) -> str:
    """What the pilot's id is made of: what decides the trials of a search.

    An edited space is another search; one with more trials continues the same search.
    """
    if kind != "search":
        # A tuning's trials are known by their own ids: an edited one goes on with those that it
        # has.
        return f"{study_id}\x1f{kind}"
    # Defaults are left out, so that a field which a later version adds leaves ids as they are.
    deciding = grid.model_dump(
        mode="json",
        include={"base", "axes", "pilot_seed", "select_by", "exclude"},
        exclude_defaults=True,
    )
    if grid.search is not None:
        # How many trials, and how many are confirmed, does not change what the sampler proposes
        # next.
        deciding["search"] = grid.search.model_dump(mode="json", exclude={"n_trials", "confirm"})
    # The repr of a dict: ids in journals of finished searches depend on it to the last character.
    return f"{study_id}\x1f{kind}\x1f{deciding!r}"


def tuning_arms(expansion: Expansion, tried: Sequence[Candidate]) -> tuple[ArmRecord, ...]:
    """The arms of a tuning: each arm of the grid with each combination that is tried."""
    arm_by_id = arms_by_id(expansion.arms)
    arms = []
    for candidate in tried:
        arms.append(_candidate_arm(arm_by_id[candidate.of_arm], candidate))
    return tuple(arms)


def _candidate_arm(arm: ArmRecord, candidate: Candidate) -> ArmRecord:
    """An arm with what is tried in it."""
    words = [arm.name]
    for name, level in candidate.tuned.items():
        words.append(f"{name}={level_word(level, _N_DIGITS)}")
    cells: list[Cell] = []
    for cell in arm.cells:
        cells.append({**cell, **candidate.tuned})
    return ArmRecord(
        arm_id=candidate.trial.arm_id,
        name=" ".join(words),
        recipe=candidate.trial.recipe,
        cells=tuple(cells),
    )


def space_words(grid: Grid) -> dict[str, str]:
    """Axis -> what is searched; for a tuning, field -> its levels."""
    if grid.search is not None:
        return {name: describe_axis(axis) for name, axis in grid.space.items()}
    words = {}
    for name, levels in grid.tune.items():
        words[name] = ", ".join(level_word(level, _N_DIGITS) for level in levels)
    return words
