"""Other classes than the source's: the same images under new names.

Splits know the new classes alone.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ablate.data.dataset import DataSet, load_data
from ablate.data.regroup import regroup
from ablate.data.sources._base import Collection, Item, targets_of
from ablate.errors import DataError
from ablate.study.trial import SPLITS, DataSpec, Fractions, Sizes

TEXTILE = DataSpec(
    source="textile", split_seed=0, fractions=Fractions(train=0.5, val=0.2, test=0.3)
)
BINARY = TEXTILE.model_copy(
    update={"classes": (("good", ("nominal",)), ("defect", ("local", "global")))}
)


def _plants(classes: dict[str, list[str]] | None) -> DataSpec:
    return DataSpec.model_validate({"source": "folder", "path": "plants", "classes": classes})


def _loaded(spec: DataSpec, data_dir: Path) -> tuple[DataSpec, DataSet]:
    return load_data(spec, data_dir=data_dir, allow_fallback=True)


def _named(data_set: DataSet) -> dict[str, str]:
    """image_id -> name of its class, over all splits."""
    names = data_set.facts.class_names
    return {
        one: names[label]
        for split in data_set.splits.values()
        for one, label in zip(split.image_ids, split.labels, strict=True)
    }


def _message(classes: dict[str, list[str]], data_dir: Path) -> str:
    with pytest.raises(DataError) as caught:
        _loaded(_plants(classes), data_dir)
    return str(caught.value)


def test_images_keep_their_ids_and_take_the_new_names(plants: Path) -> None:
    resolved, regrouped = _loaded(_plants({"flower": ["rose"], "green": ["*"]}), plants)
    before = _named(_loaded(_plants(None), plants)[1])
    assert regrouped.facts.class_names == ("flower", "green")
    assert _named(regrouped) == {
        one: "flower" if name == "rose" else "green" for one, name in before.items()
    }
    assert regrouped.facts.class_counts == {"train": (4, 8), "val": (2, 4), "test": (2, 4)}
    assert regrouped.facts.regrouped == {"flower": ("rose",), "green": ("fern", "moss")}
    assert resolved.classes == (("flower", ("rose",)), ("green", ("fern", "moss")))


def test_the_fingerprint_follows_the_groups_and_not_how_they_are_written(plants: Path) -> None:
    told = [
        {"green": ["fern", "moss"], "flower": ["rose"]},
        {"green": ["*"], "flower": ["rose"]},
        {"green": ["moss", "fern"], "flower": ["rose"]},
    ]
    same = [_loaded(_plants(classes), plants) for classes in told]
    assert (
        len({data_set.facts.fingerprint for _, data_set in same})
        == len({resolved for resolved, _ in same})
        == 1
    )
    others = [
        None,
        {"flower": ["rose"], "green": ["*"]},
        {"green": ["fern"], "flower": ["rose", "moss"]},
        {"herb": ["*"], "flower": ["rose"]},
    ]
    prints = [
        same[0][1].facts.fingerprint,
        *(_loaded(_plants(classes), plants)[1].facts.fingerprint for classes in others),
    ]
    assert len(set(prints)) == 5


@pytest.mark.slow
def test_splits_and_subsets_are_stratified_by_the_new_classes(tmp_path: Path) -> None:
    own, binary = (_loaded(spec, tmp_path)[1] for spec in (TEXTILE, BINARY))
    totals = Counter(_named(own).values())
    assert Counter(_named(binary).values()) == {
        "good": totals["nominal"],
        "defect": totals["local"] + totals["global"],
    }
    share = totals["nominal"] / totals.total()
    small = BINARY.model_copy(update={"sizes": Sizes(train=300, val=150, test=300)})
    for data_set in (binary, _loaded(small, tmp_path)[1]):
        for split in SPLITS:
            good, defect = data_set.facts.class_counts[split]
            assert abs(good - share * (good + defect)) <= 1
    assert own.facts.regrouped == {}


def test_a_class_that_the_source_has_not(plants: Path) -> None:
    assert _message({"flower": ["ros"], "green": ["*"]}, plants) == (
        "data.classes.flower must name classes of source folder (fern, moss, rose), got 'ros'; did "
        "you mean rose?"
    )


def test_a_class_in_no_list(plants: Path) -> None:
    assert _message({"flower": ["rose"], "green": ["fern"]}, plants) == (
        "every class of source folder must be in a list of data.classes, these are in none: moss; "
        'name them, or let one new class take all the rest: ["*"].'
    )


def test_a_rest_of_nothing(plants: Path) -> None:
    assert _message({"flower": ["rose"], "green": ["fern", "moss"], "other": ["*"]}, plants) == (
        'data.classes.other takes all the rest ("*"), but every class of source folder is named; '
        "leave it out."
    )


def _collection(n_classes: int) -> Collection:
    items = tuple(
        Item(f"{number}", number % n_classes, None, read=Image.Image, digest=lambda: "")
        for number in range(3 * n_classes)
    )
    return Collection(
        "t",
        "1",
        "none",
        "here",
        is_synthetic=True,
        class_names=tuple(f"c{i}" for i in range(n_classes)),
        items=items,
    )


def test_many_classes_are_not_all_listed() -> None:
    with pytest.raises(DataError) as caught:
        regroup(_collection(30), (("a", ("c0",)), ("b", ("c1",))), source="big")
    assert str(caught.value) == (
        f"every class of source big must be in a list of data.classes, these are in none: "
        f"{', '.join(f'c{i}' for i in range(2, 22))} and 8 more; "
        'name them, or let one new class take all the rest: ["*"].'
    )


def test_images_with_several_labels_are_not_regrouped() -> None:
    item = Item("a", (0, 1), None, read=Image.Image, digest=lambda: "")
    several = Collection(
        "t", "1", "none", "here", is_synthetic=True, class_names=("c0", "c1"), items=(item,)
    )
    with pytest.raises(DataError) as caught:
        regroup(several, (("a", ("c0",)), ("b", ("c1",))), source="s")
    assert (
        str(caught.value)
        == "data.classes is for images with one label each; rename labels in labels.csv instead."
    )


@given(st.lists(st.integers(0, 3), min_size=2, max_size=8), st.randoms(use_true_random=False))
def test_any_partition_gives_each_image_the_class_that_took_its_own(
    takers: list[int], random: object
) -> None:
    collection = _collection(len(takers))
    groups = [
        (f"g{new}", tuple(f"c{i}" for i, taker in enumerate(takers) if taker == new))
        for new in sorted(set(takers))
    ]
    random.shuffle(groups)  # type: ignore[attr-defined]
    regrouped, whole = regroup(collection, tuple(groups), source="s")
    assert whole == tuple(groups)
    old = targets_of(collection.items).array
    new = targets_of(regrouped.items).array
    assert [regrouped.class_names[i] for i in new] == [f"g{takers[i]}" for i in old]
    assert [(one.image_id, one.read, one.digest) for one in regrouped.items] == [
        (one.image_id, one.read, one.digest) for one in collection.items
    ]
