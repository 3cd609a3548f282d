"""Read one encoded image: RGB, upright, whole, and of a sane size. Every refusal names it."""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, ImageFile, PngImagePlugin, TiffImagePlugin, UnidentifiedImageError

from ablate.data.encoded import Encoded, digest_of, opened
from ablate.data.first_bytes import FORMAT_NAMES, check_is_image, read_head
from ablate.data.pixels import forget_other_tags, is_deep, upright_rgb, upright_size
from ablate.data.whole import check_rows, check_tiles
from ablate.errors import DataError, escaped

# What Pillow may try; its other readers include one that runs Ghostscript.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
)
"""File names that are taken for images, in lower case."""
MAX_PIXELS = 60_000_000
"""Larger images are refused before they are decoded: a small file can claim any size."""
MAX_SIDE = 65_535
"""Longer ones are refused: a row costs memory however short it is. JPEG has the same bound."""
MAX_METADATA_BYTES = 16 * 2**20
"""Bound on a PNG's colour profile and on each of its texts; Pillow's own, 1 MB, is less than
editors write."""

# A global of Pillow, and set here so that it holds before any image is opened.
PngImagePlugin.MAX_TEXT_CHUNK = MAX_METADATA_BYTES
# Pillow warns of odd metadata; what matters is refused here
warnings.filterwarnings("ignore", module=r"PIL\.")
# Pillow has no exception of its own for either
_UNSUPPORTED = re.compile(r"unsupported|not (yet )?supported|not available", re.IGNORECASE)
_TOO_MUCH_METADATA = re.compile(r"MAX_TEXT_CHUNK|MAX_TEXT_MEMORY")


@dataclass(frozen=True, slots=True)
class Look:
    """What the header of an image file says."""

    is_deep: bool
    """16 or 32 bits per channel, whose range no file states."""
    has_more_frames: bool
    """An animation, or a file of several pages; the first is taken."""
    cut_share: float = 0.0
    """Share of the pixels, in [0, 1), that its middle square leaves out."""
    size: tuple[int, int] | None = None
    """Width and height in pixels, upright."""


def look_at(encoded: Encoded, *, name: str) -> Look:
    """Read the header of an image, and refuse what can be refused without its pixels.

    Raises DataError.
    """
    with _opened(encoded, name=name) as image:
        # Pillow calls a JPEG with a second picture (MPO) animated, too
        can_have_frames = image.format in ("GIF", "WEBP", "TIFF", "PNG")
        has_more_frames = can_have_frames and bool(getattr(image, "is_animated", False))
        # of the pixels: a middle square of the shorter side has min / max of them
        cut_share = 1 - min(image.size) / max(image.size)
        return Look(is_deep(image), has_more_frames, cut_share, upright_size(image))


def read_image(encoded: Encoded, *, name: str) -> Image.Image:
    """Decode an image as RGB, turned upright by its EXIF tag, transparency over white.

    `name` is how errors call it. Of several frames or pages the first is taken. Raises DataError,
    and nothing else, where the file is missing, no image, damaged, cut off, of another format, or
    above MAX_PIXELS or MAX_SIDE, and where the range of its values is not known.
    """
    # The budget is held from before the decoder takes memory until RGB is all that is left.
    with _opened(encoded, name=name) as image, _BUDGET.held(image.width * image.height):
        check_tiles(image)
        forget_other_tags(image)
        image.load()
        check_rows(image, encoded)
        return upright_rgb(image, name=escaped(name))


def digest_of_image(encoded: Encoded, *, name: str) -> str:
    """Return the sha256 of an image's bytes, undecoded, 64 hex digits.

    Raises DataError where it cannot be read or holds no image.
    """
    with _one_images_errors(encoded, escaped(name)):
        # Before it is hashed: an error page under an image's name would have a digest as well.
        check_is_image(read_head(encoded, name=escaped(name)), name=escaped(name))
        return digest_of(encoded)


@contextmanager
def _opened(encoded: Encoded, *, name: str) -> Iterator[ImageFile.ImageFile]:
    """An image of a sane size, not decoded yet.

    Whatever is raised while it is used is this image's DataError.
    """
    with _one_images_errors(encoded, escaped(name)):
        check_is_image(read_head(encoded, name=escaped(name)), name=escaped(name))
        # A path as it is: Pillow maps uncompressed files into memory where it knows their name.
        file = BytesIO(encoded) if isinstance(encoded, bytes) else encoded
        with Image.open(file, formats=FORMATS) as image:
            _check_size(image, name=escaped(name))
            yield image


def _check_size(image: Image.Image, *, name: str) -> None:
    size = f"{image.width} x {image.height}"
    if image.width * image.height > MAX_PIXELS:
        raise DataError(
            f"an image must have at most {MAX_PIXELS} pixels, got {size}: {name}; scale it down."
        )
    if max(image.size) > MAX_SIDE:
        raise DataError(
            f"an image must have at most {MAX_SIDE} pixels per side, got {size}: {name}; "
            "cut or scale it."
        )


@contextmanager
def _one_images_errors(encoded: Encoded, name: str) -> Iterator[None]:
    """Whatever a decoder raises on one image becomes that image's DataError.

    No list of exceptions is complete.
    """
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(
            f"an image must exist, this one does not: {name}; "
            "correct its name or leave it out of the index."
        ) from None
    except Exception as error:
        raise DataError(_why(error, encoded, name=name)) from error


def _why(error: Exception, encoded: Encoded, *, name: str) -> str:
    """Say damaged of nothing but damage.

    Not of a limit, of memory, of rights, or of an unsupported kind.
    """
    limit = _limit_text(error, name)
    if limit is not None:
        return limit
    kind = None
    if isinstance(error, UnidentifiedImageError):
        kind = _unusual_tiff(encoded)
    if kind is None and _UNSUPPORTED.search(str(error)):
        kind = f"one of a kind that Pillow does not read ({error})"
    if kind is not None:
        return (
            f"an image must be a usual {FORMAT_NAMES} file, got {kind}: {name}; "
            "save it as PNG or JPEG."
        )
    # What is left is damage: decoders have no exception of their own for it either.
    return (
        f"an image must be a whole {FORMAT_NAMES} file, got a damaged one: {name}; "
        "replace or remove it."
    )


def _limit_text(error: Exception, name: str) -> str | None:
    """The message where a sound file goes over a limit, of ours or of the machine, else None."""
    if isinstance(error, Image.DecompressionBombError):
        # Pillow refused first: the number stands in its sentence alone
        n_pixels = next(iter(re.findall(r"\d+", str(error))), "many times more")
        return (
            f"an image must have at most {MAX_PIXELS} pixels, got {n_pixels}: {name}; "
            "scale it down."
        )
    if isinstance(error, MemoryError):
        return (
            f"an image must fit in memory, this one does not: {name}; "
            "scale it down, or free memory."
        )
    # Decoders raise OSError without a number for damage; the system's have one.
    if isinstance(error, OSError) and error.errno is not None:
        return (
            f"an image must be a file that can be read, this one cannot: {name} ({error.strerror})."
        )
    if _TOO_MUCH_METADATA.search(str(error)):
        return (
            f"an image must have at most {MAX_METADATA_BYTES // 2**20} MB of metadata in one "
            f"piece, got more: {name}; strip them, e.g. with `exiftool -all= FILE`."
        )
    return None


_WIDTH = 256
_HEIGHT = 257
_BITS_PER_SAMPLE = 258
_COMPRESSION = 259
_SAMPLE_FORMAT = 339
"""Numbers of a TIFF's tags."""


def _unusual_tiff(encoded: Encoded) -> str | None:
    """What a TIFF file holds that Pillow does not know, or None where it is no sound TIFF."""
    try:
        directory = _first_directory(encoded)
        # a KeyError where it states no size
        directory[_WIDTH], directory[_HEIGHT]
        # Tags that are left out have the standard's defaults: 1 bit, unsigned, uncompressed.
        bits = directory.get(_BITS_PER_SAMPLE, (1,))
        sample_format = directory.get(_SAMPLE_FORMAT, (1,))[0]
        kind = {1: "integer", 2: "integer", 3: "float"}.get(sample_format, "other")
        compression = directory.get(_COMPRESSION, 1)
    except Exception:  # a damaged one
        return None
    return (
        f"a TIFF of {len(bits)} channels of {bits[0]}-bit {kind} values, compression {compression}"
    )


def _first_directory(encoded: Encoded) -> TiffImagePlugin.ImageFileDirectory_v2:
    """The tags of a TIFF's first page."""
    with opened(encoded) as file:
        head = file.read(8)
        # BigTIFF has a longer header
        if head[2:4] in (b"+\0", b"\0+"):
            head += file.read(8)
        directory = TiffImagePlugin.ImageFileDirectory_v2(head)
        # the header says where the first page's tags begin
        file.seek(directory.next)
        directory.load(file)
    return directory


class _PixelBudget:
    """How many pixels may be decoded at once, by all threads.

    Eight of the largest images would take several GB.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._changed = threading.Condition()

    @contextmanager
    def held(self, n_pixels: int) -> Iterator[None]:
        """Wait until so many more fit, and hold them.

        Whatever is larger than the budget runs alone.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._held == 0 or self._held + n_pixels <= self._most)
            self._held += n_pixels
        try:
            yield
        finally:
            with self._changed:
                self._held -= n_pixels
                # all: of those that wait, several small ones may fit where one large one was
                self._changed.notify_all()


# Two of the largest images, which are 360 MB of RGB, or many usual ones.
_BUDGET = _PixelBudget(2 * MAX_PIXELS)
