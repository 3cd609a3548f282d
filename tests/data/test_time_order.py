"""Splits in the order of time: no image of train is later than one of test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ablate.data.dataset import load_data
from ablate.data.sources._base import Item
from ablate.data.splits import split_items
from ablate.errors import DataError
from ablate.study.trial import DataSpec, Fractions

BY_DATE: dict[str, Any] = {
    "source": "folder",
    "split_by": {"column": "date"},
    "fractions": Fractions(train=0.6, val=0.2, test=0.2),
}


def items_of(dates: list[str], split: str | None = None) -> list[Item]:
    items = []
    for number, date in enumerate(dates):
        cells = {"date": date}
        items.append(Item(f"{number}.png", number % 2, split, Image.Image, str, cells=cells))
    return items


@given(
    days=st.lists(st.integers(1, 28), min_size=3, max_size=60).filter(
        lambda days: len(set(days)) > 2
    ),
    shares=st.sampled_from([(0.6, 0.2, 0.2), (0.98, 0.01, 0.01), (0.01, 0.01, 0.98)]),
)
def test_sides_follow_one_another_and_none_is_empty(
    days: list[int], shares: tuple[float, float, float]
) -> None:
    train, val, test = shares
    fractions = Fractions(train=train, val=val, test=test)
    spec = DataSpec(source="folder", split_by={"column": "date"}, fractions=fractions)
    items = items_of([f"2024-02-{day:02d}" for day in days])
    parts, _ = split_items(items, spec, official="official")
    dates = [[item.cells["date"] for item in parts[split]] for split in ("train", "val", "test")]
    assert sum(map(len, dates)) == len(days)
    assert all(dates)
    assert max(dates[0]) < min(dates[1])
    assert max(dates[1]) < min(dates[2])


def test_shares_are_met_where_times_allow() -> None:
    parts, rule = split_items(
        items_of([f"2024-{1 + i // 28:02d}-{1 + i % 28:02d}" for i in range(100)]),
        DataSpec(**BY_DATE),
        official="official",
    )
    assert {split: len(part) for split, part in parts.items()} == {
        "train": 60,
        "val": 20,
        "test": 20,
    }
    assert rule == "in the order of column date, not stratified, train 0.6, val 0.2, test 0.2"


@pytest.mark.parametrize(
    "dates",
    [
        ["9", "10", "11", "100", "1000"],
        ["2024-01-31", "2024-02-01", "2024-02-01T08:00", "2024-02-02T23:00+00:00", "2024-02-03"],
        ["20240131", "20240201", "20240202", "20240203", "20240204"],
    ],
)
def test_numbers_and_dates_are_put_in_order(dates: list[str]) -> None:
    parts, _ = split_items(items_of(dates)[::-1], DataSpec(**BY_DATE), official="official")
    assert [item.cells["date"] for item in parts["test"]] == dates[-1:]
    assert {item.cells["date"] for item in parts["train"]} == set(dates[:3])


@pytest.mark.parametrize(
    ("dates", "changes", "split", "message"),
    [
        (
            ["31.01.2024", "2024-01-01", "2024-01-02"],
            {},
            None,
            "times of data.split_by must all be ISO dates, as 2024-01-31 or 2024-01-31T08:30, or "
            "all be numbers, column date gives '31.01.2024' for 0.png; write them in one of these "
            "ways.",
        ),
        (
            ["2024-01-01", "2024-01-02", "2024-01-01"],
            {},
            None,
            "data.split_by must find at least 3 different times, one for each side, column date "
            "finds 2: '2024-01-01', ...; name a finer time, or leave it out and draw the splits "
            "with data.split_seed.",
        ),
        (
            ["1", "2", "3"],
            {"group_by": "(x)"},
            None,
            "data.split_by and data.group_by cannot both be set: a group that was photographed "
            "over months would stand on two sides, or break the order of time; leave one out.",
        ),
        (
            ["1", "2", "3"],
            {},
            "train",
            "data.split_by draws all splits, source folder gives some already (train); leave "
            "split_by out, or give the images without splits.",
        ),
        (
            ["1", "2", "3"],
            {"fractions": None},
            None,
            "data.fractions must be set for source folder, because data.split_by cuts by them.",
        ),
    ],
)
def test_what_cannot_be_put_in_order(
    dates: list[str], changes: dict[str, Any], split: str | None, message: str
) -> None:
    with pytest.raises(DataError) as error:
        spec = DataSpec(**{**BY_DATE, **changes})
        split_items(items_of(dates, split), spec, official="official")
    assert str(error.value) == message


def test_dates_in_a_csv(draw: Callable[..., None], tmp_path: Path) -> None:
    rows = ["file,label,date"]
    for name in ("good", "bad"):
        draw(*(f"{name}/{i}.ppm" for i in range(10)))
        rows += [f"{name}/{i}.ppm,{name},2024-01-{1 + i:02d}" for i in range(10)]
    (tmp_path / "data" / "all.csv").write_text("\n".join(rows) + "\n")
    spec = DataSpec(**BY_DATE, path="all.csv")
    resolved, data_set = load_data(spec, data_dir=tmp_path / "data", allow_fallback=False)
    assert resolved == spec
    assert Counter(data_set.splits["test"].image_ids) == Counter(
        ["good/8.ppm", "good/9.ppm", "bad/8.ppm", "bad/9.ppm"]
    )
    assert not any("not read" in line for line in data_set.remarks)


def test_what_is_missing_is_said(draw: Callable[..., None], tmp_path: Path) -> None:
    """Train and val without test: the layout of the best-known tutorial."""
    for name in ("ants", "bees"):
        for split in ("train", "val"):
            draw(*(f"hymenoptera/{split}/{name}/{i}.ppm" for i in range(10)))
    spec = DataSpec(
        source="folder", path="hymenoptera", split_seed=0, fractions=BY_DATE["fractions"]
    )
    _, data_set = load_data(spec, data_dir=tmp_path / "data", allow_fallback=False)
    assert (
        "note: the source gives no test; 5 of its train images are set aside as test, and no "
        "network is trained on them"
    ) in data_set.remarks
    assert not any("gives no val" in line for line in data_set.remarks)
