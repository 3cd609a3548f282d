"""Groups in names of files and folders: found where images belong together, and only there."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from ablate.data.layouts._base import LabelledImage
from ablate.data.layouts.group_proposals import GroupProposal, propose_groups
from ablate.study.image_rule import Column, Level, found_in_path

RNG = random.Random(0)
NUMBERS = RNG.sample(range(1_000, 300_000), 120)
CLASSES = ("ok", "bad")


def proposed(paths: Sequence[str], *, class_level: int = 1) -> GroupProposal | None:
    images = [LabelledImage(path, (path.split("/")[class_level - 1],)) for path in paths]
    return propose_groups(images, paths, but_levels=[class_level])


def parts(n_parts: int, n_shots: int) -> list[str]:
    """Parts of two classes, some of them in both, as `part3_shot1.jpg`."""
    paths = []
    for c, name in enumerate(CLASSES):
        for part in range(n_parts):
            for shot in range(n_shots):
                paths.append(f"{name}/part{part + 3 * c}_shot{shot}.jpg")
    return paths


def exposures() -> list[str]:
    """Magnetic tiles: few exposures, written first, of parts with numbers from a large range."""
    paths = []
    for i, number in enumerate(NUMBERS):
        for exposure in RNG.sample(range(1, 12), RNG.randint(1, 4)):
            paths.append(f"{CLASSES[i % 2]}/Imgs/exp{exposure}_num_{number}.jpg")
    return paths


def of_each(pattern: str, n_groups: int, n_images: int) -> list[str]:
    """Groups that belong to one class each."""
    paths = []
    for group in range(n_groups):
        for i in range(n_images):
            paths.append(
                pattern.format(c=CLASSES[group % 2], g=group, d=10 + group, i=i, x=512 * i)
            )
    return paths


@pytest.mark.parametrize(
    ("paths", "rule", "n_groups"),
    [
        (parts(20, 4), "(part[0-9]+)_", 23),
        # More shots than a part number has digits: still the part, which comes first.
        (parts(20, 12), "(part[0-9]+)_", 23),
        (exposures(), r"num_([0-9]+)\.", 120),
        (of_each("{c}/patient{g}_slide1_tile{i}.png", 20, 6), "(patient[0-9]+)_", 20),
        (of_each("{c}/s{g}_{x}_0.png", 20, 6), "(s[0-9]+)_", 20),
        (of_each("{c}/session{g}/IMG_{i}.png", 20, 5), Level(level=2), 20),
        (of_each("{c}/IMG_202101{d}_{i}.png", 20, 5), "(IMG_[0-9]+)_", 20),
    ],
    ids=["parts", "many shots", "exposures", "patients", "tiles", "folders", "days"],
)
def test_groups_are_found(paths: list[str], rule: object, n_groups: int) -> None:
    proposal = proposed(paths)
    assert proposal is not None
    assert (proposal.rule, proposal.n_groups) == (rule, n_groups)


@pytest.mark.parametrize(
    "pattern",
    ["{c}/{i:03d}.jpg", "{c}/{c}_{i:03d}.jpg", "{c}/IMG_{i}.jpg", "{c}/x{i}/{i}.jpg"],
)
def test_counters_that_start_again_in_each_class_are_no_groups(pattern: str) -> None:
    paths = [pattern.format(c=name, i=i) for name in CLASSES for i in range(60)]
    assert proposed(paths) is None


def test_kinds_of_a_class_are_no_groups() -> None:
    paths = []
    for i, kind in enumerate(("adenosis", "fibroma", "phyllodes", "tubular", "a", "b", "c", "d")):
        for patient in range(5):
            for shot in range(4):
                paths.append(f"{CLASSES[i // 4]}/{kind}/p{i}{patient}/{shot}.png")
    proposal = proposed(paths)
    assert proposal is not None
    assert (proposal.rule, proposal.n_groups) == (Level(level=3), 40)


def test_files_of_other_names_are_groups_of_their_own() -> None:
    paths = [*of_each("{c}/{g}-{i}.png", 20, 5), "ok/odd.png", "bad/other name.png"]
    proposal = proposed(paths)
    assert proposal is not None
    assert proposal.n_groups == 22
    assert isinstance(proposal.rule, str)
    assert [found_in_path(proposal.rule, path) for path in paths[-2:]] == [
        "odd.png",
        "other name.png",
    ]


def test_patients_above_the_classes() -> None:
    paths = [f"p{p:02d}/{c}/{i}.png" for p in range(20) for i in range(5) for c in CLASSES]
    proposal = proposed(paths, class_level=2)
    assert proposal is not None
    assert proposal.rule == Level(level=1)


def test_a_column_that_is_called_after_what_is_photographed() -> None:
    images = []
    for i in range(60):
        cells = {"age": str(40 + i % 9), "lesion_id": f"L{i // 3}", "sex": "fm"[i % 2]}
        images.append(LabelledImage(f"{i}.jpg", (CLASSES[i // 30],), None, cells))
    paths = [image.path for image in images]
    proposal = propose_groups(images, paths, but_levels=[])
    assert proposal is not None
    assert proposal.rule == Column(column="lesion_id")
    assert proposal.in_words == (
        "column lesion_id makes 20 groups of 3 images each, for example L0 with 0.jpg, 1.jpg, 2.jpg"
    )


@pytest.mark.parametrize(
    ("column", "is_found"),
    [
        ("Patienten-Nr", True),
        ("patientId", True),
        ("PatientID", True),
        ("Fallnummer", True),
        ("Werkstück", True),
        ("N° lote", True),
        ("apartment", False),
        ("Befund", False),
        ("id", False),
    ],
)
def test_columns_of_other_languages_and_spellings(column: str, is_found: bool) -> None:
    images = []
    for i in range(60):
        cells = {column: f"L{i // 3}"}
        images.append(LabelledImage(f"{i}.jpg", (CLASSES[i // 30],), None, cells))
    proposal = propose_groups(images, [image.path for image in images], but_levels=[])
    assert (proposal is not None) == is_found
