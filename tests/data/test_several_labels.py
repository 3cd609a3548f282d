"""Images with several labels: their list, their splits, and the pictures drawn for them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ablate.data.build_store import build_store
from ablate.data.dataset import DataSet, load_data
from ablate.data.duplicates import near_duplicates
from ablate.data.sources._base import Item
from ablate.data.splits import split_items
from ablate.data.store import open_store
from ablate.errors import DataError
from ablate.study.trial import DataSpec, Fractions, Sizes

THIRDS = Fractions(train=0.5, val=0.25, test=0.25)
SPEC = DataSpec(source="folder", path="birds", split_seed=0, fractions=THIRDS)
NAMES = ("robin", "tit", "wren")


def _items(labels: np.ndarray) -> list[Item]:
    return [
        Item(
            f"{i:04d}",
            tuple(np.flatnonzero(row).tolist()),
            None,
            read=partial(Image.new, "RGB", (4, 4)),
            digest=partial(str, i),
        )
        for i, row in enumerate(labels)
    ]


@pytest.fixture
def birds(tmp_path: Path, make_image: Callable[..., Path]) -> Path:
    """A data folder with `birds/<n>.png` and `birds/labels.csv`.

    Image n has robin where n is even, tit where it divides by 3, wren by 4; image 1 has none.
    """
    rows = []
    for n in range(24):
        make_image(tmp_path / "birds" / f"{n}.png", seed=n)
        own = [name for name, step in zip(NAMES, (2, 3, 4), strict=True) if n % step == 0]
        rows.append(f"{n}.png,{';'.join(own)}")
    (tmp_path / "birds" / "labels.csv").write_text("\n".join(["image,labels", *rows]) + "\n")
    return tmp_path


def _load(data_dir: Path, spec: DataSpec = SPEC) -> DataSet:
    return load_data(spec, data_dir=data_dir, allow_fallback=True, task="multilabel")[1]


def test_a_list_of_labels_becomes_three_splits_of_zeros_and_ones(birds: Path) -> None:
    data_set = _load(birds)
    facts = data_set.facts
    assert facts.class_names == NAMES
    assert facts.n_images == {"train": 12, "val": 6, "test": 6}
    assert [sum(of_class) for of_class in zip(*facts.class_counts.values(), strict=True)] == [
        12,
        8,
        6,
    ]
    assert facts.class_counts["train"] == (6, 4, 3)
    assert (
        facts.split_rule
        == "iteratively stratified (Sechidis et al., 2011), train 0.5, val 0.25, test 0.25, "
        "split_seed 0"
    )
    for split in data_set.splits.values():
        for image_id, row in zip(split.image_ids, split.labels, strict=True):
            n = int(image_id.removesuffix(".png"))
            assert row.tolist() == [n % 2 == 0, n % 3 == 0, n % 4 == 0]


def test_the_image_store_gives_labels_back_and_duplicates_all_labels(
    birds: Path, make_image: Callable[..., Path]
) -> None:
    for n in (0, 1):  # the same picture with robin, tit and wren, and with none
        make_image(birds / "birds" / f"{n}.png", seed=77)
    data_set = _load(birds, SPEC.model_copy(update={"split_seed": 3}))
    store = build_store(data_set, home=birds / "home", side=16, interpolation="bilinear")
    assert all(
        np.array_equal(open_store(store.path).split(name).labels, split.labels)
        for name, split in data_set.splits.items()
    )
    where = {
        image_id: name for name, split in data_set.splits.items() for image_id in split.image_ids
    }
    found = near_duplicates(store)
    assert where["0.png"] != where["1.png"], "choose another split_seed"
    assert found is not None
    assert {(pair.first_label, pair.second_label) for pair in found.pairs} <= {
        ((0, 1, 2), ()),
        ((), (0, 1, 2)),
    }
    assert found.n_pairs == 1


def test_a_label_more_changes_the_fingerprint(birds: Path) -> None:
    before = _load(birds).facts.fingerprint
    path = birds / "birds" / "labels.csv"
    path.write_text(path.read_text().replace("\n1.png,\n", "\n1.png,wren\n"))
    assert _load(birds).facts.fingerprint != before


def test_splits_that_the_list_gives_are_taken(birds: Path) -> None:
    path = birds / "birds" / "labels.csv"
    head, *rows = path.read_text().splitlines()
    splits = ["train", "val", "test"]
    path.write_text(
        "\n".join(
            [f"{head},split", *(f"{row},{splits[(i // 2) % 3]}" for i, row in enumerate(rows))]
        )
    )
    assert _load(birds, DataSpec(source="folder", path="birds")).facts.n_images == {
        "train": 8,
        "val": 8,
        "test": 8,
    }


def test_a_list_of_another_name_is_read_where_the_path_names_it(birds: Path) -> None:
    former = _load(birds)
    (birds / "birds" / "labels.csv").rename(birds / "birds" / "seen.csv")
    now = _load(birds, SPEC.model_copy(update={"path": "birds/seen.csv"}))
    assert now.facts.fingerprint == former.facts.fingerprint
    assert (former.facts.title, now.facts.title) == ("birds", "seen")


def test_what_the_list_leaves_out_is_said(birds: Path, make_image: Callable[..., Path]) -> None:
    assert _load(birds).remarks == ()
    for n in (90, 91):
        make_image(birds / "birds" / f"{n}.png", seed=n)
    (birds / "birds" / "index.csv").write_text("file,label\n")
    assert _load(birds).remarks == (
        "left out: 2 images that lie beside those in labels.csv and are not in it, for example "
        "90.png",
        "note: index.csv is not read, labels.csv is",
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "file,label\n0.png,tit\n",
            "labels.csv must have the columns image and labels, and perhaps split, got file, "
            "label; data.columns says what they are called, e.g. {image: file, label: label}.",
        ),
        (
            "image,labels,size\n0.png,tit,3\n",
            "labels.csv must have the columns image and labels, and perhaps split, got image, "
            "labels, size; data.columns says what they are called, e.g. {image: image, label: "
            "labels}.",
        ),
        ("", "labels.csv must have the columns image and labels, and perhaps split, got none."),
        *(
            (
                f"image,labels\n{row}\n",
                f"every row of labels.csv must have 2 cells (image, labels), row 2 has {n}; a cell "
                f'with a comma must be in "quotes", '
                "and labels are separated by ';'.",
            )
            for row, n in (("0.png,tit,wren", 3), ("0.png", 1))
        ),
        ("image,labels\n,tit\n", "every row of labels.csv must name an image, row 2 does not."),
        (
            "image,labels\n0.png,tit\n0.png,wren\n",
            "a file must be named once in labels.csv, '0.png' is named in rows 2 and 3, with "
            "labels 'tit' and 'wren'; keep one row.",
        ),
        (
            "image,labels\n0.png,tit;;wren\n",
            "labels must be different and not empty, got 'tit;;wren' in row 2 of labels.csv.",
        ),
        (
            "image,labels\n0.png,tit; tit\n",
            "labels must be different and not empty, got 'tit; tit' in row 2 of labels.csv.",
        ),
        (
            "image,labels\nno.png,tit\nnor.png,\n",
            "every file of labels.csv must exist, 2 are not there: 'no.png' (row 2), 'nor.png' "
            "(row 3); correct the names or leave out the rows.",
        ),
        (
            "image,labels\n../outside.png,tit\n",
            "an image must stay below its folder, got '../outside.png'; move the files there, or "
            "point the data folder higher.",
        ),
        (
            "image,labels,split\n0.png,tit,later\n",
            "a split must be one of train, val, test, got 'later' in row 2 of labels.csv.",
        ),
        (
            "image,labels\n0.png,tit\n1.png,\n",
            "a classification data set must have at least 2 classes, source folder has 1: tit.",
        ),
    ],
)
def test_a_wrong_list_is_refused(birds: Path, text: str, message: str) -> None:
    (birds / "birds" / "labels.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        _load(birds)
    assert str(caught.value) == message


def test_a_folder_without_a_list_is_refused(plants: Path) -> None:
    with pytest.raises(DataError) as caught:
        _load(plants, DataSpec(source="folder", path="plants"))
    assert (
        str(caught.value)
        == "for task multilabel data.path must be a folder with labels.csv (columns image and "
        "labels), or such a CSV, 'plants' has none."
    )


def test_a_list_beside_class_folders_changes_nothing_for_classification(plants: Path) -> None:
    spec = DataSpec(source="folder", path="plants")
    before = load_data(spec, data_dir=plants, allow_fallback=True)[1].facts
    (plants / "plants" / "labels.csv").write_text("image,labels\ntrain/fern/0.png,fern;moss\n")
    assert load_data(spec, data_dir=plants, allow_fallback=True)[1].facts == before


def test_each_task_has_its_sources(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        _load(tmp_path, DataSpec(source="textile"))
    assert (
        str(caught.value)
        == "data.source must be one of folder, parquet, webdataset, rendered_bouquets for task "
        "multilabel, got 'textile'; it is a source for task: classification."
    )
    with pytest.raises(DataError) as caught:
        load_data(DataSpec(source="rendered_bouquets"), data_dir=tmp_path, allow_fallback=True)
    assert (
        str(caught.value)
        == "data.source must be one of flowers102, rendered_flowers, textile, folder, parquet, "
        "webdataset, torchvision:<Name> for task classification, got 'rendered_bouquets'; it is a "
        "source for task: multilabel."
    )


def test_the_order_of_the_file_does_not_matter_and_the_seed_does() -> None:
    items = _items((np.random.default_rng(1).random((60, 4)) < 0.3).astype(np.int64))

    def dealt(own: list[Item], seed: int) -> list[set[str]]:
        shares = Fractions(train=0.6, val=0.2, test=0.2)
        spec = SPEC.model_copy(update={"split_seed": seed, "fractions": shares})
        parts, _ = split_items(own, spec, official="official")
        return [{item.image_id for item in part} for part in parts.values()]

    assert dealt(items[::-1], 0) == dealt(items, 0)
    assert dealt(items, 1) != dealt(items, 0)


def test_subsets_keep_the_shares_too() -> None:
    spec = DataSpec(
        source="rendered_bouquets", split_seed=0, sizes=Sizes(train=100, val=50, test=50)
    )
    facts = load_data(spec, data_dir=Path("unused"), allow_fallback=False, task="multilabel")[
        1
    ].facts
    whole = load_data(
        DataSpec(source="rendered_bouquets"),
        data_dir=Path("unused"),
        allow_fallback=False,
        task="multilabel",
    )[1].facts
    assert facts.n_images == {"train": 100, "val": 50, "test": 50}
    for split, n in facts.n_images.items():
        wanted = np.array(whole.class_counts[split]) * n / whole.n_images[split]
        assert np.abs(np.array(facts.class_counts[split]) - wanted).mean() <= 0.6, split
    assert facts.split_rule == (
        "official; an iteratively stratified subset with split_seed 0: train 100 of 500, val 50 of "
        "250, test 50 of 400"
    )


GOLDEN = Path(__file__).parent / "golden" / "rendered_bouquets_v1.npy"


def small_bouquets() -> np.ndarray:
    """Small versions of the first images of val: (12, 10, 10, 3) uint8."""
    val = load_data(
        DataSpec(source="rendered_bouquets"),
        data_dir=Path("unused"),
        allow_fallback=False,
        task="multilabel",
    )[1].splits["val"]
    return np.stack(
        [np.asarray(val.read(i).resize((10, 10), Image.Resampling.BOX)) for i in range(12)]
    )


def test_bouquets_are_drawn_as_ever() -> None:
    assert np.abs(small_bouquets().astype(int) - np.load(GOLDEN).astype(int)).max() <= 2


def test_a_bouquet_shows_what_it_is_labelled_with() -> None:
    from ablate.data.rendering.scene import render_together

    none, one, other, both = (
        np.asarray(render_together(species, key=5), dtype=int)
        for species in ((), (0,), (8,), (0, 8))
    )
    assert one.shape == (160, 160, 3)
    assert all(np.abs(a - b).max() > 60 for a, b in ((none, one), (one, other), (one, both)))
    assert np.array_equal(both, np.asarray(render_together((0, 8), key=5)))
