"""What lies under an image's name and is no image, or none that can be used.

One sentence names it, and never calls a whole file damaged.
"""

from __future__ import annotations

import io
import os
import socket
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from ablate.data import images
from ablate.data.encoded import Encoded
from ablate.data.images import MAX_PIXELS, digest_of_image, look_at, read_image
from ablate.errors import DataError

FORMATS = "JPEG, PNG, BMP, GIF, TIFF, WebP or PPM"
DAMAGED = f"an image must be a whole {FORMATS} file, got a damaged one: a; replace or remove it."
RGB = Image.fromarray(
    (np.mgrid[0:20, 0:30].sum(axis=0)[..., None] * [1, 3, 5] % 250 + 3).astype(np.uint8)
)


def refusals(path: Path) -> list[str]:
    """What each reader says of a path; of a file's bytes it says the same."""
    messages = _messages(path)
    if path.is_file():
        assert _messages(path.read_bytes()) == messages
    return messages


def _messages(encoded: Encoded) -> list[str]:
    messages = []
    for read in (look_at, read_image, digest_of_image):
        with pytest.raises(DataError) as error:
            read(encoded, name="a")
        messages.append(str(error.value))
    return messages


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(*, width: int, height: int, data: bytes, interlace: int = 0) -> bytes:
    """An 8-bit grey PNG; `data` are its lines, each with a filter byte, not compressed yet."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, interlace)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    packed = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def tiff(
    data: bytes,
    *,
    height: int = 4,
    bits: int = 8,
    kind: int = 1,
    compression: int = 1,
    more: dict[int, tuple[int, int]] | None = None,
) -> bytes:
    """A TIFF of 4 columns and one strip of 4 rows, with more tags: number -> type and value."""
    start = 8 + 2 + 12 * (10 + len(more or {})) + 4
    numbers = {
        256: 4,
        257: height,
        258: bits,
        259: compression,
        262: 1,
        273: start,
        277: 1,
        278: 4,
        279: len(data),
        339: kind,
    }
    typed = {tag: (4 if tag in (273, 279) else 3, value) for tag, value in numbers.items()} | (
        more or {}
    )
    entries = b"".join(
        struct.pack("<HHII", tag, own, 1, value) for tag, (own, value) in sorted(typed.items())
    )
    return b"II*\0" + struct.pack("<IH", 8, len(typed)) + entries + struct.pack("<I", 0) + data


OTHERS = {
    "AVIF": encoded(RGB, "AVIF"),
    "JPEG 2000": encoded(RGB, "JPEG2000"),
    "an icon (ICO)": encoded(RGB, "ICO"),
    "PDF": encoded(RGB, "PDF"),
    "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40),
    "JPEG XL": b"\xff\x0a" + bytes(40),
    "a camera's raw file": b"II*\0\x10\0\0\0CR\2\0" + bytes(40),
    "a Photoshop file": b"8BPS\0\1" + bytes(40),
    "DICOM": bytes(128) + b"DICM" + bytes(40),
    "a ZIP archive": b"PK\3\4" + bytes(40),
    "a video": b"\0\0\0\x18ftypmp42" + bytes(40),
    "a NumPy array": b"\x93NUMPY\1\0" + bytes(40),
}
TEXTS = {
    "a web page": b"\n<!DOCTYPE html><title>404</title>",
    "SVG": b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>",
    "XML": b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
    "a text": b'{"error": "not found"}' + "é".encode() * 400,
}


@pytest.mark.parametrize("kind", OTHERS)
def test_another_format_is_called_by_its_name(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.png").write_bytes(OTHERS[kind])
    assert set(refusals(tmp_path / "a.png")) == {
        f"an image must be a {FORMATS} file, got {kind}: a; save it as PNG or JPEG, or remove it."
    }


@pytest.mark.parametrize("kind", TEXTS)
def test_a_text_under_an_images_name(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.png").write_bytes(TEXTS[kind])
    assert set(refusals(tmp_path / "a.png")) == {
        f"an image must be a {FORMATS} file, got {kind}: a; fetch the image again or remove it."
    }


@pytest.mark.parametrize(
    ("data", "what", "way"),
    [
        (b"", "an empty file", "copy it again or remove it"),
        (bytes(3000), "a file that begins with 512 zero bytes", "copy it again or remove it"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
            "a Git LFS pointer",
            "fetch the images with `git lfs pull`",
        ),
    ],
)
def test_a_file_without_pixels(tmp_path: Path, data: bytes, what: str, way: str) -> None:
    (tmp_path / "a.png").write_bytes(data)
    assert set(refusals(tmp_path / "a.png")) == {
        f"an image must hold pixels, got {what}: a; {way}."
    }


def test_an_image_that_speaks_of_svg_is_an_image(tmp_path: Path) -> None:
    RGB.save(tmp_path / "a.jpg", comment=b"<svg> <!doctype html>")
    assert read_image(tmp_path / "a.jpg", name="a").size == RGB.size


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "device.png").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "socket.png"))
        for name, kind in (
            ("pipe", "a named pipe"),
            ("folder", "a folder"),
            ("device", "a device"),
            ("socket", "a socket"),
        ):
            expected = (
                f"an image must be a file, got {kind}: a; remove it, or leave it out of the index."
            )
            assert set(refusals(tmp_path / f"{name}.png")) == {expected}


def test_a_link_to_itself(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to("a.png")
    assert set(refusals(tmp_path / "a.png")) == {
        (
            "an image must be a file that can be read, this one cannot: a (Too many levels of "
            "symbolic links)."
        )
    }


@pytest.mark.parametrize(
    ("width", "height", "limit", "way"),
    [
        (1, 60_000_000, "65535 pixels per side, got 1 x 60000000", "cut or scale it"),
        (65_536, 2, "65535 pixels per side, got 65536 x 2", "cut or scale it"),
        (7_746, 7_746, "60000000 pixels, got 7746 x 7746", "scale it down"),
        (100_000, 100_000, "60000000 pixels, got 10000000000", "scale it down"),
    ],
)
def test_extreme_shapes_are_refused_with_the_figure(
    tmp_path: Path, width: int, height: int, limit: str, way: str
) -> None:
    (tmp_path / "a.png").write_bytes(png(width=width, height=height, data=bytes(100)))
    for read in (look_at, read_image):
        with pytest.raises(DataError) as error:
            read(tmp_path / "a.png", name="a")
        assert str(error.value) == f"an image must have at most {limit}: a; {way}."


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (
            tiff(bytes(128), bits=64, kind=3),
            "a TIFF of 1 channels of 64-bit float values, compression 1",
        ),
        (
            tiff(bytes(16), compression=34887),
            "a TIFF of 1 channels of 8-bit integer values, compression 34887",
        ),
        (tiff(bytes(64), bits=24), "a TIFF of 1 channels of 24-bit integer values, compression 1"),
    ],
)
def test_a_tiff_of_another_kind_is_not_called_damaged(
    tmp_path: Path, data: bytes, kind: str
) -> None:
    (tmp_path / "a.tif").write_bytes(data)
    for read in (look_at, read_image):
        with pytest.raises(DataError) as error:
            read(tmp_path / "a.tif", name="a")
        assert (
            str(error.value)
            == f"an image must be a usual {FORMATS} file, got {kind}: a; save it as PNG or JPEG."
        )


def _with_metadata(kind: str, n_bytes: int) -> bytes:
    info = PngImagePlugin.PngInfo()
    if kind == "zTXt":
        info.add_text("workflow", "x" * n_bytes, zip=True)
    if kind == "iTXt":
        info.add_itxt("XML:com.adobe.xmp", "x" * n_bytes, zip=True)
    profile = {"icc_profile": bytes(n_bytes)} if kind == "iCCP" else {}
    return encoded(RGB, "PNG", pnginfo=info, **profile)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["iCCP", "zTXt", "iTXt"])
def test_metadata_are_read_up_to_a_bound_and_then_said_to_be_too_large(
    tmp_path: Path, kind: str
) -> None:
    (tmp_path / "a.png").write_bytes(_with_metadata(kind, 2 * 2**20))
    assert read_image(tmp_path / "a.png", name="a").tobytes() == RGB.tobytes()
    (tmp_path / "a.png").write_bytes(_with_metadata(kind, 17 * 2**20))
    with pytest.raises(DataError) as error:
        read_image(tmp_path / "a.png", name="a")
    assert str(error.value) == (
        "an image must have at most 16 MB of metadata in one piece, got more: a; strip them, "
        "e.g. with `exiftool -all= FILE`."
    )


def _passes(width: int, height: int) -> bytes:
    """The lines of an interlaced grey image, all of one level."""
    lines = b""
    for left, top, step_x, step_y in (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ):
        columns = len(range(left, width, step_x))
        lines += (b"\0" + b"\x77" * columns) * (len(range(top, height, step_y)) if columns else 0)
    return lines


@pytest.mark.parametrize("n_lines", [0, 1, 10, 19])
def test_a_png_that_ends_properly_and_too_early(tmp_path: Path, n_lines: int) -> None:
    whole = (b"\0" + b"\x77" * 30) * 20
    (tmp_path / "a.png").write_bytes(png(width=30, height=20, data=whole))
    assert np.asarray(read_image(tmp_path / "a.png", name="a")).min() == 0x77
    (tmp_path / "a.png").write_bytes(png(width=30, height=20, data=whole[: 31 * n_lines]))
    with pytest.raises(DataError) as error:
        read_image(tmp_path / "a.png", name="a")
    assert str(error.value) == DAMAGED


@pytest.mark.parametrize("size", [(30, 20), (1, 1), (3, 7), (9, 2)])
def test_an_interlaced_png_that_ends_too_early(tmp_path: Path, size: tuple[int, int]) -> None:
    width, height = size
    whole = _passes(width, height)
    (tmp_path / "a.png").write_bytes(png(width=width, height=height, data=whole, interlace=1))
    assert np.asarray(read_image(tmp_path / "a.png", name="a")).min() == 0x77
    (tmp_path / "a.png").write_bytes(png(width=width, height=height, data=whole[:-1], interlace=1))
    with pytest.raises(DataError) as error:
        read_image(tmp_path / "a.png", name="a")
    assert str(error.value) == DAMAGED


def test_a_black_png_is_whole(tmp_path: Path) -> None:
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    assert not np.asarray(read_image(tmp_path / "a.png", name="a")).any()


def test_a_tiff_with_fewer_strips_than_rows(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(b"\x77" * 16))
    assert np.asarray(read_image(tmp_path / "a.tif", name="a")).min() == 0x77
    (tmp_path / "a.tif").write_bytes(tiff(b"\x77" * 16, height=8))
    with pytest.raises(DataError) as error:
        read_image(tmp_path / "a.tif", name="a")
    assert str(error.value) == DAMAGED


@pytest.mark.parametrize("lowest", [0.0, -3.0, float("nan")])
def test_floats_without_a_known_range(tmp_path: Path, lowest: float) -> None:
    pixels = np.full((4, 4), 0.75, dtype=np.float32)
    pixels[0] = lowest
    Image.fromarray(pixels).save(tmp_path / "a.tif")
    with pytest.raises(DataError) as error:
        read_image(tmp_path / "a.tif", name="a")
    shown = "nan to nan" if np.isnan(lowest) else f"{lowest:g} to 0.75"
    assert str(error.value) == (
        f"an image of floats must have values from 0 to 255, and some above 1, got {shown}: "
        "a; scale it, and save it with 8 bits."
    )


@pytest.mark.parametrize("extremes", [(0, 65_536), (-1, 40_000), (0, 2_000_000_000)])
def test_integers_outside_16_bits(tmp_path: Path, extremes: tuple[int, int]) -> None:
    Image.fromarray(np.array([extremes], dtype=np.int32)).save(tmp_path / "a.tif")
    with pytest.raises(DataError) as error:
        read_image(tmp_path / "a.tif", name="a")
    assert str(error.value) == (
        f"an image of 32-bit integers must have values from 0 to 65535, got {extremes[0]} to "
        f"{extremes[1]}: a; "
        "scale it to its own range, and save it with 8 bits."
    )


def test_colours_that_are_not_known(tmp_path: Path) -> None:
    Image.new("LAB", (4, 4)).save(tmp_path / "a.tif")
    with pytest.raises(DataError) as error:
        read_image(tmp_path / "a.tif", name="a")
    assert (
        str(error.value)
        == "an image must be grey, RGB, CMYK or of a palette, got LAB colours: a; save it as RGB."
    )


class Surprise(Exception):
    """What no list of exceptions has."""


@pytest.mark.parametrize(
    "error",
    [
        Surprise("?"),
        RecursionError("deep"),
        SystemError("tile"),
        struct.error("short"),
        SyntaxError("x"),
        AssertionError(),
    ],
)
def test_whatever_a_decoder_raises_is_that_files_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    RGB.save(tmp_path / "a.png")

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", fail)
    with pytest.raises(DataError) as raised:
        read_image(tmp_path / "a.png", name="a")
    assert str(raised.value) == DAMAGED


def test_too_little_memory_is_not_called_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    RGB.save(tmp_path / "a.png")

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", fail)
    with pytest.raises(DataError) as raised:
        read_image(tmp_path / "a.png", name="a")
    assert (
        str(raised.value)
        == "an image must fit in memory, this one does not: a; scale it down, or free memory."
    )


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("fa\udce7ade.png", r"fa\xe7ade.png"),
        ("a\nb\x1b[2J.png", r"a\nb\x1b[2J.png"),
        ("façade.png", "façade.png"),
    ],
)
def test_a_name_is_shown_as_any_console_can_print_it(tmp_path: Path, name: str, shown: str) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataError) as error:
        look_at(tmp_path / name, name=name)
    assert (
        str(error.value)
        == f"an image must hold pixels, got an empty file: {shown}; copy it again or remove it."
    )


def test_large_images_are_not_all_decoded_at_once() -> None:
    budget = images._PixelBudget(2 * MAX_PIXELS)
    with budget.held(MAX_PIXELS), budget.held(MAX_PIXELS):
        assert budget._held == 2 * MAX_PIXELS
    with budget.held(5 * MAX_PIXELS):  # alone, rather than never
        assert budget._held == 5 * MAX_PIXELS
    assert budget._held == 0


def _exif(tag: int, kind: int, value: bytes, *, turn: int = 6) -> bytes:
    """An EXIF block with an orientation and one more tag."""
    entries = sorted(
        [(0x112, 3, 1, struct.pack("<H", turn)), (tag, kind, max(1, len(value) // 8), value)]
    )
    start = 8 + 2 + 12 * len(entries) + 4
    rows, blob = b"", b""
    for number, own, count, content in entries:
        field = (
            struct.pack("<I", start + len(blob)) if len(content) > 4 else content.ljust(4, b"\0")
        )
        blob += content if len(content) > 4 else b""
        rows += struct.pack("<HHI", number, own, count) + field
    return (
        b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries)) + rows + struct.pack("<I", 0) + blob
    )


def _random_tag(rng: np.random.Generator) -> tuple[int, int, bytes]:
    """Tag, type and value: half of the tags are such as other software looks at."""
    known = [0x11A, 0x201, 0x202, 0x106, 0x9000, 0x8769, 0x8825, 0xA005, 0x927C, 0x501B]
    tag = int(rng.choice(known)) if rng.random() < 0.5 else int(rng.integers(0x113, 0xFFFF))
    return tag, int(rng.integers(0, 14)), rng.bytes(int(rng.integers(1, 30)))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow on damaged tags
@pytest.mark.parametrize(
    ("kind", "options"), [("JPEG", {}), ("PNG", {}), ("WEBP", {"lossless": True})]
)
def test_no_tag_but_the_orientation_matters(
    tmp_path: Path, kind: str, options: dict[str, object]
) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "a").write_bytes(encoded(RGB, kind, **options))
    turned = read_image(tmp_path / "a", name="a").transpose(Image.Transpose.ROTATE_270)
    for _ in range(300):
        (tmp_path / "a").write_bytes(encoded(RGB, kind, exif=_exif(*_random_tag(rng)), **options))
        assert read_image(tmp_path / "a", name="a").tobytes() == turned.tobytes()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_no_tag_of_a_tiff_but_the_orientation_matters(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = bytes(range(16))
    turned = np.rot90(np.frombuffer(pixels, dtype=np.uint8).reshape(4, 4), -1)
    for _ in range(300):
        tag, kind, value = _random_tag(rng)
        if tag == 0x106:
            continue  # says how a TIFF's values are meant
        more = {274: (3, 6), tag: (kind, int.from_bytes(value[:4], "little"))}
        (tmp_path / "a.tif").write_bytes(tiff(pixels, more=more))
        np.testing.assert_array_equal(
            np.asarray(read_image(tmp_path / "a.tif", name="a"))[..., 0], turned
        )


@pytest.mark.parametrize(
    ("turn", "size"),
    [(0, (30, 20)), (1, (30, 20)), (3, (30, 20)), (8, (20, 30)), (9, (30, 20)), (65_535, (30, 20))],
)
def test_an_orientation_that_makes_no_sense_turns_nothing(
    tmp_path: Path, turn: int, size: tuple[int, int]
) -> None:
    (tmp_path / "a.jpg").write_bytes(encoded(RGB, "JPEG", exif=_exif(0x11A, 2, b"72\0", turn=turn)))
    assert read_image(tmp_path / "a.jpg", name="a").size == size


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_several_frames_the_first_is_taken_and_that_is_known(tmp_path: Path, kind: str) -> None:
    whole = encoded(RGB, kind)
    frames = encoded(
        RGB, kind, save_all=True, append_images=[RGB.transpose(Image.Transpose.ROTATE_180)]
    )
    (tmp_path / "one").write_bytes(whole)
    (tmp_path / "two").write_bytes(frames)
    assert not look_at(tmp_path / "one", name="a").has_more_frames
    assert look_at(tmp_path / "two", name="a").has_more_frames
    one, two = (
        np.asarray(read_image(tmp_path / name, name="a")).astype(int) for name in ("one", "two")
    )
    assert (
        one.shape == two.shape and np.abs(one - two).mean() < 12
    )  # WebP and GIF choose other colours
