"""What a study is made of, as the report reads it: the expanded grid, and facts on its data.

Stored as JSON with the parent run.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from ablate.recipe.former_names import Levels, with_current_names
from ablate.study.arm_record import ArmRecord, arms_by_id
from ablate.study.around import Around
from ablate.study.confirmation import Confirmation
from ablate.study.image_shapes import ImageShapes
from ablate.study.pilot_record import Pilot, Stage
from ablate.study.question import Question
from ablate.study.trial import WHOLE

__all__ = [
    "FEWEST_TEST_GROUPS",
    "ArmRecord",
    "DataFacts",
    "ExcludedCell",
    "GroupFacts",
    "NearDuplicate",
    "NearDuplicates",
    "SplitsFacts",
    "StudyRecord",
]
FEWEST_TEST_IMAGES = 10
"""Of a class in test; below it its scores are coarse."""
FEWEST_TEST_GROUPS = 12
"""Groups of test images below which intervals are rough: docs/statistics.md."""
_FROZEN = ConfigDict(frozen=True, extra="forbid")


class NearDuplicate(BaseModel):
    """Two images of different splits that are all but the same."""

    model_config = _FROZEN
    first_split: str
    first_id: str
    first_label: int | tuple[int, ...]
    """Position in `class_names`, or positions where images have several labels."""
    second_split: str
    second_id: str
    second_label: int | tuple[int, ...]
    likeness: float
    """Correlation of small versions, at most 1."""
    is_mirrored: bool


class NearDuplicates(BaseModel):
    """What a look for near-duplicates across splits found."""

    model_config = _FROZEN
    n_pairs: int
    pairs: tuple[NearDuplicate, ...]
    """The most alike; not more than some tens."""


class GroupFacts(BaseModel):
    """Groups of images that belong together; none of them stands on two sides of a split."""

    model_config = _FROZEN
    rule: str
    """How they were found, in words."""
    n_groups: dict[str, int]
    """split -> groups."""
    smallest: int
    largest: int
    """Images of a group."""

    @property
    def n_all(self) -> int:
        """Groups of all splits together."""
        return sum(self.n_groups.values())

    @property
    def sizes(self) -> str:
        """`1 to 4 images`, `5 images each`."""
        if self.smallest == self.largest:
            noun = "images"
            if self.smallest == 1:
                noun = "image"
            return f"{self.smallest:,} {noun} each"
        return f"{self.smallest:,} to {self.largest:,} images"


class SplitsFacts(BaseModel):
    """Splits that differ between the seeds of a study: folds, or splits drawn for each seed."""

    model_config = _FROZEN
    n_folds: int | None
    """None where each seed draws its split by fractions."""
    n_images: int
    """Of all splits together; every one may be train, val and test in turn."""
    n_splits: int = 0
    """Seeds of the study, each with a split of its own; 0 before anybody has counted."""
    n_tested: int = 0
    """Images that some seed tests."""
    fewest_tests: int = 0
    most_tests: int = 0
    """Seeds that test an image."""


class DataFacts(BaseModel):
    """Where the images came from and what they are."""

    model_config = _FROZEN
    source: str
    title: str
    """Name for prose, e.g. "Oxford Flowers-102"."""
    version: str
    licence: str
    origin: str
    """Where it came from: a package, a paper, a folder's name. Never an absolute path."""
    is_synthetic: bool
    requested_source: str
    """The grid file's `data.source`; differs from `source` when the declared fallback was used."""
    class_names: tuple[str, ...]
    class_counts: dict[str, tuple[int, ...]]
    """split -> images of each class, in the order of `class_names`."""
    image_counts: dict[str, int] = {}
    """split -> images, where they have several labels, or none, and classes overlap.

    Empty where each image is of one class: `class_counts` adds up to the same.
    """
    fingerprint: str
    """64 hex digits over every image's bytes (or parameters), label and split."""
    split_rule: str
    """"official" or how the split was drawn, with the seed."""
    regrouped: dict[str, tuple[str, ...]] = {}
    """Class -> classes of the source that it took, both in their order.

    Empty where the classes are the source's own.
    """
    near_duplicates: NearDuplicates | None = None
    """Across splits; None where nobody looked."""
    n_first_frames: int = 0
    """Files of several frames or pages (animation, stack), of which only the first is used."""
    brightest: int | None = None
    """Brightest level of all images as they are stored, 0 to 127 of 255.

    None where there is a brighter one, as nearly always, or nobody looked.
    """

    cut_share: float = 0.0
    """Share of the pixels that networks never see, as they get each image's middle square.

    A mean over the images, in [0, 1); 0 also where nobody looked.
    """
    shapes: ImageShapes | None = None
    """None where nobody looked, or where images are drawn and have no files."""
    groups: GroupFacts | None = None
    """None where nothing groups the images."""
    splits: SplitsFacts | None = None
    """Set where each seed has a split of its own: counts by split are then those of the first."""

    @property
    def n_images(self) -> dict[str, int]:
        """split -> images."""
        # Classes that overlap count an image several times, so their sum is not the number of
        # images.
        if self.image_counts:
            return self.image_counts
        return {split: sum(counts) for split, counts in self.class_counts.items()}

    @property
    def n_in_views(self) -> dict[str, int]:
        """Images of each split; also of WHOLE, where clean views are of all images together."""
        if self.splits is None:
            return self.n_images
        return {**self.n_images, WHOLE: self.splits.n_images}

    @property
    def test_counts(self) -> tuple[int, ...]:
        """Images of each class that test scores are made of; empty where nobody counted."""
        splits = self.splits
        if splits is None or splits.n_folds is None or splits.n_tested < splits.n_images:
            return self.class_counts.get("test", ())
        # Folds that test every image: all that there are.
        return tuple(map(sum, zip(*self.class_counts.values(), strict=True)))

    @property
    def n_tested_groups(self) -> int | None:
        """Groups that test scores are made of; None where nothing groups the images."""
        if self.groups is None:
            return None
        # Folds test every group in turn.
        if self.splits is not None and self.splits.n_folds is not None:
            return self.groups.n_all
        return self.groups.n_groups["test"]

    @property
    def of_train(self) -> tuple[int, ...]:
        """Images of train by class; all together where classes overlap."""
        if self.image_counts:
            return (self.image_counts["train"],)
        return self.class_counts["train"]

    @property
    def is_fallback(self) -> bool:
        """Whether the declared fallback stood in for the requested source."""
        return self.source != self.requested_source

    @model_serializer(mode="wrap")
    def _without_what_came_later(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Data sets without groups, shapes and own splits keep the text of former versions."""
        values: dict[str, Any] = handler(self)
        for name in ("groups", "shapes", "splits"):
            if values.get(name) is None:
                values.pop(name, None)
        return values


class ExcludedCell(BaseModel):
    """A cell of the grid that is not trained, and why."""

    model_config = _FROZEN
    cell: Levels
    why: str


class StudyRecord(BaseModel):
    """All that a report needs to know of a study besides its runs."""

    model_config = _FROZEN
    study_id: str
    grid_name: str
    question: str
    """First comment of the grid file, without `#`; empty when it has none."""
    task: str
    data: DataFacts
    image_size: str
    axes: Annotated[dict[str, tuple[Any, ...]], BeforeValidator(with_current_names)]
    design: str = "full"
    """Which cells of the grid were trained.

    `full`, `one_factor`, `leave_one_out`, `random <n>` or `search <sampler> <n>`.
    """
    stage: Stage | None = None
    """Set where this study only prepares another one."""
    pilot: Pilot | None = None
    """What a search or a tuning found before this study, where there was one."""
    baseline_arm_id: str
    select_by: str
    target_precision: float | None = None
    """Precision of the second of two classes that thresholds are chosen for on val.

    None where the grid asks for none.
    """
    seeds: tuple[int, ...]
    noise_seeds: tuple[int, ...] = ()
    """Further seeds of the baseline arm alone: its replicates measure the noise floor."""
    arms: tuple[ArmRecord, ...]
    excluded: tuple[ExcludedCell, ...]
    command: str
    """What to type to run it again, e.g. `make ablation GRID=flowers`."""
    margin: float | None = None
    """Points of the primary metric (1 is 0.01) below which a difference does not matter; None where
    the grid names none."""
    questions: tuple[Question, ...] = ()
    """Comparisons that the grid declares; the others are exploratory where there are some."""
    n_confirm: int = 0
    """Fresh seeds that the grid asks for, to confirm what the study chooses."""
    confirmation: Confirmation | None = None
    """What was chosen to be confirmed; None until every planned trial has ended. Kept as it was
    chosen, also where an edited grid no longer has its arms."""
    seen_shares: dict[str, float] = {}
    """arm_id -> mean share of an image's pixels, in (0, 1], that val and test show it.

    Empty where nobody looked at the sizes of images.
    """
    around: Around | None = None
    """Arms beside the best one that its design left out; None where the grid asks for none."""

    @property
    def margin_of_score(self) -> float | None:
        """`margin` in units of the metric."""
        if self.margin is None:
            return None
        return self.margin / 100

    @property
    def baseline(self) -> ArmRecord | None:
        """The arm that every difference is measured against; a search may have none."""
        for arm in self.arms:
            if arm.arm_id == self.baseline_arm_id:
                return arm
        return None

    @property
    def added_arms(self) -> tuple[ArmRecord, ...]:
        """The arms that results added: of the design's none."""
        if self.around is None:
            return ()
        # A neighbour of the best arm can be an arm of the design: it is not listed twice.
        designed = arms_by_id(self.arms)
        return tuple(arm for arm in self.around.arms if arm.arm_id not in designed)

    @property
    def all_arms(self) -> tuple[ArmRecord, ...]:
        """Every arm that is trained: the design's, then those that results added."""
        return (*self.arms, *self.added_arms)

    @property
    def is_confirmation_chosen(self) -> bool:
        """Whether a choice was made that the arms of this study can confirm."""
        if self.confirmation is None:
            return False
        # An edited grid may have lost the arms that were chosen; the choice then waits for them.
        return self.confirmation.stands(arms_by_id(self.arms), baseline_arm_id=self.baseline_arm_id)

    @property
    def fresh_seeds(self) -> tuple[int, ...]:
        """Seeds that confirm the choice; empty where there is none, or nothing to compare."""
        if self.confirmation is None or not self.is_confirmation_chosen:
            return ()
        if not self.confirmation.has_pairs:
            return ()
        first = self.confirmation.first_seed
        return tuple(range(first, first + self.n_confirm))

    @model_serializer(mode="wrap")
    def _without_what_is_not_asked(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Studies that ask for nothing of this keep the text that former versions wrote."""
        # Fields that came after the first version: where they say nothing, a record reads as it did
        # before, and the digests of stored records stay what they are.
        values: dict[str, Any] = handler(self)
        for name in ("margin", "questions", "n_confirm", "confirmation", "around", "seen_shares"):
            if not values.get(name):
                values.pop(name, None)
        return values
