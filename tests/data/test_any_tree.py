"""Trees that nobody would think of: each is a data set or a sentence, and never a traceback."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from ablate.data.dataset import load_data
from ablate.errors import DataError, is_printable
from ablate.study.trial import DataSpec, Fractions

DRAWN: dict[str, Any] = {"split_seed": 0, "fractions": Fractions(train=0.6, val=0.2, test=0.2)}
N_TREES = 40
PLAIN = ["cat", "dog", "cow", "train", "test", "val", "masks", "a b", "1"]
ODD = [
    " x",
    "[r]",
    "\u00e9",
    "e\u0301",
    "caf\udce9",
    "new\nl",
    ".hid",
    "__MACOSX",
    "seg_train",
    "fold1",
    "01",
    "null",
    "x.png",
    "-x",
    "\U0001f431",
]
FILES = [
    "0.ppm",
    "1.ppm",
    "2.ppm",
    "3.ppm",
    "4",
    "x.heic",
    "0_mask.png",
    "t.txt",
    ".DS_Store",
    "b.bak",
    "n\udcff.png",
    "w\r.png",
    "labels.csv",
    "Thumbs.db",
]
TARGETS = ["..", ".", "cat", "../dog/0.ppm", "nowhere", "/dev/null", "../../.."]


def _grow(rng: random.Random, folder: Path, *, depth: int, oddity: float) -> None:
    """Fill a new folder; nothing that is there is touched, so that no link is written through."""
    for name in rng.sample(PLAIN, rng.randint(2, 4)) + rng.sample(ODD, rng.random() < oddity):
        path = folder / name
        if rng.random() < oddity / 4:
            path.symlink_to(rng.choice(TARGETS))
        elif depth:
            path.mkdir()
            _grow(rng, path, depth=depth - (1 if rng.random() < 0.3 else depth), oddity=oddity)
    for name in FILES[:4] + rng.sample(FILES[4:], 1 if rng.random() < oddity else 0):
        path = folder / name
        chance = rng.random()
        if chance < oddity / 8:
            path.symlink_to(rng.choice(TARGETS))
        elif chance < oddity / 6:
            os.mkfifo(path)
        elif depth < 2:
            path.write_bytes(
                b"P6 2 2 255\n" + rng.randbytes(12) if rng.random() > oddity / 8 else b""
            )


def _write_index(rng: random.Random, path: Path) -> None:
    rows = [
        f"{rng.choice(PLAIN)}/{rng.choice(FILES[:4])},{rng.choice('ab')}"
        for _ in range(rng.randint(0, 6))
    ]
    content = bytearray("\n".join(["file,label", *rows]).encode())
    for _ in range(rng.choice([0, 0, 1, 3])):
        content[rng.randrange(len(content))] = rng.choice(b'"\0\n\r,;\xff\\ a')
    path.write_bytes(bytes(content))


@pytest.mark.slow
@pytest.mark.parametrize("oddity", [0.0, 0.1, 0.8])
def test_any_tree_is_a_data_set_or_a_sentence(tmp_path: Path, oddity: float) -> None:
    outcomes = set()
    for seed in range(N_TREES):
        rng = random.Random(seed)
        data_dir = tmp_path / str(seed)
        (data_dir / "pets").mkdir(parents=True)
        _grow(rng, data_dir / "pets", depth=2, oddity=oddity)
        _write_index(rng, data_dir / "pets" / "index.csv")
        sources: tuple[tuple[str, str], ...] = (
            ("pets", "classification"),
            ("pets/index.csv", "classification"),
            ("pets", "multilabel"),
        )
        for path, task in sources:
            try:
                _, data_set = load_data(
                    DataSpec(source="folder", path=path, **DRAWN),
                    data_dir=data_dir,
                    allow_fallback=False,
                    task=task,
                )
            except DataError as error:
                outcomes.add("refused")
                assert all(map(is_printable, str(error).splitlines()))
            else:
                outcomes.add("taken")
                assert all(map(is_printable, (*data_set.facts.class_names, *data_set.remarks)))
    assert "refused" in outcomes
    assert "taken" in outcomes or oddity > 0.5
