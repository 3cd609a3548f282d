"""Groups of images: found by paths, folders or a column, and never on two sides of a split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ablate.data.build_store import build_store
from ablate.data.dataset import load_data
from ablate.data.grouping import with_groups
from ablate.data.sources._base import Collection, Item
from ablate.data.splits import split_items
from ablate.data.subsets import subset_items
from ablate.errors import DataError
from ablate.study.trial import DataSpec, Fractions, Sizes

FIFTHS: dict[str, Any] = {
    "split_seed": 1,
    "fractions": Fractions(train=0.6, val=0.2, test=0.2),
}
Draw = Callable[..., None]


def items_of(groups: list[tuple[int, int]], split: str | None = None) -> tuple[Item, ...]:
    """`groups` are (class, images)."""
    items = []
    for number, (label, n_images) in enumerate(groups):
        for i in range(n_images):
            items.append(
                Item(
                    f"{split}/{label}/part{number}_{i}",
                    label,
                    split,
                    read=lambda: Image.new("RGB", (1, 1)),
                    digest=lambda: "",
                    group=f"part{number}",
                )
            )
    return tuple(items)


def groups_in(parts: Any) -> dict[str, set[str | None]]:
    return {split: {item.group for item in items} for split, items in parts.items()}


def are_apart(parts: Any) -> bool:
    found = list(groups_in(parts).values())
    return sum(map(len, found)) == len(set().union(*found))


some_groups = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 30)), min_size=3, max_size=30)


@given(
    groups=some_groups,
    fractions=st.tuples(*[st.floats(0.05, 1.0)] * 3),
    seed=st.integers(0, 2**40),
    data=st.data(),
)
def test_no_group_stands_on_two_sides(
    groups: list[tuple[int, int]],
    fractions: tuple[float, float, float],
    seed: int,
    data: st.DataObject,
) -> None:
    train, val, test = (share / sum(fractions) for share in fractions)
    spec = DataSpec(
        source="folder",
        group_by="(part[0-9]+)_",
        split_seed=seed,
        fractions=Fractions(train=train, val=val, test=test),
    )
    items = items_of(groups)
    parts, _ = split_items(items, spec, official="official")
    assert are_apart(parts)
    assert sorted(item.image_id for part in parts.values() for item in part) == sorted(
        item.image_id for item in items
    )
    shuffled = data.draw(st.permutations(items))
    again, _ = split_items(shuffled, spec, official="official")
    assert groups_in(again) == groups_in(parts)


@given(groups=some_groups, seed=st.integers(0, 100))
def test_what_is_drawn_from_an_official_train_is_drawn_in_groups(
    groups: list[tuple[int, int]], seed: int
) -> None:
    moved = [replace(item, group="of test") for item in items_of([(0, 3)], "test")]
    spec = DataSpec(source="folder", group_by="(x)", **{**FIFTHS, "split_seed": seed})
    parts, rule = split_items([*items_of(groups, "train"), *moved], spec, official="official")
    assert are_apart(parts)
    assert rule == (
        "official test; val in whole groups, as stratified as they allow, about 0.25 of the "
        f"official train, split_seed {seed}"
    )


def test_shares_are_met_as_far_as_groups_allow() -> None:
    groups = [(label, 4 + (i * 7) % 9) for label in range(3) for i in range(20)]
    spec = DataSpec(source="folder", group_by="(x)", **FIFTHS)
    parts, rule = split_items(items_of(groups), spec, official="official")
    n_images = sum(n for _, n in groups)
    for split, share in (("train", 0.6), ("val", 0.2), ("test", 0.2)):
        assert abs(len(parts[split]) - share * n_images) <= 3
        for label in range(3):
            n_class = sum(item.label == label for item in parts[split])
            assert abs(n_class - share * n_images / 3) <= 5
    assert rule == (
        "stratified as far as whole groups allow, train 0.6, val 0.2, test 0.2, split_seed 1"
    )
    # A subset of a side is a subset of images: it cannot bring a group to another side.
    smaller, _ = subset_items(
        parts, spec.model_copy(update={"sizes": Sizes(train=40)}), n_classes=3
    )
    assert (len(smaller["train"]), are_apart(smaller)) == (40, True)


def test_images_with_several_labels_are_split_in_groups() -> None:
    items = []
    for i in range(120):
        label = tuple(c for c in range(3) if (i // 4 + c) % 4 < 2)
        items.append(Item(str(i), label, None, Image.Image, str, group=f"{i // 4}"))
    spec = DataSpec(source="folder", group_by="(x)", **FIFTHS)
    parts, _ = split_items(items, spec, official="official")
    assert are_apart(parts)
    assert {split: len(part) for split, part in parts.items()} == {
        "train": 72,
        "val": 24,
        "test": 24,
    }


@pytest.fixture
def parts_on_disk(draw: Draw, tmp_path: Path) -> Path:
    """Two classes, ten parts of each, three images of each part."""
    for name in ("good", "bad"):
        for part in range(10):
            draw(*(f"tiles/{name}/p{name[0]}{part}/{i}.ppm" for i in range(3)))
    rows = []
    for path in sorted((tmp_path / "data" / "tiles").rglob("*.ppm")):
        name = path.relative_to(tmp_path / "data").as_posix()
        rows.append(f"{name},{name.split('/')[1]},lot {name.split('/')[2]}")
    text = "\n".join(["file,label,lot", *rows]) + "\n"
    (tmp_path / "data" / "tiles.csv").write_text(text)
    several = text.replace("file,label,lot", "image,labels,lot").replace("tiles/", "")
    (tmp_path / "data" / "tiles" / "labels.csv").write_text(several)
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("group_by", "path", "task", "rule"),
    [
        ({"level": 2}, "tiles", "classification", "folder level 2"),
        ({"level": -1}, "tiles", "classification", "folder level -1"),
        ("/(p.[0-9])/", "tiles", "classification", "the expression '/(p.[0-9])/'"),
        ({"column": "lot"}, "tiles.csv", "classification", "column lot"),
        ({"column": "lot"}, "tiles", "multilabel", "column lot"),
    ],
)
def test_groups_are_found_and_kept_apart(
    parts_on_disk: Path, tmp_path: Path, group_by: Any, path: str, task: str, rule: str
) -> None:
    spec = DataSpec(source="folder", path=path, group_by=group_by, **FIFTHS)
    _, data_set = load_data(spec, data_dir=parts_on_disk, allow_fallback=False, task=task)
    groups = data_set.facts.groups
    assert groups is not None
    assert groups.model_dump() == {
        "rule": rule,
        "n_groups": {"train": 12, "val": 4, "test": 4},
        "smallest": 3,
        "largest": 3,
    }
    assert (
        f"groups: 20 by {rule}, of 3 images each; none on two sides (train 12, val 4, test 4); "
        "intervals resample groups, not images"
    ) in data_set.remarks
    assert any(line.startswith("warning: test has only 4 groups") for line in data_set.remarks)
    assert not any("not read: lot" in line for line in data_set.remarks)
    of_split = {name: set(split.groups or ()) for name, split in data_set.splits.items()}
    assert sum(map(len, of_split.values())) == len(set().union(*of_split.values())) == 20
    store = build_store(data_set, home=tmp_path / "home", side=4, interpolation="bilinear")
    for name, split in data_set.splits.items():
        stored = store.split(name)
        found = dict(zip(stored.image_ids, stored.groups or (), strict=True))
        assert found == dict(zip(split.image_ids, split.groups or (), strict=True))


def test_other_groups_of_the_same_split_are_another_data_set(parts_on_disk: Path) -> None:
    """A store keeps the groups: one that was built for others must not be opened."""
    fingerprints = set()
    for group_by in (None, {"level": 2}, "(p.)[0-9]/", "(p.[0-9])/"):
        spec = DataSpec(source="folder", path="tiles", group_by=group_by, **FIFTHS)
        try:
            _, data_set = load_data(spec, data_dir=parts_on_disk, allow_fallback=False)
        except DataError:
            continue
        fingerprints.add(data_set.facts.fingerprint)
        if group_by is None:
            assert data_set.facts.groups is None
            assert data_set.splits["test"].groups is None
            assert "groups" not in data_set.facts.model_dump_json()
    assert len(fingerprints) == 2  # levels and the last expression find the same groups


@pytest.mark.parametrize(
    ("group_by", "path", "message"),
    [
        (
            "(x[0-9]+)",
            "tiles",
            "data.group_by must find something in the path of every image, the expression "
            "'(x[0-9]+)' finds something in none of 60: bad/pb0/0.ppm, bad/pb0/1.ppm, "
            "bad/pb0/2.ppm, bad/pb1/0.ppm, bad/pb1/1.ppm and 55 more; paths are relative to "
            "data.path, as printed here, and an expression may match anywhere in them.",
        ),
        (
            "(p.[1-9])",
            "tiles",
            "data.group_by must find something in the path of every image, the expression "
            "'(p.[1-9])' finds nothing in 6 of 60: bad/pb0/0.ppm, bad/pb0/1.ppm, bad/pb0/2.ppm, "
            "good/pg0/0.ppm, good/pg0/1.ppm and 1 more; paths are relative to data.path, as "
            "printed here, and an expression may match anywhere in them.",
        ),
        (
            "(p)",
            "tiles",
            "data.group_by must make at least 3 groups, one for each of train, val and test, "
            "the expression '(p)' makes 1 of 60 images: 'p' (60 images); take a part of the path "
            "that differs between groups.",
        ),
        (
            "(.*)",
            "tiles",
            "data.group_by must put images together, the expression '(.*)' makes a group of its "
            "own for each of 60 images, e.g. 'bad/pb0/0.ppm' for bad/pb0/0.ppm; take a part of "
            "the path that images of one group share, or leave group_by out where no images "
            "belong together.",
        ),
        (
            {"level": 3},
            "tiles",
            "data.group_by must find something in the path of every image, folder level 3 finds "
            "something in none of 60: bad/pb0/0.ppm, bad/pb0/1.ppm, bad/pb0/2.ppm, bad/pb1/0.ppm, "
            "bad/pb1/1.ppm and 55 more; paths are relative to data.path, as printed here, and an "
            "expression may match anywhere in them.",
        ),
        (
            {"column": "lot"},
            "tiles",
            "data.group_by can name a column only where data.path is a CSV (or a folder with "
            "labels.csv, for task multilabel), got column lot and images without one; give the "
            "CSV as data.path, or use a regular expression over the paths, or {level: number}.",
        ),
        (
            {"column": "Lot"},
            "tiles.csv",
            "data.group_by must name a column of tiles.csv (file, label, lot), got 'Lot'; did "
            "you mean lot?",
        ),
    ],
    ids=str,
)
def test_rules_that_make_no_groups(
    parts_on_disk: Path, group_by: Any, path: str, message: str
) -> None:
    spec = DataSpec(source="folder", path=path, group_by=group_by, **FIFTHS)
    with pytest.raises(DataError) as error:
        load_data(spec, data_dir=parts_on_disk, allow_fallback=False)
    assert str(error.value) == message


def test_an_empty_cell_is_no_group(parts_on_disk: Path) -> None:
    table = parts_on_disk / "tiles.csv"
    table.write_text(table.read_text().replace("lot pb3", ""))
    spec = DataSpec(source="folder", path="tiles.csv", group_by={"column": "lot"}, **FIFTHS)
    with pytest.raises(DataError) as error:
        load_data(spec, data_dir=parts_on_disk, allow_fallback=False)
    assert str(error.value) == (
        "data.group_by must give every image a value, column lot is empty for 3 of 60 images: "
        "tiles/bad/pb3/0.ppm, tiles/bad/pb3/1.ppm, tiles/bad/pb3/2.ppm; fill in the cells."
    )


def test_given_splits_that_tear_groups_apart_are_refused(draw: Draw, tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        for name in ("good", "bad"):
            # Parts 1 and 2 are everywhere, the others on one side.
            for part in (1, 2, len(split) + 10, ord(split[1])):
                draw(*(f"tiles/{split}/{name}/p{part}_{i}.ppm" for i in range(2)))
    spec = DataSpec(source="folder", path="tiles", group_by="(p[0-9]+)_")
    with pytest.raises(DataError) as error:
        load_data(spec, data_dir=tmp_path / "data", allow_fallback=False)
    assert str(error.value) == (
        "no group of data.group_by may stand on two sides of a split, 2 of 8 (the expression "
        "'(p[0-9]+)_') do in the splits that the source gives: 'p1' (train 4, val 4, test 4), "
        "'p2' (train 4, val 4, test 4); move each group to one side, or leave the splits out and "
        "draw them with data.split_seed and data.fractions."
    )
    whole = DataSpec(source="folder", path="tiles", group_by="^([a-z]+/[a-z]+/p[0-9]+)_")
    _, data_set = load_data(whole, data_dir=tmp_path / "data", allow_fallback=False)
    assert data_set.facts.split_rule == "official"


def test_three_groups_are_the_fewest() -> None:
    items = items_of([(0, 2), (1, 2)])
    collection = Collection("t", "1", "", "", False, ("a", "b"), items)
    with pytest.raises(DataError, match="makes 2 of 4 images: 'part0' \\(2 images\\), 'part1'"):
        with_groups(collection, "(part[0-9])")
