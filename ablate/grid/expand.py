"""From a grid to its arms and trials: contradictions dropped with a reason, equivalent cells merged, trials ordered so that a cut study is balanced."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ablate.grid.design import design_cells, design_name, drawn
from ablate.grid.grid_file import Grid
from ablate.grid.size import check_trials
from ablate.recipe.canonical import contradiction, relevant
from ablate.recipe.recipe import Level, Recipe
from ablate.study.record import ArmRecord, DataFacts, ExcludedCell, StudyRecord
from ablate.study.trial import DataSpec, Trial


@dataclass(frozen=True, slots=True)
class Expansion:
    """What a grid asks for."""

    arms: tuple[ArmRecord, ...]
    excluded: tuple[ExcludedCell, ...]
    n_cells: int
    """Cells that the design asks for: every arm's cells and the excluded ones."""
    baseline_arm_id: str


def expand(grid: Grid, *, data: DataSpec, fingerprint: str) -> Expansion:
    """Return the arms of `grid` on the resolved data, in the order of the grid file; the first axis varies slowest. A search has none yet."""
    if grid.search is not None:
        return Expansion(arms=(), excluded=(), n_cells=0, baseline_arm_id="")
    recipes: dict[str, Recipe] = {}
    cells: dict[str, list[dict[str, Level]]] = {}
    excluded = []
    baseline, baseline_arm_id = grid.baseline_cell, ""
    typed: dict[tuple[str, str], Any] = {}
    for cell in grid_cells(grid):
        levels = {axis: _typed(axis, level, typed) for axis, level in cell.items()}
        recipe = grid.base.model_copy(update=levels)
        why = grid.rules.why_not(levels) or contradiction(recipe)
        if why is not None:
            excluded.append(ExcludedCell(cell=cell, why=why))
            continue
        arm_id = arm_trial(grid, data=data, fingerprint=fingerprint, recipe=recipe, seed=0).arm_id
        recipes.setdefault(arm_id, recipe)
        cells.setdefault(arm_id, []).append(cell)
        if cell == baseline:
            baseline_arm_id = arm_id
    chosen = drawn(list(recipes), baseline_arm_id, grid.design, seed=grid.seeds[0])
    varied = tuple(axis for axis, levels in grid.levels.items() if len(levels) > 1)
    names = _arm_names(varied, {arm_id: recipes[arm_id] for arm_id in chosen})
    arms = tuple(
        ArmRecord(
            arm_id=arm_id, name=names[arm_id], recipe=recipes[arm_id], cells=tuple(cells[arm_id])
        )
        for arm_id in chosen
    )
    return Expansion(
        arms=arms,
        excluded=tuple(excluded),
        n_cells=len(excluded) + sum(len(arm.cells) for arm in arms),
        baseline_arm_id=baseline_arm_id,
    )


def grid_cells(grid: Grid) -> Iterator[dict[str, Level]]:
    """The combinations of the axes' levels that the grid's design asks for."""
    return design_cells(grid.levels, grid.baseline_cell, grid.design, seed=grid.seeds[0])


def study_trials(
    grid: Grid, expansion: Expansion, *, data: DataSpec, fingerprint: str, seeds: Sequence[int]
) -> list[Trial]:
    """Every arm with every seed, seed by seed: a study that is cut short has each arm equally often, give or take one. The noise floor's trials come last.

    Raises SpecError where they are too many.
    """
    check_trials([(len(expansion.arms), "arms"), (len(seeds), "seeds")], n_more=grid.noise_floor)
    arms = [arm for arm in expansion.arms if arm.arm_id == expansion.baseline_arm_id]
    asked = [(arm, seed) for seed in seeds for arm in expansion.arms] + [
        (arm, seed) for seed in noise_seeds(grid, seeds) for arm in arms
    ]
    return [
        arm_trial(grid, data=data, fingerprint=fingerprint, recipe=arm.recipe, seed=seed)
        for arm, seed in asked
    ]


def noise_seeds(grid: Grid, seeds: Sequence[int]) -> tuple[int, ...]:
    """The further seeds of the baseline arm, numbered after the largest of `seeds`."""
    return tuple(range(max(seeds) + 1, max(seeds) + 1 + grid.noise_floor))


def study_record(
    grid: Grid, expansion: Expansion, *, facts: DataFacts, seeds: Sequence[int], command: str
) -> StudyRecord:
    """Return what the report needs to know. The study's id follows the grid's name and the data, so that an edited grid goes on with its finished trials."""
    identity = "\x1f".join([grid.name, facts.source, facts.fingerprint])
    return StudyRecord(
        study_id=hashlib.sha256(identity.encode()).hexdigest()[:12],
        grid_name=grid.name,
        question=grid.question,
        task=grid.task,
        data=facts,
        image_size=str(grid.data.image_size),
        axes={} if grid.search is not None else grid.levels,
        design=design_name(grid.design),
        baseline_arm_id=expansion.baseline_arm_id,
        select_by=grid.select_by,
        target_precision=grid.target_precision,
        seeds=tuple(seeds),
        noise_seeds=noise_seeds(grid, seeds),
        arms=expansion.arms,
        excluded=expansion.excluded,
        command=command,
    )


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


def _arm_names(varied: tuple[str, ...], recipes: Mapping[str, Recipe]) -> dict[str, str]:
    """arm_id -> name. Lists of text can read alike, `[a, b]` and `[a+b]`: such arms carry their ids."""
    names = {arm_id: _arm_name(varied, recipe) for arm_id, recipe in recipes.items()}
    counts = Counter(names.values())
    return {
        arm_id: name if counts[name] == 1 else f"{name} ({arm_id})"
        for arm_id, name in names.items()
    }


def _arm_name(varied: tuple[str, ...], recipe: Recipe) -> str:
    """Axes that vary and matter for this recipe; a switch that is off is said, since "none" is a level."""
    matter = relevant(recipe)
    return (
        " ".join(f"{axis}={_word(getattr(recipe, axis))}" for axis in varied if axis in matter)
        or "base"
    )


def _word(level: Any) -> str:
    """A level in a name; what is not there is YAML's null, a switch true or false."""
    if level is None or isinstance(level, bool):
        return json.dumps(level)
    return ("+".join(map(str, level)) or "none") if isinstance(level, tuple) else str(level)


def _typed(axis: str, level: Level, typed: dict[tuple[str, str], Any]) -> Any:
    """A level as validation makes it: lists from YAML become tuples, whole numbers of float fields become floats. Each level is validated once, in `typed`.

    That is as good as validating whole recipes: no check of a recipe looks at two of its fields.
    """
    key = axis, repr(level)
    if key not in typed:
        typed[key] = getattr(Recipe.model_validate({axis: level}), axis)
    return typed[key]
