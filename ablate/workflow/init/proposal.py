"""What a grid file should say of a folder's images: path, groups, splits; and what stands against.

Nothing is written here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ablate.data.layouts import Found, Trap
from ablate.data.layouts._base import (
    LabelledImage,
    class_names_of,
    splits_given,
    without_splits,
)
from ablate.data.layouts.counted import counted
from ablate.data.layouts.group_proposals import GroupProposal, propose_groups
from ablate.data.sources import image_folder
from ablate.data.sources._class_names import check_class_names
from ablate.errors import DataError, escaped, some
from ablate.study.image_rule import rule_in_words
from ablate.study.trial import DataSpec
from ablate.workflow.init.look import Looked
from ablate.workflow.init.place import Place
from ablate.workflow.init.splits import (
    Dealt,
    deal,
    keys_of,
    missing_split_trap,
    own_split_traps,
)

_FEWEST_OF_A_CLASS = 3
"""Images: one for each of train, val and test."""
_N_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """The images of a grid, and how they are named and dealt."""

    looked: Looked
    place: Place
    images: tuple[LabelledImage, ...]
    ids: tuple[str, ...]
    """As the grid will know them: below the CSV's folder, or below the images' own."""
    is_table: bool
    """Whether a CSV has to be written; else `source: folder` reads the folder as it is."""
    groups: GroupProposal | None
    dealt: Dealt
    traps: tuple[Trap, ...]

    @property
    def found(self) -> Found:
        """The labels as they were found."""
        return self.looked.found

    @property
    def task(self) -> str:
        """As a grid file has it."""
        if self.found.has_several_labels:
            return "multilabel"
        return "classification"

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of the images that are used, sorted."""
        return tuple(sorted(self.dealt.counts["train"]))

    @property
    def has_own_splits(self) -> bool:
        """Whether train, val and test are all the folder's own."""
        return splits_given(self.images) == {"train", "val", "test"}

    @property
    def data_path(self) -> str:
        """`data.path`."""
        return self.place.data_path(is_table=self.is_table)


def propose(looked: Looked, place: Place) -> Proposal:
    """Group and deal what was found. Raises DataError where no split can be made of it."""
    images, traps = _with_enough(looked.found.images)
    check_class_names(class_names_of(images), where=escaped(looked.root.name))
    groups = _groups(images, looked, prefix="")
    if splits_given(images) - {None}:
        images, more = _own_splits(images, groups)
        traps += more
    is_table = not _reads_as_it_is(looked, place, images)
    ids = _with_prefix("", images)
    if is_table:
        ids = _with_prefix(place.prefix, images)
        # Again, for the names that images have there: `part2/` before a path may look like a part.
        groups = _groups(images, looked, prefix=place.prefix)
    groups, dealt, more = _dealt(images, ids, looked.root, groups)
    return Proposal(
        looked=looked,
        place=place,
        images=images,
        ids=ids,
        is_table=is_table,
        groups=groups,
        dealt=dealt,
        traps=(*looked.traps, *traps, *more),
    )


def _groups(
    images: Sequence[LabelledImage], looked: Looked, *, prefix: str
) -> GroupProposal | None:
    """The rule that groups images whose paths begin with `prefix`."""
    ids = _with_prefix(prefix, images)
    levels = [level + prefix.count("/") for level in looked.found.folder_levels]
    return propose_groups(images, ids, but_levels=levels)


def _with_prefix(prefix: str, images: Sequence[LabelledImage]) -> tuple[str, ...]:
    return tuple(f"{prefix}{image.path}" for image in images)


def _with_enough(images: tuple[LabelledImage, ...]) -> tuple[tuple[LabelledImage, ...], list[Trap]]:
    """The images of classes that can be dealt to three sides. Raises DataError."""
    counts: Counter[str] = Counter()
    for image in images:
        counts.update(image.labels)
    few = {name for name, n in counts.items() if n < _FEWEST_OF_A_CLASS}
    if not few:
        return images, []
    kept = tuple(image for image in images if not few & set(image.labels))
    left = class_names_of(kept)
    shown = some(list(map(escaped, sorted(few))), most=_N_NAMED)
    if len(left) < 2:
        raise DataError(
            "a study needs two classes of at least 3 images, one for each of train, val and test; "
            f"{len(left)} of {len(counts)} have so many (too few: {shown}); add images."
        )
    text = (
        f"{counted(few, 'class')} of fewer than {_FEWEST_OF_A_CLASS} images: left out ({shown}), "
        "since train, val and test need one each"
    )
    return kept, [Trap("classes too small", text)]


def _own_splits(
    images: tuple[LabelledImage, ...], groups: GroupProposal | None
) -> tuple[tuple[LabelledImage, ...], list[Trap]]:
    """The images with the folder's splits, or without where those cannot be used."""
    keys = None
    rule = ""
    if groups is not None:
        keys = keys_of(images, _with_prefix("", images), groups.rule)
        rule = rule_in_words(groups.rule)
    against = list(own_split_traps(images, keys, rule))
    if against:
        return without_splits(images), against
    missing = missing_split_trap(images)
    return images, [missing] if missing is not None else []


def _reads_as_it_is(looked: Looked, place: Place, images: Sequence[LabelledImage]) -> bool:
    """Whether `source: folder` finds the same images, labels and splits in the folder itself."""
    if looked.found.has_several_labels:
        return False
    path = place.root.relative_to(place.base).as_posix()
    spec = DataSpec.model_validate({"source": "folder", "path": path})
    try:
        collection = image_folder.collect(spec, data_dir=place.base)
    except DataError:
        return False
    read = set()
    for item in collection.items:
        if isinstance(item.label, int):
            read.add((item.image_id, collection.class_names[item.label], item.split))
    wanted = set()
    for image in images:
        wanted.add((image.path, image.labels[0], image.split))
    return read == wanted


def _dealt(
    images: Sequence[LabelledImage], ids: Sequence[str], root: Path, groups: GroupProposal | None
) -> tuple[GroupProposal | None, Dealt, list[Trap]]:
    """The split with the groups; without, where they cannot be dealt. Raises DataError."""
    if groups is None:
        return None, deal(images, ids, root, None), []
    try:
        return groups, deal(images, ids, root, groups), []
    except DataError as error:
        text = f"groups were found and cannot be dealt, so they are left out: {error}"
        return None, deal(images, ids, root, None), [Trap("groups", text)]
