"""A split of its own for each seed: folds in turn, splits drawn anew; what is refused beside them.

Folds are compared with scikit-learn's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from ablate.data.dataset import load_data
from ablate.data.resplits import Resplits, check_resplit
from ablate.data.sources._base import Item
from ablate.errors import DataError
from ablate.study.trial import DataSpec, Fractions, Sizes
from ablate.targets.equal_folds import equal_folds
from ablate.targets.group_stratification import deal_in_order

FIFTHS = Fractions(train=0.6, val=0.2, test=0.2)
Draw = Callable[..., None]


def items_of(labels: list[int], groups: list[int] | None = None) -> tuple[Item, ...]:
    items = []
    for number, label in enumerate(labels):
        group = None if groups is None else f"part{groups[number]}"
        items.append(
            Item(
                f"{number:04d}",
                label,
                None,
                read=lambda: Image.new("RGB", (1, 1)),
                digest=lambda: "",
                group=group,
            )
        )
    return tuple(items)


def resplits_of(items: tuple[Item, ...], **fields: Any) -> Resplits:
    spec = DataSpec(source="folder", **{"split_seed": 0, **fields})
    return Resplits(spec, items, n_classes=3, whole_fingerprint="f" * 64)


def ids_of(resplits: Resplits, place: int) -> dict[str, set[str]]:
    found = {}
    for split, items in resplits.parts(place).items():
        found[split] = {item.image_id for item in items}
    return found


many_labels = st.lists(st.integers(0, 2), min_size=12, max_size=60)


@given(labels=many_labels, n_folds=st.integers(3, 6), seed=st.integers(0, 2**40))
def test_each_image_is_tested_once_in_a_round_and_val_is_never_test(
    labels: list[int], n_folds: int, seed: int
) -> None:
    resplits = resplits_of(items_of(labels), folds=n_folds, split_seed=seed)
    for round_number in range(2):
        tested: Counter[str] = Counter()
        chosen_by: Counter[str] = Counter()
        for place in range(round_number * n_folds, (round_number + 1) * n_folds):
            parts = ids_of(resplits, place)
            assert sum(map(len, parts.values())) == len(set().union(*parts.values()))
            assert set().union(*parts.values()) == {item.image_id for item in resplits.items}
            tested.update(parts["test"])
            chosen_by.update(parts["val"])
        assert set(tested.values()) == {1} == set(chosen_by.values())
        assert len(tested) == len(chosen_by) == len(labels)


@given(labels=many_labels, n_folds=st.integers(3, 6))
def test_val_is_the_fold_that_the_next_seed_tests(labels: list[int], n_folds: int) -> None:
    resplits = resplits_of(items_of(labels), folds=n_folds)
    for place in range(n_folds):
        following = (place + 1) % n_folds
        assert ids_of(resplits, place)["val"] == ids_of(resplits, following)["test"]


@given(labels=many_labels, n_folds=st.integers(3, 6))
def test_folds_and_their_classes_differ_by_one_image_at_most(
    labels: list[int], n_folds: int
) -> None:
    resplits = resplits_of(items_of(labels), folds=n_folds)
    of_folds = [resplits.parts(place)["test"] for place in range(n_folds)]
    sizes = [len(items) for items in of_folds]
    assert max(sizes) - min(sizes) <= 1
    for label in set(labels):
        counts = [sum(item.label == label for item in items) for items in of_folds]
        assert max(counts) - min(counts) <= 1


@given(
    groups=st.lists(st.integers(0, 14), min_size=20, max_size=60),
    n_folds=st.integers(3, 5),
    fields=st.sampled_from([{"folds": True}, {"split": "per_seed", "fractions": FIFTHS}]),
)
def test_no_group_stands_on_two_sides(
    groups: list[int], n_folds: int, fields: dict[str, Any]
) -> None:
    labels = [group % 3 for group in groups]
    asked = dict(fields)
    if "folds" in asked:
        asked["folds"] = n_folds
    resplits = resplits_of(items_of(labels, groups), group_by="(.)", **asked)
    for place in (0, 1, n_folds):
        sides: dict[str | None, set[str]] = {}
        for split, items in resplits.parts(place).items():
            for item in items:
                sides.setdefault(item.group, set()).add(split)
        assert all(len(found) == 1 for found in sides.values())


@pytest.mark.parametrize("n_folds", [3, 5])
@pytest.mark.parametrize("seed", range(4))
def test_folds_are_those_of_scikit_learn(n_folds: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(4), rng.integers(4, size=57)])
    expected = np.empty(len(labels), dtype=int)
    # Without shuffling: the order in which images are dealt is then the same.
    for fold, (_, test) in enumerate(StratifiedKFold(n_folds).split(labels, labels)):
        expected[test] = fold
    np.testing.assert_array_equal(equal_folds(labels, n_folds), expected)


# Elsewhere, ties between folds differ by rounding alone, and scikit-learn takes the smaller one.
@pytest.mark.parametrize(("n_folds", "seed"), [(3, 0), (3, 1), (3, 2), (5, 0), (5, 1), (5, 3)])
def test_folds_of_groups_are_those_of_scikit_learn(n_folds: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    group_of = np.repeat(np.arange(25), rng.integers(2, 9, 25))
    labels = rng.integers(3, size=len(group_of))
    expected = np.empty(25, dtype=int)
    splitter = StratifiedGroupKFold(n_folds)
    for fold, (_, test) in enumerate(splitter.split(labels, labels, group_of)):
        expected[np.unique(group_of[test])] = fold
    counts = np.zeros((25, 3), dtype=np.int64)
    np.add.at(counts, (group_of, labels), 1)
    # scikit-learn deals the groups that have most of one class first
    order = np.argsort(-counts.std(axis=1), kind="stable").tolist()
    found = deal_in_order(counts, [1 / n_folds] * n_folds, order)
    np.testing.assert_array_equal(found, expected)


def test_each_round_and_each_seed_shuffles_anew_and_the_order_of_the_files_does_not() -> None:
    items = items_of([0, 1, 2] * 10)
    resplits = resplits_of(items, folds=3)
    assert ids_of(resplits, 0) != ids_of(resplits, 3)
    assert ids_of(resplits_of(items, folds=3, split_seed=9), 0) != ids_of(resplits, 0)
    assert ids_of(resplits_of(items[::-1], folds=3), 1) == ids_of(resplits, 1)


def test_splits_per_seed_are_those_of_as_many_split_seeds() -> None:
    items = items_of([0, 1, 2] * 10)
    resplits = resplits_of(items, split="per_seed", fractions=FIFTHS, split_seed=4)
    first, second = ids_of(resplits, 0), ids_of(resplits, 1)
    assert first != second
    later = resplits_of(items, split="per_seed", fractions=FIFTHS, split_seed=5)
    assert ids_of(later, 0) == second
    assert {split: len(ids) for split, ids in first.items()} == {"train": 18, "val": 6, "test": 6}


def test_what_was_tested_is_counted() -> None:
    resplits = resplits_of(items_of([0, 1, 2] * 10), folds=5)
    partly = resplits.facts(range(3))
    assert (partly.n_images, partly.n_splits, partly.n_tested) == (30, 3, 18)
    assert (partly.fewest_tests, partly.most_tests) == (0, 1)
    whole = resplits.facts(range(10))
    assert (whole.n_tested, whole.fewest_tests, whole.most_tests) == (30, 2, 2)


def test_a_split_has_a_fingerprint_of_its_own() -> None:
    resplits = resplits_of(items_of([0, 1, 2] * 10), folds=3)
    fingerprints = {resplits.fingerprint(place) for place in range(6)}
    assert len(fingerprints) == 6
    assert all(len(fingerprint) == 64 for fingerprint in fingerprints)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (
            {"folds": 5, "split_seed": 0, "fractions": FIFTHS},
            "fractions must be left out beside folds: folds are of equal size",
        ),
        (
            {"folds": 5, "split_seed": 0, "sizes": Sizes(train=10)},
            "sizes must be left out beside folds: folds test every image once",
        ),
        (
            {"folds": 5, "split_seed": 0, "split_by": "(.)"},
            "split_by must be left out beside folds: folds are drawn, not cut in the order of time",
        ),
        (
            {"folds": 5, "split_seed": 0, "split": "per_seed"},
            "split must be left out beside folds: folds already give each seed another split",
        ),
        (
            {"split": "per_seed", "split_seed": 0, "split_by": "(.)", "fractions": FIFTHS},
            "split_by must be left out beside split: per_seed: time draws one split alone",
        ),
        (
            {"split": "per_seed", "split_seed": 0},
            "fractions must be set beside split: per_seed, got null: each seed draws by them",
        ),
        ({"folds": 5}, "split_seed must be set beside folds, got null; any whole number will do"),
        (
            {"split": "per_seed", "fractions": FIFTHS},
            "split_seed must be set beside split: per_seed, got null; any whole number will do",
        ),
    ],
)
def test_what_cannot_stand_beside_them_is_refused(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        DataSpec(source="folder", **fields)
    (error,) = caught.value.errors()
    assert error["msg"] == f"Value error, {text}"


def test_official_splits_are_refused(plants: Path) -> None:
    spec = DataSpec(source="folder", path="plants", folds=3, split_seed=0)
    with pytest.raises(DataError) as caught:
        load_data(spec, data_dir=plants, allow_fallback=False)
    assert str(caught.value) == (
        "data.folds draws every split, source folder gives some already (test, train, val); leave "
        "it out, or give the images without splits."
    )


def test_more_folds_than_groups_are_refused() -> None:
    spec = DataSpec(source="folder", folds=5, split_seed=0, group_by="(.)")
    with pytest.raises(DataError) as caught:
        check_resplit(items_of([0, 1, 2] * 3, [0, 1, 2, 3] * 2 + [0]), spec)
    assert str(caught.value) == (
        "data.folds must be at most the number of groups, 4, got 5; each fold needs one at least."
    )


def test_a_class_that_a_fold_leaves_without_train_images_names_the_seed() -> None:
    resplits = resplits_of(items_of([0] * 9 + [1] * 9 + [2]), folds=3)
    with pytest.raises(DataError) as caught:
        resplits.check(range(3), ("a", "b", "c"))
    # The one image of c is test or val for two of three seeds.
    assert str(caught.value).startswith("the split of seed number ")
    assert "every class must have images in train" in str(caught.value)


def test_a_folder_is_loaded_with_all_its_images_together(draw: Draw, tmp_path: Path) -> None:
    draw("pets/cat", "pets/dog")
    spec = DataSpec(source="folder", path="pets", folds=3, split_seed=0)
    resolved, data_set = load_data(spec, data_dir=tmp_path / "data", allow_fallback=False)
    assert resolved.folds == 3
    assert data_set.whole is not None
    assert data_set.whole.image_ids == tuple(sorted(data_set.whole.image_ids))
    assert len(data_set.whole.labels) == 12
    facts = data_set.facts
    assert facts.n_images == {"train": 4, "val": 4, "test": 4}
    assert facts.splits is not None
    assert facts.splits.n_folds == 3
    assert facts.split_rule == (
        "3 folds, stratified: each seed tests one, val is the next, train the other 1; shuffled "
        "again after every 3 seeds, split_seed 0"
    )
    # Other folds are another study of the same images.
    other = spec.model_copy(update={"folds": 4})
    _, again = load_data(other, data_dir=tmp_path / "data", allow_fallback=False)
    assert again.resplits is not None
    assert data_set.resplits is not None
    assert again.resplits.whole_fingerprint == data_set.resplits.whole_fingerprint
    assert again.facts.fingerprint != facts.fingerprint


def test_data_without_them_keeps_its_text() -> None:
    written = DataSpec(source="folder").model_dump()
    assert "folds" not in written
    assert "split" not in written
