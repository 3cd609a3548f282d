"""Every way of storing colours that was read before is read to the same pixels.

The digests are those of the version before this test.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ablate.data.build_store import build_store
from ablate.data.dataset import load_data
from ablate.data.images import read_image
from ablate.study.trial import DataSpec


def _pixels() -> np.ndarray:
    y, x, c = np.mgrid[0:14, 0:17, 0:3]
    return ((x * 13 + y * 7 + c * 50) % 256).astype(np.uint8)


def _alpha(image: Image.Image) -> Image.Image:
    image.putalpha(Image.fromarray(_pixels()[..., 1]))
    return image


RGB = Image.fromarray(_pixels())
GREY = RGB.getchannel(0)
DEEP = Image.fromarray(_pixels()[..., 0].astype(np.uint16) * 257)
FILES: dict[str, tuple[Image.Image, dict[str, Any]]] = {
    "rgb.png": (RGB, {}),
    "grey.png": (GREY, {}),
    "bits.png": (RGB.convert("1", dither=Image.Dither.NONE), {}),
    "palette.png": (RGB.quantize(16), {}),
    "clear_palette.png": (RGB.quantize(16), {"transparency": 3}),
    "clear_grey.png": (GREY, {"transparency": 13}),
    "alpha.png": (_alpha(RGB.copy()), {}),
    "grey_alpha.png": (_alpha(GREY.copy()), {}),
    "deep.png": (DEEP, {}),
    "deep.tif": (DEEP, {}),
    "int32.tif": (Image.fromarray(np.asarray(DEEP).astype(np.int32)), {}),
    "float.tif": (Image.fromarray(np.asarray(GREY).astype(np.float32)), {}),
    "cmyk.tif": (RGB.convert("CMYK"), {}),
    "lzw.tif": (RGB, {"compression": "tiff_lzw"}),
    "rgb.bmp": (RGB, {}),
    "palette.gif": (RGB.quantize(16), {}),
    "alpha.webp": (_alpha(RGB.copy()), {"lossless": True, "exact": True}),
    "rgb.ppm": (RGB, {}),
    "deep.pgm": (DEEP, {}),
}
EXPECTED = {
    "rgb.png": "3c0939bce77654bf",
    "grey.png": "5bbd98043329b798",
    "bits.png": "886c5a3fa064847b",
    "palette.png": "37ce79f96bb8cbd4",
    "clear_palette.png": "9bf1bdd2cbb86820",
    "clear_grey.png": "6923f1ec431c3530",
    "alpha.png": "08cb1da55d7631e7",
    "grey_alpha.png": "3c2edde5e6945f17",
    "deep.png": "5bbd98043329b798",
    "deep.tif": "5bbd98043329b798",
    "int32.tif": "5bbd98043329b798",
    "float.tif": "5bbd98043329b798",
    "cmyk.tif": "3c0939bce77654bf",
    "lzw.tif": "3c0939bce77654bf",
    "rgb.bmp": "3c0939bce77654bf",
    "palette.gif": "37ce79f96bb8cbd4",
    "alpha.webp": "08cb1da55d7631e7",
    "rgb.ppm": "3c0939bce77654bf",
    "deep.pgm": "5bbd98043329b798",
}


@pytest.mark.parametrize("name", FILES)
def test_the_same_pixels_as_ever(tmp_path: Path, name: str) -> None:
    image, options = FILES[name]
    image.save(tmp_path / name, **options)
    read = read_image(tmp_path / name, name=name)
    assert (read.mode, read.size) == ("RGB", image.size)
    assert hashlib.sha256(read.tobytes()).hexdigest()[:16] == EXPECTED[name]
    from_bytes = read_image((tmp_path / name).read_bytes(), name=name)
    assert from_bytes.tobytes() == read.tobytes()


def _write_set(root: Path) -> None:
    for split, n in (("train", 3), ("val", 2), ("test", 2)):
        for label in ("a", "b"):
            (root / "set" / split / label).mkdir(parents=True)
            for i in range(n):
                pixels = np.roll(_pixels(), (i, ord(label), len(split)), axis=(0, 1, 2))
                Image.fromarray(pixels).save(root / "set" / split / label / f"{i}.bmp")


def test_the_same_store_as_ever(tmp_path: Path) -> None:
    _write_set(tmp_path)
    data_set = load_data(
        DataSpec(source="folder", path="set"), data_dir=tmp_path, allow_fallback=False
    )[1]
    store = build_store(data_set, home=tmp_path, side=10, interpolation="bicubic", fine=12)
    digests = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        for path in sorted(store.path.glob("*.npy"))
    }
    assert (
        data_set.facts.fingerprint
        == "539c2f3a6f757f7e71cbdf1441a1df5b4a685ed1a8f34be554ccabbce3ed1985"
    )
    assert store.path.name == "30032bf02cda82d5395e2db2-12"
    assert digests == {
        "fine.npy": "6a333099bc59d81b",
        "test.npy": "ced4e1b2bd4426db",
        "train.npy": "47ba4e9581f25884",
        "val.npy": "9d8e88af92eb8943",
    }
