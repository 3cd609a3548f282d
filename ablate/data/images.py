"""Read one image file: RGB, upright, whole, and of a sane size. Every refusal names the file."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ablate.errors import DataError

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})
"""File names that are taken for images, in lower case."""
MAX_PIXELS = 60_000_000
"""Larger images are refused before they are decoded: a small file can claim any size."""


def read_image(path: Path, *, name: str) -> Image.Image:
    """Decode an image file as RGB, turned upright by its EXIF tag, transparency over white. `name` is how errors call it.

    Raises DataError where the file is missing, damaged, of another format, or above MAX_PIXELS.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(f"an image must have at most {MAX_PIXELS} pixels, got {image.width} x {image.height}: {name}; scale it down.")
            image.load()
            return _as_rgb(ImageOps.exif_transpose(image))
    except FileNotFoundError:
        raise DataError(f"an image must exist, this one does not: {name}; correct its name or leave it out of the index.") from None
    except Image.DecompressionBombError:
        raise DataError(f"an image must have at most {MAX_PIXELS} pixels, got many times more: {name}; scale it down.") from None
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, IndexError, KeyError, NotImplementedError, OverflowError) as error:
        raise DataError(f"an image must be a whole JPEG, PNG, BMP, GIF, TIFF, WebP or PPM file, got a damaged one: {name}; replace or remove it.") from error


def digest_of_file(path: Path, *, name: str) -> str:
    """Return the sha256 of a file's bytes, 64 hex digits. Raises DataError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"an image must be a file that can be read, this one cannot: {name} ({error.strerror}).") from error


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode == "I":
        return Image.fromarray((np.asarray(image, dtype=np.int64).clip(0, 65535) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        over = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(over, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")
