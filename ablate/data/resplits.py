"""A split of its own for each seed of a study: folds in turn, or splits that are drawn again.

All images are kept together, in the order of their ids; a split is a string of one letter an image,
so that no split copies a pixel and a split can travel with a trial.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ablate.data.class_counts import check_splits
from ablate.data.dealing import Parts, deal_to_folds
from ablate.data.sides import SIDES, UNUSED, rows_of, split_fingerprint
from ablate.data.sources._base import Item
from ablate.data.splits import split_items
from ablate.data.subsets import subset_items
from ablate.errors import DataError
from ablate.study.record import SplitsFacts
from ablate.study.trial import SPLITS, WHOLE, DataSpec


@dataclass(frozen=True)
class Resplits:
    """The splits of a study, one for each place among its seeds: 0, 1, 2, ..."""

    spec: DataSpec
    items: tuple[Item, ...]
    """All images, in the order of their ids."""
    n_classes: int
    whole_fingerprint: str
    """64 hex digits over all images, whatever the split."""
    _sides: dict[int, str] = field(default_factory=dict)
    """Place -> sides, of those that were asked for."""

    def sides(self, place: int) -> str:
        """Return a letter of SIDES, or UNUSED, for each image. Raises DataError."""
        if place not in self._sides:
            self._sides[place] = self._drawn(place)
        return self._sides[place]

    def parts(self, place: int) -> Parts:
        """Return train, val and test. Raises DataError."""
        sides = self.sides(place)
        parts = {}
        for split, letter in zip(SPLITS, SIDES, strict=True):
            parts[split] = tuple(self.items[row] for row in rows_of(sides, letter))
        return parts

    def fingerprint(self, place: int) -> str:
        """Return the 64 hex digits that a trial carries of its split."""
        return split_fingerprint(self.whole_fingerprint, self.sides(place))

    def words(self) -> tuple[str, ...]:
        """Return where each image is at first: `fold 2`, or `test`."""
        if self.spec.folds is not None:
            return tuple(f"fold {fold + 1}" for fold in self._folds(0))
        word_of = dict(zip(SIDES, SPLITS, strict=True))
        return tuple(word_of.get(letter, WHOLE) for letter in self.sides(0))

    def check(self, places: Iterable[int], class_names: tuple[str, ...]) -> None:
        """Check each split as `check_splits` does. Raises DataError naming the first bad one."""
        for place in places:
            try:
                check_splits(self.parts(place), class_names, self.spec.source)
            except DataError as error:
                raise DataError(f"the split of seed number {place + 1}: {error}") from None

    def facts(self, places: Iterable[int] = ()) -> SplitsFacts:
        """Return what the report says of the splits at some places."""
        n_tests = np.zeros(len(self.items), dtype=np.int64)
        n_splits = 0
        for place in places:
            n_tests[rows_of(self.sides(place), SIDES[-1])] += 1
            n_splits += 1
        return SplitsFacts(
            n_folds=self.spec.folds,
            n_images=len(self.items),
            n_splits=n_splits,
            n_tested=int((n_tests > 0).sum()),
            fewest_tests=int(n_tests.min()),
            most_tests=int(n_tests.max()),
        )

    def _drawn(self, place: int) -> str:
        if self.spec.folds is None:
            return self._by_fractions(place)
        # A new shuffle for each round of folds.
        n_folds = self.spec.folds
        fold_of = self._folds(place // n_folds)
        letters = np.full(len(self.items), SIDES[0])
        letters[fold_of == (place + 1) % n_folds] = SIDES[1]
        letters[fold_of == place % n_folds] = SIDES[2]
        return "".join(letters.tolist())

    def _folds(self, round_number: int) -> NDArray[np.int64]:
        assert self.spec.folds is not None
        assert self.spec.split_seed is not None
        return deal_to_folds(
            self.items, self.spec.folds, seed=self.spec.split_seed + round_number, purpose="folds"
        )

    def _by_fractions(self, place: int) -> str:
        assert self.spec.split_seed is not None
        spec = self.spec.model_copy(update={"split_seed": self.spec.split_seed + place})
        parts, _ = split_items(self.items, spec, official="")
        parts, _ = subset_items(parts, spec, n_classes=self.n_classes)
        letter_of = {}
        for split, letter in zip(SPLITS, SIDES, strict=True):
            for item in parts[split]:
                letter_of[item.image_id] = letter
        return "".join(letter_of.get(item.image_id, UNUSED) for item in self.items)


def check_resplit(items: Sequence[Item], spec: DataSpec) -> None:
    """Check that the source gives no splits, and enough groups for the folds. Raises DataError."""
    given = {item.split for item in items}
    field_name = "folds"
    if spec.folds is None:
        field_name = "split: per_seed"
    if given != {None}:
        names = ", ".join(sorted(name or "no split" for name in given))
        raise DataError(
            f"data.{field_name} draws every split, source {spec.source} gives some already "
            f"({names}); leave it out, or give the images without splits."
        )
    if spec.folds is None:
        return
    n_units = len(items)
    what = "images"
    if spec.group_by is not None:
        n_units = len({item.group for item in items})
        what = "groups"
    if n_units < spec.folds:
        raise DataError(
            f"data.folds must be at most the number of {what}, {n_units}, got {spec.folds}; each "
            "fold needs one at least."
        )


def rule_of(spec: DataSpec) -> str:
    """Return how images are split, in words."""
    stratified = "stratified"
    if spec.group_by is not None:
        stratified = "stratified as far as whole groups allow"
    if spec.folds is None:
        assert spec.fractions is not None
        shares = spec.fractions
        return (
            f"drawn again for each seed, {stratified}, train {shares.train:g}, val {shares.val:g}, "
            f"test {shares.test:g}, split_seed {spec.split_seed} + the seed's place"
        )
    return (
        f"{spec.folds} folds, {stratified}: each seed tests one, val is the next, train the other "
        f"{spec.folds - 2}; shuffled again after every {spec.folds} seeds, split_seed "
        f"{spec.split_seed}"
    )
