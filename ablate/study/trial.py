"""A trial is a value: what is trained, on which data, with which seed. Its hash is its identity."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, lru_cache
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from ablate.recipe.canonical import canonical, contradiction
from ablate.recipe.former_names import with_first_names
from ablate.recipe.paths import FilePath
from ablate.recipe.phase import Number
from ablate.recipe.recipe import Images, Recipe
from ablate.recipe.shown_part import SHOWN_FIELDS, USUAL_VIEW, ImageSide, Shown, View
from ablate.study.class_groups import ClassGroups
from ablate.study.image_rule import ImageRule
from ablate.study.table_columns import TableColumns
from ablate.study.tasks import is_lower_better, task_names
from ablate.study.words import OneOf

SPLITS = ("train", "val", "test")
WHOLE = "all"
"""What stands in the place of a split for all images together, of which each seed has a split of
its own."""
TaskName = Annotated[str, OneOf(task_names)]
"""The name of a registered task; see `ablate.study.tasks`."""
# Above it a value counts as infinite; see `is_score`.
_LARGEST_SCORE = 1e300
Candidate = TypeVar("Candidate")


def is_better(metric: str, value: float, than: float) -> bool:
    """Whether `value` beats `than` for a metric key such as `val/accuracy`. Equal is not better."""
    if is_better_when_low(metric):
        return value < than
    return value > than


def is_better_when_low(metric: str) -> bool:
    """Whether a low value of a metric key is good: that of a loss, a cost or a time."""
    group, _, name = metric.rpartition("/")
    # "cost/flops" and "time/train_s" belong to no task, so their group decides.
    return group in ("cost", "time") or is_lower_better(name)


def is_score(value: float) -> bool:
    """Whether a value may choose: it is finite."""
    # Databases keep an infinity as the largest number that they have.
    return math.isfinite(value) and abs(value) < _LARGEST_SCORE


def scores_in(metrics: Mapping[str, float], names: Iterable[str]) -> list[float]:
    """The scores of these names, in their order; NaN, which chooses nothing, for a missing one."""
    return [metrics.get(name, math.nan) for name in names]


def best_of(
    metric: str, candidates: Iterable[Candidate], score: Callable[[Candidate], float]
) -> Candidate | None:
    """The candidate with the best `score`, the first of equal ones.

    None where none has a score that may choose.
    """
    best: tuple[Candidate, float] | None = None
    for candidate in candidates:
        value = score(candidate)
        if is_score(value) and (best is None or is_better(metric, value, than=best[1])):
            best = (candidate, value)
    if best is None:
        return None
    return best[0]


class Fractions(BaseModel):
    """Shares of a stratified split; they must sum to 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    train: Number = Field(gt=0, lt=1)
    val: Number = Field(gt=0, lt=1)
    test: Number = Field(gt=0, lt=1)


class Sizes(BaseModel):
    """Upper bounds on the images of each split. Null keeps all.

    A smaller split is a seeded, stratified subset.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    train: Images | None = None
    val: Images | None = None
    test: Images | None = None


FEWEST_FOLDS = 3
"""One is test, one is val, and something must be left to train on."""
_CAME_LATER = (
    "group_by",
    "split_by",
    "view",
    "crop_share",
    "paths",
    "columns",
    "folds",
    "split",
)
_BESIDE_FOLDS = {
    "fractions": "folds are of equal size",
    "sizes": "folds test every image once",
    "split_by": "folds are drawn, not cut in the order of time",
    "split": "folds already give each seed another split",
}
"""Field -> why it cannot stand beside `folds`."""
OF_A_PATH = ("path", "paths", "columns")
"""Fields of `DataSpec` for sources that read files of one's own."""


class DataSpec(BaseModel):
    """Which images, and how they are split."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(
        description="flowers102 | rendered_flowers | rendered_bouquets | textile | folder | "
        "parquet | webdataset | torchvision:<Name> | a source that an installed package brings"
    )
    fallback: str | None = Field(
        None,
        description="source to use where `source` is not available; the report says so in its "
        "first lines",
    )
    path: FilePath | None = Field(
        None,
        description="for sources of your own images: a folder or a file below the data folder",
    )
    paths: tuple[FilePath, ...] | None = Field(
        None,
        min_length=1,
        description="several of them instead of path, as one data set: classes of the same name "
        "come together",
    )
    columns: TableColumns | None = Field(
        None,
        description="how a table's columns are called where not as usual, e.g. {image: path, "
        "label: species, split: fold}; see below",
    )
    image_size: Literal["auto"] | ImageSide = Field(
        "auto", description="side in pixels that the network sees; auto: the backbone's own"
    )
    split_seed: int | None = Field(
        None,
        strict=True,
        description="seed of the stratified split; needed where the source has no official "
        "splits, or with sizes",
    )
    fractions: Fractions | None = Field(
        None,
        description="shares of the stratified split; needed where the source has no official "
        "splits",
    )
    sizes: Sizes | None = Field(None, description="upper bounds on the images of each split")
    classes: ClassGroups | None = Field(
        None,
        description='new class -> list of classes of the source that it takes; ["*"] takes all '
        "the rest; null = the source's own classes",
    )
    group_by: ImageRule | None = Field(
        None,
        description="what images of one group share, so that no group stands on two sides of a "
        "split: a regular expression over paths, {level: number} or {column: name}; see below",
    )

    split_by: ImageRule | None = Field(
        None,
        description="time of an image (ISO date or number), found as by group_by: the earliest "
        "images are train, the latest test, by fractions and without split_seed; see below",
    )

    view: View | None = Field(
        None,
        description="what networks see of an image: crop, its middle square (as null); squash, all "
        "of it with the longer side shortened; pad, all of it on a grey square",
    )
    crop_share: Number | None = Field(
        None,
        gt=0,
        le=1,
        description="share of the middle square's side that val and test see; null: the backbone's "
        "own, 0.875 of most; whole images (view: squash or pad) take none",
    )

    folds: int | None = Field(
        None,
        ge=FEWEST_FOLDS,
        le=100,
        strict=True,
        description="cross-validation: the r-th of the seeds tests fold r of so many, its val is "
        "the next fold, train the rest; a new shuffle after each round; needs split_seed; see "
        "below",
    )
    split: Literal["per_seed"] | None = Field(
        None,
        description="per_seed: each of the seeds draws its own train, val and test, by fractions and "
        "split_seed + its place; null: one split for all seeds",
    )

    @property
    def is_resplit(self) -> bool:
        """Whether each seed has a split of its own."""
        return self.folds is not None or self.split is not None

    @model_validator(mode="after")
    def _check_resplit(self) -> DataSpec:
        if self.folds is not None:
            for field, why in _BESIDE_FOLDS.items():
                if getattr(self, field) is not None:
                    raise ValueError(f"{field} must be left out beside folds: {why}")
        if self.split is not None and self.split_by is not None:
            raise ValueError(
                "split_by must be left out beside split: per_seed: time draws one split alone"
            )
        if self.split is not None and self.fractions is None:
            raise ValueError(
                "fractions must be set beside split: per_seed, got null: each seed draws by them"
            )
        if self.is_resplit and self.split_seed is None:
            what = "folds" if self.split is None else "split: per_seed"
            raise ValueError(
                f"split_seed must be set beside {what}, got null; any whole number will do"
            )
        return self

    @model_validator(mode="after")
    def _check_paths(self) -> DataSpec:
        if self.path is not None and self.paths is not None:
            raise ValueError("a mapping with path or with paths, not both")
        return self

    @model_validator(mode="after")
    def _check_crop_share(self) -> DataSpec:
        if self.crop_share is not None and self.view in ("squash", "pad"):
            raise ValueError(
                f"crop_share must be left out beside view: {self.view}, which shows whole images"
            )
        return self

    def shown_to(self, recipe: Recipe) -> Shown:
        """How images are shown to a network: as its recipe says, else as these data say."""
        view = recipe.view or self.view or USUAL_VIEW
        crop_share = recipe.crop_share
        # The data's share is of the middle square: arms that see whole images have none.
        if crop_share is None and view == USUAL_VIEW:
            crop_share = self.crop_share
        return Shown(
            image_size=recipe.image_size or self.image_size,
            view=view,
            crop_share=crop_share,
            interpolation=recipe.interpolation,
        )

    @model_serializer(mode="wrap")
    def _without_what_came_later(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without the fields that former versions did not have, where they say nothing.

        So ids, records and journals of grids that do not use them stay as they were.
        """
        values: dict[str, Any] = handler(self)
        for name in _CAME_LATER:
            if values.get(name) is None:
                values.pop(name, None)
        return values


def contradiction_on(data: DataSpec, recipe: Recipe) -> str | None:
    """Say why a recipe makes no sense on these data, or return None; see `contradiction`."""
    # A share of the middle square beside whole images: the data may be what shows them whole.
    if recipe.crop_share is not None:
        recipe = recipe.model_copy(update={"view": data.shown_to(recipe).view})
    return contradiction(recipe)


class Trial(BaseModel):
    """An arm with a seed.

    Hash and equality follow the fields; `trial_id` follows the canonical form.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: TaskName
    data: DataSpec
    data_fingerprint: str
    recipe: Recipe
    select_by: str
    """Metric key on val that picks the best epoch, e.g. `val/accuracy`."""
    seed: int
    split_fingerprint: str | None = None
    """64 hex digits over the images of train, val and test, where each seed has a split of its own;
    None where `data_fingerprint` says it all."""

    @model_serializer(mode="wrap")
    def _without_what_came_later(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Trials of studies with one split keep the text that former versions wrote."""
        values: dict[str, Any] = handler(self)
        if values.get("split_fingerprint") is None:
            values.pop("split_fingerprint", None)
        return values

    # Kept: a study of 20,000 trials asks for the ids of each of them many times.
    @cached_property
    def arm_id(self) -> str:
        """12 hex digits: everything but the seed."""
        return _digest(self._identity(seed=None), 12)

    @cached_property
    def trial_id(self) -> str:
        """16 hex digits: the arm and the seed."""
        return _digest(self._identity(seed=self.seed), 16)

    @property
    def shown(self) -> Shown:
        """How images are shown to its network."""
        return self.data.shown_to(self.recipe)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """See `pydantic.BaseModel.model_copy`; a copy has its own ids."""
        copied = super().model_copy(update=update, deep=deep)
        # pydantic copies what was kept along with the fields, also where these change.
        for name in ("arm_id", "trial_id"):
            copied.__dict__.pop(name, None)
        return copied

    def _identity(self, *, seed: int | None) -> str:
        """The canonical form as JSON with its keys in order; without a seed it is the arm's."""
        # Never change the form of a part: every id that was ever stored follows from these texts.
        parts = {
            "data": _data_text(self.data),
            "data_fingerprint": _json(self.data_fingerprint),
            "recipe": _recipe_text(self.recipe, self.data),
            "select_by": _json(self.select_by),
            "task": _json(self.task),
        }
        if seed is not None:
            parts["seed"] = _json(seed)
        # With the seed, never with the arm: all replicates of an arm are one arm.
        if seed is not None and self.split_fingerprint is not None:
            parts["split_fingerprint"] = _json(self.split_fingerprint)
        # Joined by hand from texts that are kept: to dump a recipe costs more than all the rest.
        return "{" + ",".join(f'"{key}":{parts[key]}' for key in sorted(parts)) + "}"


@lru_cache(maxsize=8)
def _data_text(data: DataSpec) -> str:
    """The same for all trials of a study."""
    # `fallback` is where the images may come from; which they are, the fingerprint says.
    silent = {"fallback"}
    # `classes` came later: without it where it says nothing, trials of before keep their ids.
    if data.classes is None:
        silent.add("classes")
    return _json(data.model_dump(mode="json", exclude=silent))


# More than the largest grid has cells (50,000): within a study nothing is dropped.
_MOST_TEXTS = 1 << 16
_recipe_texts: dict[tuple[int, int], tuple[Recipe, DataSpec, str]] = {}
"""`id`s of a recipe and of its data -> both, which keeps those ids taken, and the recipe's identity
on those data as JSON."""


def _recipe_text(recipe: Recipe, data: DataSpec) -> str:
    """The same for all seeds of an arm, which share the recipe."""
    # By `id` and not by `lru_cache`, which would hash and compare some 50 fields.
    key = (id(recipe), id(data))
    kept = _recipe_texts.get(key)
    if kept is None:
        # All at once: which of them are still in use, nobody knows.
        if len(_recipe_texts) >= _MOST_TEXTS:
            _recipe_texts.clear()
        # The first names of fields: a field that was renamed must not change an id.
        text = _json(with_first_names(canonical(without_repeats(recipe, data))))
        kept = (recipe, data, text)
        _recipe_texts[key] = kept
    return kept[2]


def without_repeats(recipe: Recipe, data: DataSpec) -> Recipe:
    """The recipe without what the data say of how images are shown, when it says the same.

    So a level that is the data's own is the same arm as null, which leaves it to the data.
    """
    for name in SHOWN_FIELDS:
        if getattr(recipe, name) is not None:
            left_out = recipe.model_copy(update={name: None})
            if data.shown_to(left_out) == data.shown_to(recipe):
                recipe = left_out
    return recipe


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _digest(text: str, n_digits: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:n_digits]


def trials_by_id(trials: Iterable[Trial]) -> dict[str, Trial]:
    """trial_id -> trial, in the order of `trials`; its keys serve as the set of their ids.

    Of trials with one id the first is kept.
    """
    by_id: dict[str, Trial] = {}
    for trial in trials:
        by_id.setdefault(trial.trial_id, trial)
    return by_id


def recipes_by_id(trials: Iterable[Trial]) -> dict[str, Recipe]:
    """trial_id -> recipe: trials of equal recipes take about as long, whatever their seeds."""
    recipes = {}
    for trial in trials:
        recipes[trial.trial_id] = trial.recipe
    return recipes
