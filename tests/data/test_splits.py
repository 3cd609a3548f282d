from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ablate.data.sources._base import Item
from ablate.data.splits import split_items
from ablate.data.subsets import subset_items
from ablate.errors import DataError
from ablate.study.trial import DataSpec, Fractions, Sizes


def items_of(counts: list[int], split: str | None = None) -> tuple[Item, ...]:
    return tuple(
        Item(
            f"{split}/{label}/{i}",
            label,
            split,
            read=lambda: Image.new("RGB", (1, 1)),
            digest=lambda: "",
        )
        for label, n in enumerate(counts)
        for i in range(n)
    )


class_counts = st.lists(st.integers(3, 40), min_size=2, max_size=8)
shares = st.sampled_from([(0.6, 0.2, 0.2), (0.8, 0.1, 0.1), (0.34, 0.33, 0.33)])


@pytest.mark.slow
@given(counts=class_counts, share=shares, seed=st.integers(0, 2**40))
def test_a_drawn_split_is_a_stratified_partition(
    counts: list[int], share: tuple[float, float, float], seed: int
) -> None:
    spec = DataSpec(
        source="folder",
        split_seed=seed,
        fractions=Fractions(train=share[0], val=share[1], test=share[2]),
    )
    items = items_of(counts)
    parts, _ = split_items(items, spec, official="official")
    assert Counter(item.image_id for part in parts.values() for item in part) == Counter(
        item.image_id for item in items
    )
    for name, portion in zip(("train", "val"), share, strict=False):
        found = Counter(item.label for item in parts[name])
        lifted = sum(
            max(0.0, 1 - n * portion) for n in counts
        )  # a class whose share is below one image gets one, at the cost of the others
        for label, n in enumerate(counts):
            assert abs(found[label] - n * portion) <= 1.5 + lifted, (name, label)
    assert {item.label for item in parts["train"]} == set(range(len(counts)))


@given(counts=class_counts, seed=st.integers(0, 100))
def test_the_order_of_the_images_does_not_matter(counts: list[int], seed: int) -> None:
    spec = DataSpec(
        source="folder", split_seed=seed, fractions=Fractions(train=0.6, val=0.2, test=0.2)
    )
    items = items_of(counts)
    forward, _ = split_items(items, spec, official="official")
    backward, _ = split_items(items[::-1], spec, official="official")
    assert {name: {item.image_id for item in part} for name, part in forward.items()} == {
        name: {item.image_id for item in part} for name, part in backward.items()
    }


def test_another_seed_draws_another_split() -> None:
    items = items_of([20, 20])
    drawn = [
        split_items(
            items,
            DataSpec(
                source="folder", split_seed=seed, fractions=Fractions(train=0.6, val=0.2, test=0.2)
            ),
            official="official",
        )[0]["train"]
        for seed in (0, 1)
    ]
    assert drawn[0] != drawn[1]


def test_val_is_drawn_from_train_where_it_is_missing() -> None:
    items = items_of([20, 40], "train") + items_of([5, 5], "test")
    spec = DataSpec(
        source="folder", split_seed=1, fractions=Fractions(train=0.6, val=0.2, test=0.2)
    )
    parts, rule = split_items(items, spec, official="official")
    assert {name: len(part) for name, part in parts.items()} == {"train": 45, "val": 15, "test": 10}
    assert Counter(item.label for item in parts["val"]) == {0: 5, 1: 10}
    assert {item.split for item in parts["val"]} == {"train"}
    assert rule == "official test; val a stratified 0.25 of the official train, split_seed 1"


FIFTHS = DataSpec(source="folder", split_seed=1, fractions=Fractions(train=0.6, val=0.2, test=0.2))


def test_test_is_drawn_from_train_where_it_is_missing() -> None:
    items = items_of([20, 40], "train") + items_of([5, 5], "val")
    parts, rule = split_items(items, FIFTHS, official="official")
    assert {name: len(part) for name, part in parts.items()} == {"train": 45, "val": 10, "test": 15}
    assert Counter(item.label for item in parts["test"]) == {0: 5, 1: 10}
    assert {item.split for item in parts["test"]} == {"train"}
    assert rule == "official val; test a stratified 0.25 of the official train, split_seed 1"


def test_train_alone_is_split_in_three() -> None:
    parts, rule = split_items(items_of([20, 40], "train"), FIFTHS, official="official")
    assert {name: len(part) for name, part in parts.items()} == {"train": 36, "val": 12, "test": 12}
    assert rule == "stratified, train 0.6, val 0.2, test 0.2 of the official train, split_seed 1"


@given(
    given=st.sets(st.sampled_from(["train", "val", "test"]), min_size=1).filter(
        lambda names: "train" in names
    ),
    counts=class_counts,
)
def test_whatever_is_missing_every_image_is_in_one_split_and_official_ones_stay(
    given: set[str], counts: list[int]
) -> None:
    items = tuple(item for split in sorted(given) for item in items_of(counts, split))
    parts, _ = split_items(items, FIFTHS, official="official")
    assert sorted(item.image_id for part in parts.values() for item in part) == sorted(
        item.image_id for item in items
    )
    assert all(parts.values())
    for split in given - {"train"}:
        assert {item.split for item in parts[split]} == {split}


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (
            ("train", "val"),
            "data.split_seed and data.fractions must be set for source folder, because there is no "
            "official test split.",
        ),
        (
            ("train", "test"),
            "data.split_seed and data.fractions must be set for source folder, because there is no "
            "official val split.",
        ),
        (
            ("train",),
            "data.split_seed and data.fractions must be set for source folder, because there is no "
            "official val and no official test split.",
        ),
        *(
            (
                splits,
                f"official splits must have a train split, got {', '.join(sorted(splits))}; rename "
                f"one of them, or leave out the splits and draw them "
                "with data.split_seed and data.fractions.",
            )
            for splits in (("val",), ("test",), ("val", "test"))
        ),
        *(
            (
                splits,
                f"every image must be in an official split, or none of them, got "
                f"{', '.join(sorted(word or 'no split' for word in splits))}; "
                "give each image its split, or none at all.",
            )
            for splits in ((None, "train"), (None, "train", "val", "test"), (None, "test"))
        ),
    ],
)
def test_official_splits_that_cannot_be_completed(
    splits: tuple[str | None, ...], message: str
) -> None:
    items = tuple(item for split in splits for item in items_of([3, 3], split))
    with pytest.raises(DataError) as error:
        split_items(items, DataSpec(source="folder"), official="official")
    assert str(error.value) == message


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_subset_has_room_for_every_class(split: str) -> None:
    parts = {name: items_of([30, 30, 30], name) for name in ("train", "val", "test")}
    with pytest.raises(DataError) as error:
        subset_items(
            parts, DataSpec(source="folder", split_seed=0, sizes=Sizes(**{split: 2})), n_classes=3
        )
    assert (
        str(error.value) == f"data.sizes.{split} must be at least the number of classes, 3, got 2."
    )


@given(counts=class_counts, seed=st.integers(0, 100), data=st.data())
def test_a_subset_has_its_size_and_every_class(
    counts: list[int], seed: int, data: st.DataObject
) -> None:
    n = data.draw(st.integers(len(counts), sum(counts)))
    parts = {
        "train": items_of(counts, "train"),
        "val": items_of(counts, "val"),
        "test": items_of(counts, "test"),
    }
    smaller, _ = subset_items(
        parts,
        DataSpec(source="folder", split_seed=seed, sizes=Sizes(train=n)),
        n_classes=len(counts),
    )
    assert len(smaller["train"]) == n
    assert {item.label for item in smaller["train"]} == set(range(len(counts)))
    assert (smaller["val"], smaller["test"]) == (parts["val"], parts["test"])


def test_a_smaller_subset_lies_within_a_larger_one() -> None:
    parts = {split: items_of([30, 30, 30], split) for split in ("train", "val", "test")}
    spec = DataSpec(source="folder", split_seed=5)
    drawn = [
        {
            item.image_id
            for item in subset_items(
                parts, spec.model_copy(update={"sizes": Sizes(train=n)}), n_classes=3
            )[0]["train"]
        }
        for n in (6, 12, 60)
    ]
    assert drawn[0] < drawn[1] < drawn[2]
