"""Mutated image files are read or refused, in short.

`scripts/fuzz_images.py` is the long form, with bounds on time and memory.

ABLATE_FUZZ sets how many files are tried.
"""

from __future__ import annotations

import importlib.util
import os
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from ablate.data.images import read_image
from ablate.errors import DataError

N_FILES = int(os.environ.get("ABLATE_FUZZ", "800"))
SCRIPT = Path(__file__).parents[2] / "scripts/fuzz_images.py"


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz_images", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fuzz = _script()
SAMPLES: dict[str, bytes] = fuzz.samples()


def test_every_sample_is_sound(tmp_path: Path) -> None:
    assert {Path(name).suffix for name in SAMPLES} == {
        ".jpg",
        ".png",
        ".gif",
        ".bmp",
        ".webp",
        ".tif",
        ".ppm",
        ".pgm",
    }
    for name, whole in SAMPLES.items():
        (tmp_path / name).write_bytes(whole)
        assert fuzz.outcome(tmp_path / name) == "read", name


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow on damaged metadata
def test_a_mutated_file_is_read_or_refused(tmp_path: Path) -> None:
    ends = Counter[str]()
    for name, data in fuzz.mutations(N_FILES, seed=11):
        (tmp_path / name).write_bytes(data)
        ends[fuzz.outcome(tmp_path / name)] += 1
    assert ends.total() == N_FILES
    assert min(ends["read"], ends["refused"]) > N_FILES / 20, (
        ends
    )  # the mutations are neither harmless nor hopeless


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "name", [name for name in SAMPLES if name != "plain.ppm"]
)  # text: the last number may be cut, and is one still
def test_a_file_that_is_cut_off_is_refused_or_has_all_pixels(tmp_path: Path, name: str) -> None:
    whole = SAMPLES[name]
    path = tmp_path / name
    path.write_bytes(whole)
    pixels = np.asarray(read_image(path, name=name))
    n_refused = 0
    lengths = {
        *range(0, len(whole), max(1, len(whole) // 40)),
        *range(max(0, len(whole) - 30), len(whole)),
    }
    for length in lengths:
        path.write_bytes(whole[:length])
        try:
            np.testing.assert_array_equal(np.asarray(read_image(path, name=name)), pixels)
        except DataError:
            n_refused += 1
    assert n_refused > 0.2 * len(lengths)
