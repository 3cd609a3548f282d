"""Folders in every layout that is known, each drawn small: labels, splits and what is said."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ablate.data.layouts import Found, recognise, sort_masks
from ablate.data.layouts._listing import list_folder
from ablate.errors import DataError


def draw(root: Path, *names: str, mode: str = "RGB") -> None:
    """Small images that are all different."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(list(name.encode()))
        pixels = rng.integers(0, 255, size=(24, 24, 3), dtype=np.uint8)
        if mode == "L":
            pixels = 255 * (pixels[..., 0] > 250).astype(np.uint8)
        Image.fromarray(pixels).save(path)


def found(root: Path) -> Found:
    listing = list_folder(root)
    return recognise(listing, sort_masks(listing.root, listing.images))


def counts(labels: Found) -> dict[tuple[str, ...], int]:
    return dict(Counter(image.labels for image in labels.images))


def test_class_folders(tmp_path: Path) -> None:
    draw(tmp_path, *(f"{name}/{i}.png" for name in ("cat", "dog") for i in range(3)))
    labels = found(tmp_path)
    assert (labels.layout, labels.evidence) == (
        "class folders",
        "6 images in folders of 2 names",
    )
    assert counts(labels) == {("cat",): 3, ("dog",): 3}
    assert labels.traps == ()


@pytest.mark.parametrize(
    ("train", "val"),
    [("train", "val"), ("training_set", "validation_set"), ("seg_train/seg_train", "seg_val")],
)
def test_split_folders_of_any_name(tmp_path: Path, train: str, val: str) -> None:
    draw(tmp_path, *(f"{train}/{name}/{i}.png" for name in ("cat", "dog") for i in range(3)))
    draw(tmp_path, *(f"{val}/{name}/{i}.png" for name in ("cat", "dog") for i in range(2)))
    if "/" in train:
        draw(tmp_path, *(f"seg_val/seg_val/{name}/9.png" for name in ("cat", "dog")))
        for path in tmp_path.glob("seg_val/*/[01].png"):
            path.unlink()
    labels = found(tmp_path)
    assert labels.layout == "class folders in split folders"
    assert labels.splits["train"] == 6
    assert labels.class_names == ("cat", "dog")


def test_a_class_that_is_called_train(tmp_path: Path) -> None:
    draw(tmp_path, *(f"{name}/{i}.png" for name in ("train", "bus", "tram") for i in range(3)))
    labels = found(tmp_path)
    assert labels.class_names == ("bus", "train", "tram")
    assert labels.splits == {}
    (trap,) = labels.traps
    assert trap.kind == "class called as a split"
    assert trap.text == (
        "classes are called as splits (train), beside others that are not: taken for classes all "
        "the same"
    )


def test_classes_below_patients(tmp_path: Path) -> None:
    for patient in range(5):
        for name in ("benign", "malignant"):
            draw(tmp_path, f"p{patient}/{name}/0.png", f"p{patient}/{name}/1.png")
    labels = found(tmp_path)
    assert labels.class_names == ("benign", "malignant")
    assert labels.folder_levels == (2,)


def test_splits_below_the_classes(tmp_path: Path) -> None:
    for name in ("bottle", "cable", "capsule"):
        draw(tmp_path, f"{name}/train/0.png", f"{name}/train/1.png", f"{name}/test/2.png")
    labels = found(tmp_path)
    assert labels.class_names == ("bottle", "cable", "capsule")
    assert labels.splits == {"train": 6, "test": 3}


def test_masks_in_a_folder_beside_images(tmp_path: Path) -> None:
    draw(tmp_path, *(f"images/{i}.png" for i in range(6)))
    for i in range(6):
        (tmp_path / "masks").mkdir(exist_ok=True)
        pixels = np.zeros((24, 24), dtype=np.uint8)
        pixels[:4, :4] = 255 * (i < 2)
        Image.fromarray(pixels).save(tmp_path / "masks" / f"{i}.png")
    labels = found(tmp_path)
    assert labels.layout == "images with masks"
    assert counts(labels) == {("marked",): 2, ("clean",): 4}
    assert labels.traps[0].text == (
        "the only labels are masks: 2 of 6 images have something marked (class marked), the "
        "others an empty mask or none (class clean)"
    )


def test_masks_by_words_and_as_twins(tmp_path: Path) -> None:
    draw(tmp_path, "a/1.jpg", "a/2.jpg", "b/3.jpg", "b/4.jpg")
    draw(tmp_path, "a/1_mask.png", "a/2.png", "b/3.png", "b/4.png", mode="L")
    listing = list_folder(tmp_path)
    apart = sort_masks(listing.root, listing.images)
    assert apart.photos == ("a/1.jpg", "a/2.jpg", "b/3.jpg", "b/4.jpg")
    assert apart.masks == {
        "a/1.jpg": "a/1_mask.png",
        "a/2.jpg": "a/2.png",
        "b/3.jpg": "b/3.png",
        "b/4.jpg": "b/4.png",
    }


def test_the_same_picture_in_two_formats_is_no_mask(tmp_path: Path) -> None:
    draw(tmp_path, "a/1.jpg", "a/1.png", "b/2.jpg", "b/3.jpg")
    listing = list_folder(tmp_path)
    apart = sort_masks(listing.root, listing.images)
    assert (apart.masks, apart.copies) == ({}, {"a/1.jpg": "a/1.png"})


def coco(root: Path, classes: dict[str, list[str]], *, file: str = "instances.json") -> None:
    names = sorted({name for of_image in classes.values() for name in of_image})
    images = [{"id": i, "file_name": image} for i, image in enumerate(classes)]
    annotations = []
    for i, of_image in enumerate(classes.values()):
        for name in of_image:
            annotations.append({"image_id": i, "category_id": names.index(name), "bbox": []})
    categories = [{"id": i, "name": name} for i, name in enumerate(names)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / file).write_text(json.dumps(content))


def test_coco_with_one_class_in_each_image(tmp_path: Path) -> None:
    draw(tmp_path, "images/1.jpg", "images/2.jpg", "images/3.jpg")
    coco(tmp_path, {"1.jpg": ["car", "car"], "images/2.jpg": ["bus"], "3.jpg": []})
    labels = found(tmp_path)
    assert counts(labels) == {("car",): 1, ("bus",): 1, ("nothing",): 1}
    assert labels.evidence == "3 boxes in 2 of 3 images"
    assert labels.traps[0].text == (
        "COCO JSON holds boxes, and detection is not built yet: each image gets one label each "
        "from its boxes (nothing where it has none), task classification"
    )


def test_coco_with_several_classes_in_an_image(tmp_path: Path) -> None:
    draw(tmp_path, "1.jpg", "2.jpg")
    coco(tmp_path, {"1.jpg": ["car", "bus"], "2.jpg": []})
    labels = found(tmp_path)
    assert labels.has_several_labels
    assert counts(labels) == {("bus", "car"): 1, (): 1}
    assert labels.traps[0].text == (
        "COCO JSON holds boxes, and detection is not built yet: each image gets every class that "
        "it has boxes of, task multilabel"
    )


def test_pascal_voc(tmp_path: Path) -> None:
    draw(tmp_path, "JPEGImages/1.jpg", "JPEGImages/2.jpg")
    (tmp_path / "Annotations").mkdir()
    for i, name in ((1, "cat"), (2, "dog")):
        part = "<part><name>head</name></part>"
        box = f"<object><name>{name}</name>{part}</object>"
        (tmp_path / "Annotations" / f"{i}.xml").write_text(f"<annotation>{box}</annotation>")
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("1\n")
    (lists / "val.txt").write_text("2\n")
    labels = found(tmp_path)
    assert labels.layout == "Pascal VOC"
    assert counts(labels) == {("cat",): 1, ("dog",): 1}
    assert labels.splits == {"train": 1, "val": 1}


def test_yolo(tmp_path: Path) -> None:
    draw(tmp_path, "images/train/1.jpg", "images/val/2.jpg")
    for name, text in (("train/1", "0 .5 .5 .1 .1\n"), ("val/2", "1 .5 .5 .1 .1\n")):
        path = tmp_path / "labels" / f"{name}.txt"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    (tmp_path / "data.yaml").write_text("names: [cat, dog]\n")
    labels = found(tmp_path)
    assert labels.layout == "YOLO (data.yaml)"
    assert counts(labels) == {("cat",): 1, ("dog",): 1}
    assert labels.splits == {"train": 1, "val": 1}


def test_a_table_with_a_column_for_each_class(tmp_path: Path) -> None:
    draw(tmp_path, *(f"{i}.jpg" for i in range(4)))
    rows = ["image,mel,nv", "0,1.0,0.0", "1,0.0,1.0", "2,1.0,0.0", "3,0.0,1.0"]
    (tmp_path / "truth.csv").write_text("\n".join(rows))
    labels = found(tmp_path)
    assert labels.evidence == "truth.csv: images in column image, labels in mel, nv"
    assert counts(labels) == {("mel",): 2, ("nv",): 2}


def test_names_of_classes_go_before_their_numbers(tmp_path: Path) -> None:
    draw(tmp_path, *(f"{i}.jpg" for i in range(4)))
    rows = ["file,label,class_name", "0.jpg,0,cat", "1.jpg,1,dog", "2.jpg,0,cat", "3.jpg,1,dog"]
    (tmp_path / "index.csv").write_text("\n".join(rows))
    assert counts(found(tmp_path)) == {("cat",): 2, ("dog",): 2}


def test_a_table_with_lists_of_labels(tmp_path: Path) -> None:
    draw(tmp_path, *(f"{i}.jpg" for i in range(6)))
    rows = ["name\ttags", "0\ta;b", "1\ta", "2\tb", "3\ta; b", "4\ta", "5\tb"]
    (tmp_path / "tags.tsv").write_text("\n".join(rows))
    labels = found(tmp_path)
    assert labels.has_several_labels
    assert counts(labels) == {("a", "b"): 2, ("a",): 2, ("b",): 2}


def test_words_in_the_names_of_a_flat_folder(tmp_path: Path) -> None:
    draw(tmp_path, *(f"{name}.{i}.jpg" for name in ("cat", "dog") for i in range(5)))
    labels = found(tmp_path)
    assert counts(labels) == {("cat",): 5, ("dog",): 5}
    assert labels.traps[0].text == (
        "no folder and no table names classes: the first word of each file's name is taken for "
        "its class (cat 5, dog 5)"
    )


def test_images_without_labels_are_refused(tmp_path: Path) -> None:
    draw(tmp_path, "IMG_1.jpg", "IMG_2.jpg")
    with pytest.raises(DataError) as error:
        found(tmp_path)
    assert str(error.value) == (
        f"the images of FOLDER must have labels, 2 images of {tmp_path.name} have none: no class "
        "folders, no table that names them, no COCO, VOC or YOLO boxes, no masks; sort the images "
        "into one folder per class, or name them in a CSV (columns file, label)."
    )
