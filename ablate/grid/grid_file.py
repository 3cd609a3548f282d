"""The grid file after it was read: what varies, what stays, what is compared with what."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ablate.grid.design import Design, SearchDesign
from ablate.grid.exclusions import MAX_EXCLUSIONS, Exclusion, Rules
from ablate.grid.search_space import Axis, Search, SearchAxis, space_of
from ablate.grid.seeds import DEFAULT_PILOT_SEED, MAX_SEEDS, Seed
from ablate.recipe.levels import meaning
from ablate.recipe.recipe import Level, Recipe
from ablate.recipe.shown_part import SHOWN_FIELDS
from ablate.study.tasks import TASKS, all_metric_names
from ablate.study.trial import DataSpec, TaskName
from ablate.study.words import OneOf

# Frozen and closed: a grid is a value, and a misspelt key is an error. A NaN would make every
# comparison with it false, without a word.
_FROZEN = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
MAX_QUESTIONS = 20
"""Each further one widens the intervals of all: more are exploration."""
FEWEST_TO_CONFIRM = 2
"""One seed has no spread, so it can confirm nothing."""


def selectable() -> tuple[str, ...]:
    """What may pick the best epoch and the champion; each task has some of them.

    Val only: test is sealed.
    """
    return tuple(f"val/{name}" for name in all_metric_names())


class Grid(BaseModel):
    """A grid file.

    Make one from text with `parse_grid`: it also checks what one field alone cannot know.
    """

    model_config = _FROZEN
    task: TaskName
    data: DataSpec
    base: Recipe = Field(description="the recipe that every arm starts from")
    axes: dict[str, Axis] = Field(min_length=1, description="field of base -> its levels")
    design: Design = Field(
        "full",
        description="which cells of the grid are trained: full | one_factor | leave_one_out | "
        "{random: n} | {search: {...}}",
    )
    tune: dict[str, tuple[Any, ...]] = Field(
        default_factory=dict,
        description="field of base -> levels: every arm is tuned over all combinations on val "
        "with the pilot seed, then trained with its best one",
    )
    # What chooses and what judges must differ, so a pilot has a seed that no arm is scored with.
    pilot_seed: Seed = Field(
        DEFAULT_PILOT_SEED,
        description="seed of the trials of a search or a tuning; must not be among seeds",
    )
    exclude: tuple[Exclusion, ...] = Field((), max_length=MAX_EXCLUSIONS)
    seeds: tuple[Seed, ...] = Field(
        min_length=1,
        max_length=MAX_SEEDS,
        description="replicates: every arm is trained once with each seed",
    )
    noise_floor: int = Field(
        0,
        ge=0,
        le=100,
        strict=True,
        description="number of further seeds of the baseline arm alone: their spread is the "
        "noise floor of the report",
    )
    # Levels of any type, here and in `ask`: only the axes know which there are, and
    # `file_mistakes` checks them with the words of the file.
    baseline: dict[str, Any] = Field(
        default_factory=dict,
        description="levels of the arm that every difference is measured against; needed in all "
        "designs but a search",
    )
    ask: dict[str, Any] = Field(
        default_factory=dict,
        max_length=MAX_QUESTIONS,
        description="question in your words -> {axis: [level, reference level]}, or two arms as "
        "[{axis: level}, {axis: level}]: what the report answers first, all else is exploratory",
    )
    # The first arm that is looked at is the luckiest one too: fresh seeds take that luck away.
    confirm: int | None = Field(
        None,
        ge=FEWEST_TO_CONFIRM,
        le=100,
        strict=True,
        description="number of fresh seeds, with which the best arm, the baseline and the cheapest "
        "arm that may be the best are trained once more after the study: their differences are "
        "reported apart, and owe nothing to the choice",
    )
    around: Literal["champion"] | None = Field(
        None,
        description="`champion`: after the study, the best arm with each other level of each axis "
        "is trained too, where the design left it out: what each of its choices is worth",
    )
    # In points, as people speak of scores; the program divides by 100.
    margin: float | None = Field(
        None,
        gt=0,
        le=100,
        strict=True,
        description="points of the primary metric (1 is 0.01) below which a difference does not "
        "matter to you",
    )
    noise: float | None = Field(
        None,
        gt=0,
        le=100,
        strict=True,
        description="points of the primary metric: your guess of the SD of a trial around its arm "
        "and seed, for what `plan` says where no earlier study measured it; 2 where you have none",
    )
    select_by: Annotated[str, OneOf(selectable)] = Field(
        description="picks the best epoch and the champion"
    )
    target_precision: float | None = Field(
        None,
        gt=0,
        lt=1,
        strict=True,
        description="for two classes: the report gives the recall on test at the threshold that "
        "reaches this precision of the second class on val",
    )
    # None stands in the file as a field: its name, its comment, and what `--set` changed in it.
    name: str = Field("", exclude=True)
    question: str = Field("", exclude=True)
    settings: tuple[str, ...] = Field((), exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _fill_in_defaults_of_task(cls, values: Any) -> Any:
        """A task may have its own defaults: `loss` is bce where images have several labels."""
        # Whatever is wrong here is pydantic's to say, once it comes to that field.
        if not isinstance(values, dict) or not isinstance(values.get("base"), dict):
            return values
        task = TASKS.get(str(values.get("task")))
        if task is None:
            return values
        # What the file says comes last, so it wins over the task's default.
        return {**values, "base": {**task.base_defaults, **values["base"]}}

    @property
    def levels(self) -> dict[str, tuple[Any, ...]]:
        """Axis -> its levels.

        Axes that a search draws from a range, or under a condition, are not in it.
        """
        # What a search draws from is a `Range` or a `Choice` by now.
        return {axis: levels for axis, levels in self.axes.items() if isinstance(levels, tuple)}

    @property
    def search(self) -> Search | None:
        """What is searched for, in a search design."""
        if isinstance(self.design, SearchDesign):
            return self.design.search
        return None

    @property
    def space(self) -> dict[str, SearchAxis]:
        """The axes in the form that a search uses."""
        return space_of(self.axes)

    @property
    def baseline_cell(self) -> dict[str, Level]:
        """Axis -> level; an axis that `baseline` omits has the level of `base`, else its first."""
        cell: dict[str, Level] = {}
        for axis, levels in self.levels.items():
            cell[axis] = self._usual_level(axis, levels)
        # In the order of the axes, whatever the order in `baseline`.
        cell.update(self.baseline)
        return cell

    def _usual_level(self, axis: str, levels: tuple[Level, ...]) -> Level:
        usual = [getattr(self.base, axis)]
        # What base leaves to the data is usual as the data say it.
        if axis in SHOWN_FIELDS:
            usual.append(getattr(self.data.shown_to(self.base), axis))
        # Returned as the axis spells it (0, not 0.0): cells are compared with it as they stand.
        for wanted in usual:
            for level in levels:
                if meaning(axis, level) == wanted:
                    return level
        # `base` has none of the levels: the axis overrides it in every cell.
        return levels[0]

    @cached_property
    def rules(self) -> Rules:
        """The exclusions, indexed for many cells."""
        return Rules(self.exclude)
