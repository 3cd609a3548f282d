"""From a grid to its arms and trials.

Contradictions are dropped with a reason, equivalent cells are merged, and trials are ordered so
that a study that is cut short stays balanced.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ablate.grid.arm_names import unique_arm_names
from ablate.grid.design import design_cells, design_name, draw_arms
from ablate.grid.grid_file import Grid
from ablate.grid.questions import grid_questions
from ablate.grid.search_space import Cell
from ablate.grid.shown_recipes import shown_recipes
from ablate.grid.size import check_trials
from ablate.recipe.levels import typed_level
from ablate.recipe.recipe import Level, Recipe
from ablate.recipe.shown_part import Shown, shown_text
from ablate.study.around import Around
from ablate.study.record import ArmRecord, DataFacts, ExcludedCell, StudyRecord
from ablate.study.trial import DataSpec, Trial, contradiction_on

MOST_CONFIRMED = 3
"""Arms of a confirmation: the best, the baseline, and the cheapest that may be the best."""


@dataclass(frozen=True, slots=True)
class Expansion:
    """What a grid asks for."""

    arms: tuple[ArmRecord, ...]
    excluded: tuple[ExcludedCell, ...]
    n_cells: int
    """Cells that the design asks for: every arm's cells and the excluded ones."""
    baseline_arm_id: str


@dataclass(slots=True)
class _MergedCells:
    """The cells of a grid by arm, in the order of the grid file."""

    recipes: dict[str, Recipe] = field(default_factory=dict)
    """arm_id -> its recipe, as its first cell has it."""
    cells: dict[str, list[Cell]] = field(default_factory=dict)
    """arm_id -> the cells that train alike."""
    excluded: list[ExcludedCell] = field(default_factory=list)
    baseline_arm_id: str = ""


def expand(grid: Grid, *, data: DataSpec, fingerprint: str) -> Expansion:
    """Return the arms of `grid` on the resolved data, in the order of the grid file.

    The first axis varies slowest. A search has no arms yet.
    """
    if grid.search is not None:
        return Expansion(arms=(), excluded=(), n_cells=0, baseline_arm_id="")
    # First all cells become arms, then the design draws among the arms: see `draw_arms`.
    merged = _merge_cells(grid, data=data, fingerprint=fingerprint)
    chosen = draw_arms(
        list(merged.recipes), merged.baseline_arm_id, grid.design, seed=grid.seeds[0]
    )
    recipes: dict[str, Recipe] = {}
    for arm_id in chosen:
        recipes[arm_id] = merged.recipes[arm_id]
    # Named together: whether a name is unique depends on the others.
    names = unique_arm_names(varied_axes(grid), recipes)
    arms = []
    n_cells = len(merged.excluded)
    for arm_id, recipe in recipes.items():
        cells = tuple(merged.cells[arm_id])
        n_cells += len(cells)
        arms.append(ArmRecord(arm_id=arm_id, name=names[arm_id], recipe=recipe, cells=cells))
    return Expansion(
        arms=tuple(arms),
        excluded=tuple(merged.excluded),
        n_cells=n_cells,
        baseline_arm_id=merged.baseline_arm_id,
    )


def varied_axes(grid: Grid) -> tuple[str, ...]:
    """The axes with more than one level: only they tell arms apart."""
    varied: list[str] = []
    for axis, levels in grid.levels.items():
        if len(levels) > 1:
            varied.append(axis)
    return tuple(varied)


def _merge_cells(grid: Grid, *, data: DataSpec, fingerprint: str) -> _MergedCells:
    merged = _MergedCells()
    baseline = grid.baseline_cell
    known_levels: dict[tuple[str, str], Any] = {}
    # Two forms of each cell: `cell` is as the file spells it, for reports and comparisons with the
    # baseline; `levels` is as the recipe keeps it, for training.
    for cell in grid_cells(grid):
        levels: Cell = {}
        for axis, level in cell.items():
            levels[axis] = _typed(axis, level, known_levels)
        recipe, why = recipe_at(grid, levels)
        if why is not None:
            merged.excluded.append(ExcludedCell(cell=cell, why=why))
            continue
        # Cells whose difference cannot matter have one arm_id: that is what merges them.
        arm_id = arm_trial(grid, data=data, fingerprint=fingerprint, recipe=recipe, seed=0).arm_id
        # The first cell's recipe stands for all: they differ only where it does not matter.
        merged.recipes.setdefault(arm_id, recipe)
        merged.cells.setdefault(arm_id, []).append(cell)
        if cell == baseline:
            merged.baseline_arm_id = arm_id
    return merged


def recipe_at(grid: Grid, levels: Cell) -> tuple[Recipe, str | None]:
    """What a cell trains, its levels as the fields keep them, and why it is left out, if it is."""
    # Not validated again as a whole: `_typed` says why that is enough.
    recipe = grid.base.model_copy(update=levels)
    # The file's own reason first: whoever wrote it wants to read it in the report.
    return recipe, grid.rules.reason_excluded(levels) or contradiction_on(grid.data, recipe)


def grid_cells(grid: Grid) -> Iterator[Cell]:
    """The combinations of the axes' levels that the grid's design asks for."""
    return design_cells(grid.levels, grid.baseline_cell, grid.design, seed=grid.seeds[0])


def study_trials(
    grid: Grid, expansion: Expansion, *, data: DataSpec, fingerprint: str, seeds: Sequence[int]
) -> list[Trial]:
    """Every arm with every seed, seed by seed; the noise floor's trials come last.

    Seed by seed, because a study that is cut short then has each arm equally often, give or take
    one. Raises SpecError where there are too many trials.
    """
    # What results may add later counts now: a study must not turn out too large when it is half
    # done.
    n_more = grid.noise_floor + MOST_CONFIRMED * (grid.confirm or 0)
    n_more += most_neighbours(grid) * len(seeds)
    check_trials([(len(expansion.arms), "arms"), (len(seeds), "seeds")], n_more=n_more)
    trial_of = partial(arm_trial, grid, data=data, fingerprint=fingerprint)
    trials: list[Trial] = []
    for seed in seeds:
        for arm in expansion.arms:
            trials.append(trial_of(recipe=arm.recipe, seed=seed))
    # Last, since they answer nothing by themselves: a study that is cut short loses the least.
    for seed in noise_seeds(grid, seeds):
        for arm in expansion.arms:
            if arm.arm_id == expansion.baseline_arm_id:
                trials.append(trial_of(recipe=arm.recipe, seed=seed))
    return trials


def most_neighbours(grid: Grid) -> int:
    """The most arms that can be missing around the best one; 0 where the grid adds none."""
    # A full design leaves out only what makes no sense.
    if grid.around is None or grid.design == "full":
        return 0
    n_missing = 0
    for levels in grid.levels.values():
        n_missing += len(levels) - 1  # the arm has one of them itself
    return n_missing


def noise_seeds(grid: Grid, seeds: Sequence[int]) -> tuple[int, ...]:
    """The further seeds of the baseline arm, numbered after the largest of `seeds`."""
    first = max(seeds) + 1
    return tuple(range(first, first + grid.noise_floor))


def study_record(
    grid: Grid, expansion: Expansion, *, facts: DataFacts, seeds: Sequence[int], command: str
) -> StudyRecord:
    """Return what the report needs to know.

    The study's id follows the grid's name and the data alone, so that an edited grid continues
    with its finished trials.
    """
    # A separator that no name holds: "a" + "bc" and "ab" + "c" are two studies.
    identity = "\x1f".join([grid.name, facts.source, facts.fingerprint])
    # A search's axes can be ranges, which have no levels to group by.
    axes = grid.levels
    if grid.search is not None:
        axes = {}  # what the search explores stands in the record of its pilot
    return StudyRecord(
        # 48 bits are plenty for the studies of one store, and short enough for a folder's name.
        study_id=hashlib.sha256(identity.encode()).hexdigest()[:12],
        grid_name=grid.name,
        question=grid.question,
        task=grid.task,
        data=facts,
        image_size=shown_text(shown_in(grid, expansion)),
        axes=axes,
        design=design_name(grid.design),
        baseline_arm_id=expansion.baseline_arm_id,
        select_by=grid.select_by,
        target_precision=grid.target_precision,
        seeds=tuple(seeds),
        noise_seeds=noise_seeds(grid, seeds),
        arms=expansion.arms,
        excluded=expansion.excluded,
        command=command,
        margin=grid.margin,
        questions=grid_questions(grid),
        n_confirm=grid.confirm or 0,
        around=None if grid.around is None else Around(),
    )


def shown_in(grid: Grid, expansion: Expansion) -> list[Shown]:
    """How images are shown to the networks of all arms; of a search, to those it may propose."""
    recipes = [arm.recipe for arm in expansion.arms]
    if grid.search is not None:
        recipes = shown_recipes(grid)
    return [grid.data.shown_to(recipe) for recipe in recipes]


def arm_trial(grid: Grid, *, data: DataSpec, fingerprint: str, recipe: Recipe, seed: int) -> Trial:
    """An arm of a grid with a seed."""
    return Trial(
        task=grid.task,
        data=data,
        data_fingerprint=fingerprint,
        recipe=recipe,
        select_by=grid.select_by,
        seed=seed,
    )


def _typed(axis: str, level: Level, known_levels: dict[tuple[str, str], Any]) -> Any:
    """A level as its field keeps it: YAML's lists become tuples, ints of float fields floats.

    Each level is validated once and kept in `known_levels`. That is as good as validating whole
    recipes, and much faster: no check of a recipe compares two of its fields.
    """
    # repr, since 1, 1.0 and True are equal keys in Python, and lists are none.
    key = (axis, repr(level))
    if key not in known_levels:
        known_levels[key] = typed_level(axis, level)
    return known_levels[key]
