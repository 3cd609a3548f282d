"""The cells beside the best arm: its recipe with another level of one axis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ablate.grid.arm_names import arm_name
from ablate.grid.expand import arm_trial, recipe_at, varied_axes
from ablate.grid.grid_file import Grid
from ablate.grid.search_space import Cell, typed_cell
from ablate.recipe.levels import level_text
from ablate.recipe.recipe import Recipe
from ablate.study.arm_record import arms_by_id
from ablate.study.record import ArmRecord, StudyRecord
from ablate.study.trial import DataSpec, Trial


def with_neighbours(
    grid: Grid, record: StudyRecord, champion: ArmRecord, *, data: DataSpec
) -> StudyRecord:
    """The study with the arms beside `champion` that it lacks, after those added before.

    Cells that the grid excludes, or that contradict themselves, are passed over. A cell that an arm
    of the study answers, though its design did not ask for it, is added to that arm's.
    """
    assert record.around is not None
    # Arms of earlier choices stay: they are trained, and what was the best may change with seeds.
    added = arms_by_id(record.around.arms)
    answered = _answered(record)
    for cell in _beside(grid, champion):
        recipe = _recipe(grid, cell)
        if _key(cell) in answered or recipe is None:
            continue
        trial = arm_trial(
            grid, data=data, fingerprint=record.data.fingerprint, recipe=recipe, seed=0
        )
        # An axis that cannot matter for the best arm leads back to it.
        if trial.arm_id != champion.arm_id:
            former = added.get(trial.arm_id)
            # Several cells can be one arm: each is added to it.
            added[trial.arm_id] = _with_cell(grid, record, former, trial, cell)
    around = record.around.model_copy(
        update={"champion_arm_id": champion.arm_id, "arms": tuple(added.values())}
    )
    return record.model_copy(update={"around": around})


def still_asked(grid: Grid, arms: Sequence[ArmRecord]) -> tuple[ArmRecord, ...]:
    """Those of the added arms that an edited grid could still add: all their cells are its own."""
    kept = []
    for arm in arms:
        if all(_is_of_grid(grid, cell) for cell in arm.cells):
            kept.append(arm)
    return tuple(kept)


def around_trials(
    grid: Grid, record: StudyRecord, *, data: DataSpec, fingerprint: str
) -> list[Trial]:
    """Every added arm with every seed of the study, seed by seed."""
    trials = []
    for seed in record.seeds:
        for arm in record.added_arms:
            trials.append(
                arm_trial(grid, data=data, fingerprint=fingerprint, recipe=arm.recipe, seed=seed)
            )
    return trials


def _beside(grid: Grid, champion: ArmRecord) -> Iterator[Cell]:
    """Cells that differ from one of the arm's in a single axis, in the order of axes and levels."""
    # All its cells: where an axis cannot matter for the arm, it stands at several levels of it.
    for cell in champion.cells:
        for axis, levels in grid.levels.items():
            for level in levels:
                if level_text(level) != level_text(cell[axis]):
                    yield {**cell, axis: level}


def _recipe(grid: Grid, cell: Cell) -> Recipe | None:
    """What a cell trains; None where the grid excludes it, or it contradicts itself."""
    recipe, why_left_out = recipe_at(grid, typed_cell(cell))
    if why_left_out is not None:
        return None
    return recipe


def _with_cell(
    grid: Grid, record: StudyRecord, former: ArmRecord | None, trial: Trial, cell: Cell
) -> ArmRecord:
    """The arm that answers a cell: as it was added before, or new under a name of its own."""
    if former is not None:
        return former.model_copy(update={"cells": (*former.cells, cell)})
    for arm in record.arms:
        if arm.arm_id == trial.arm_id:
            # It is trained already: only the cell is new, and the arm keeps its name.
            return arm.model_copy(update={"cells": (cell,)})
    # Nobody knew this arm when the others were named, so its name may be taken.
    name = arm_name(varied_axes(grid), trial.recipe)
    if name in {arm.name for arm in record.all_arms}:
        name = f"{name} {trial.arm_id}"
    return ArmRecord(arm_id=trial.arm_id, name=name, recipe=trial.recipe, cells=(cell,))


def _answered(record: StudyRecord) -> set[tuple[tuple[str, str], ...]]:
    """The cells that an arm of the study answers, those added before included."""
    arms = list(record.arms)
    if record.around is not None:
        arms += record.around.arms
    answered = set()
    for arm in arms:
        for cell in arm.cells:
            answered.add(_key(cell))
    return answered


def _key(cell: Cell) -> tuple[tuple[str, str], ...]:
    """Levels as text: a cell that was stored has lists where a grid has tuples."""
    return tuple(sorted((axis, level_text(level)) for axis, level in cell.items()))


def _is_of_grid(grid: Grid, cell: Cell) -> bool:
    # The grid has other axes by now.
    if cell.keys() != grid.levels.keys():
        return False
    for axis, levels in grid.levels.items():
        if level_text(cell[axis]) not in map(level_text, levels):
            return False
    return _recipe(grid, cell) is not None
