"""One rule for each kind of image, as docs/sources.md states them: each row with real files."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from ablate.data.dataset import load_data
from ablate.data.images import look_at, read_image
from ablate.errors import DataError
from ablate.study.trial import DataSpec, Fractions

DOCS = Path(__file__).parents[2] / "docs" / "sources.md"
RED, GREEN, BLUE, WHITE, BLACK = (
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (255, 255, 255),
    (0, 0, 0),
)
Pixel = tuple[int, int, int]


def rows_of_the_page() -> list[str]:
    table = DOCS.read_text().partition("| kind of image |")[2].partition("\n\n")[0]
    return re.findall(r"^\| \*\*(.+?)\*\* ", table, re.MULTILINE)


def file_of(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def read(content: bytes) -> list[list[Pixel]]:
    pixels = np.asarray(read_image(content, name="a"))
    return [[tuple(int(c) for c in pixel) for pixel in row] for row in pixels]  # type: ignore[misc]


def refusal(content: bytes) -> str:
    with pytest.raises(DataError) as error:
        read_image(content, name="a")
    return str(error.value)


def grey() -> None:
    """L, one bit, and grey JPEG: three equal channels."""
    for kind in ("PNG", "TIFF", "BMP", "GIF"):
        assert read(file_of(Image.new("L", (1, 1), 77), kind)) == [[(77, 77, 77)]]
    assert read(file_of(Image.new("L", (8, 8), 77), "JPEG"))[0][0] == (77, 77, 77)
    assert read(file_of(Image.new("1", (1, 1), 1), "PNG")) == [[WHITE]]


def palette() -> None:
    """The colours that the palette names."""
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *BLUE])
    image.putpixel((1, 0), 1)
    for kind in ("PNG", "GIF", "BMP", "TIFF"):
        assert read(file_of(image, kind)) == [[RED, BLUE]]


def transparency() -> None:
    """Over white, in colour, grey and palettes, also half transparent."""
    half = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    half.putpixel((1, 0), (0, 0, 0, 127))
    for options in ({}, {"lossless": True, "exact": True}):
        pixels = read(file_of(half, "WEBP" if options else "PNG", **options))
        assert pixels == [[WHITE, (128, 128, 128)]]
    assert read(file_of(Image.new("LA", (1, 1), (9, 0)), "PNG")) == [[WHITE]]
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *BLUE])
    image.putpixel((1, 0), 1)
    assert read(file_of(image, "PNG", transparency=0)) == [[WHITE, BLUE]]
    assert read(file_of(image, "GIF", transparency=0)) == [[WHITE, BLUE]]


def cmyk() -> None:
    """Converted without a profile, in TIFF, and in JPEG as Adobe inverts it."""
    cyan = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    assert read(file_of(cyan, "TIFF"))[0][0] == (0, 255, 255)
    for pixel in read(file_of(cyan, "JPEG", quality=95))[0]:
        np.testing.assert_allclose(pixel, (0, 255, 255), atol=4)


def profiles() -> None:
    """Colour profiles are ignored: the numbers of the file are taken as sRGB."""
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    image = Image.new("RGB", (1, 1), (10, 200, 30))
    assert read(file_of(image, "PNG", icc_profile=lab)) == [[(10, 200, 30)]]
    text = "an image must be grey, RGB, CMYK or of a palette, got LAB colours: a; save it as RGB."
    assert refusal(file_of(Image.new("LAB", (4, 4)), "TIFF")) == text


def deep_grey() -> None:
    """Divided by 256, whatever the range of the values."""
    pixels = np.array([[0, 255, 256, 65_535]], np.uint16)
    for kind in ("PNG", "TIFF"):
        content = file_of(Image.fromarray(pixels), kind)
        assert read(content) == [[BLACK, BLACK, (1, 1, 1), WHITE]]
        assert look_at(content, name="a").is_deep
    # 32 bits that hold 16 are the same
    assert read(file_of(Image.fromarray(pixels.astype(np.int32)), "TIFF"))[0][2] == (1, 1, 1)


def png48(pixel: tuple[int, int, int]) -> bytes:
    """A PNG of 16 bits per colour, which Pillow cannot write."""
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"\0" + struct.pack(">HHH", *pixel))),
        (b"IEND", b""),
    ]
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in parts:
        checksum = zlib.crc32(kind + data)
        content += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)
    return content


def deep_colour() -> None:
    """Divided by 256 as grey is."""
    content = png48((65_535, 0x1280, 255))
    assert read(content) == [[(255, 0x12, 0)]]
    assert look_at(content, name="a").is_deep


def floats() -> None:
    """0 to 255 as they are; everything else has no known range."""
    as_bytes = np.array([[0.0, 254.9]], np.float32)
    assert read(file_of(Image.fromarray(as_bytes), "TIFF")) == [[BLACK, (254, 254, 254)]]
    assert refusal(file_of(Image.fromarray(as_bytes / 255), "TIFF")) == (
        "an image of floats must have values from 0 to 255, and some above 1, got 0 to 0.999608: "
        "a; scale it, and save it with 8 bits."
    )


def wide_integers() -> None:
    """Beyond 16 bits there is no known range."""
    pixels = np.array([[0, 70_000]], np.int32)
    assert refusal(file_of(Image.fromarray(pixels), "TIFF")) == (
        "an image of 32-bit integers must have values from 0 to 65535, got 0 to 70000: a; scale "
        "it to its own range, and save it with 8 bits."
    )


def exif() -> None:
    """All eight ways up, in every format that has them; sizes are those of the upright image."""
    upright = np.array([[RED, GREEN, BLUE], [WHITE, BLACK, RED]], np.uint8)
    turned = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright.transpose(1, 0, 2)[::-1, ::-1],
        8: np.rot90(upright, -1),
    }
    for orientation, stored in turned.items():
        image = Image.fromarray(np.ascontiguousarray(stored))
        tags = image.getexif()
        tags[0x0112] = orientation
        for kind, options in (("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True})):
            content = file_of(image, kind, exif=tags.tobytes(), **options)
            np.testing.assert_array_equal(np.array(read(content), np.uint8), upright)
            assert look_at(content, name="a").size == (3, 2)


def frames() -> None:
    """The first of an animation or of the pages of a TIFF; how many there are is said."""
    first = Image.new("RGB", (4, 4), RED)
    more = [Image.new("RGB", (4, 4), BLUE)]
    for kind in ("GIF", "PNG", "TIFF", "WEBP"):
        options = {"lossless": True} if kind == "WEBP" else {}
        content = file_of(first, kind, save_all=True, append_images=more, **options)
        assert look_at(content, name="a").has_more_frames
        assert read(content)[0][0] == RED


def unusual() -> None:
    """Kinds that Pillow does not read are named, and not called damaged."""
    formats = "JPEG, PNG, BMP, GIF, TIFF, WebP or PPM"
    assert refusal(b"\0\0\0\x1cftypheic" + bytes(600)) == (
        f"an image must be a {formats} file, got HEIC: a; save it as PNG or JPEG, or remove it."
    )
    wide = file_of(Image.fromarray(np.zeros((2, 2), np.float32)), "TIFF")
    # the tag that says 32 bits per sample: type 3, one value
    bits = struct.pack("<HHIHH", 258, 3, 1, 32, 0)
    assert bits in wide
    assert refusal(wide.replace(bits, struct.pack("<HHIHH", 258, 3, 1, 64, 0))) == (
        f"an image must be a usual {formats} file, got a TIFF of 1 channels of 64-bit float "
        "values, compression 1: a; save it as PNG or JPEG."
    )


def huge() -> None:
    """Refused by the header, before any pixel is decoded."""
    assert refusal(file_of(Image.new("1", (10_000, 7_000)), "PNG")) == (
        "an image must have at most 60000000 pixels, got 10000 x 7000: a; scale it down."
    )


KINDS: dict[str, Callable[[], None]] = {
    "grey, 1 bit": grey,
    "palette": palette,
    "transparency": transparency,
    "CMYK": cmyk,
    "colour profiles, LAB": profiles,
    "16-bit grey": deep_grey,
    "16-bit colour": deep_colour,
    "float TIFF": floats,
    "32-bit integers": wide_integers,
    "EXIF rotation": exif,
    "animated, several pages": frames,
    "HEIC, AVIF, raw, 64-bit TIFF": unusual,
    "huge": huge,
}


def test_the_page_has_a_rule_for_each_kind() -> None:
    assert rows_of_the_page() == list(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_follows_its_rule(kind: str) -> None:
    KINDS[kind]()


def test_looking_at_a_header_decodes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    contents = [file_of(Image.new("RGB", (3, 2), RED), kind) for kind in ("PNG", "JPEG", "WEBP")]

    def load(*_: object) -> None:
        raise AssertionError("decoded")

    for name in ("PngImagePlugin.PngImageFile", "JpegImagePlugin.JpegImageFile"):
        monkeypatch.setattr(f"PIL.{name}.load", load)
    for content in contents:
        assert look_at(content, name="a").size == (3, 2)


@pytest.mark.parametrize("dark", [True, False])
def test_a_set_of_deep_images_that_are_all_dark_is_refused(tmp_path: Path, dark: bool) -> None:
    """12 bits kept in 16: no single file tells, the set does."""
    for label in ("a", "b"):
        for i in range(6):
            path = tmp_path / "set" / label / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            value = 4_000 if dark or i else 40_000
            Image.fromarray(np.full((4, 4), value - i, np.uint16)).save(path)
    shares = Fractions(train=0.5, val=0.25, test=0.25)
    spec = DataSpec(source="folder", path="set", split_seed=0, fractions=shares)
    if not dark:
        load_data(spec, data_dir=tmp_path, allow_fallback=False)
        return
    with pytest.raises(
        DataError, match=r"^images of 16 bits must use their range, 0 to 65535; none"
    ):
        load_data(spec, data_dir=tmp_path, allow_fallback=False)
