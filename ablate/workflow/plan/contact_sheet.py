"""A contact sheet: one row per image, groups of columns with a name above.

Every pixel of a tile is as it is: nothing is resized or recompressed on the way.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ablate.errors import StoreError

# Colours as (red, green, blue), 0 to 255.
BACKGROUND = (222, 222, 222)
"""Lighter than the grey of erased patches and of what moved images leave bare."""
INK = (24, 24, 24)
PALE = (96, 96, 96)
# All lengths are in pixels.
MARGIN = 18
GAP = 4
GROUP_GAP = 18
LABEL_GAP = 12
NAME_PX = 15
CAPTION_PX = 12
NAME_LINE = 19
CAPTION_LINE = 16
MAX_LABEL = 180
"""What the name of a row may take; a longer one is cut."""

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Group:
    """The columns of one policy."""

    name: str
    """Stands above them, one word per line."""
    captions: tuple[str, ...]
    """One per column."""
    tiles: NDArray[np.uint8]
    """(rows, columns, side, side, 3)."""


@dataclass(frozen=True)
class Sheet:
    """What is drawn: at least one group, all with tiles of one side."""

    title: str
    rows: tuple[str, ...]
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything is, in pixels from the left and the top."""

    size: tuple[int, int]
    lefts: tuple[tuple[int, ...], ...]
    """Of the tiles of each group's columns."""
    tops: tuple[int, ...]
    """Of the tiles of each row."""


def layout(sheet: Sheet) -> Layout:
    """Return where the tiles of a sheet stand.

    Columns are as wide as tiles and captions need, groups as their names need.
    """
    name_font = _font(NAME_PX)
    caption_font = _font(CAPTION_PX)
    n_rows, _, side, _, _ = sheet.groups[0].tiles.shape
    widest_label = max(_width(name, name_font) for name in sheet.rows)
    # From left to right: the names of the rows, then one group after the other.
    left = MARGIN + min(MAX_LABEL, widest_label) + LABEL_GAP
    lefts = []
    for group in sheet.groups:
        n_columns = len(group.captions)
        caption_widths = [_width(caption, caption_font) for caption in group.captions]
        # From one column to the next.
        pitch = GAP + max(side, *caption_widths)
        lefts.append(tuple(range(left, left + pitch * n_columns, pitch)))
        word_widths = [_width(word, name_font) for word in group.name.split()]
        left += max(pitch * n_columns - GAP, *word_widths) + GROUP_GAP
    # From the top: the title, the names of the groups, the captions, then the tiles.
    n_name_lines = max(len(group.name.split()) for group in sheet.groups)
    top = MARGIN + NAME_LINE + GROUP_GAP + NAME_LINE * n_name_lines + CAPTION_LINE
    tops = tuple(range(top, top + (side + GAP) * n_rows, side + GAP))
    # A title may be wider than all tiles together.
    width = max(left - GROUP_GAP, MARGIN + _width(sheet.title, caption_font)) + MARGIN
    height = tops[-1] + side + MARGIN
    return Layout((width, height), tuple(lefts), tops)


def draw_sheet(sheet: Sheet) -> Image.Image:
    """Draw title, names, captions and tiles on grey."""
    places = layout(sheet)
    # Laid out first, then drawn: the picture's size follows from all of its texts.
    picture = Image.new("RGB", places.size, BACKGROUND)
    pen = ImageDraw.Draw(picture)
    pen.text((MARGIN, MARGIN), sheet.title, fill=PALE, font=_font(CAPTION_PX))
    for group, lefts in zip(sheet.groups, places.lefts, strict=True):
        _draw_headings(pen, group, lefts, top=places.tops[0])
        for column, left in enumerate(lefts):
            for row, top in enumerate(places.tops):
                picture.paste(Image.fromarray(group.tiles[row, column]), (left, top))
    _draw_labels(pen, sheet, places)
    return picture


def _draw_headings(
    pen: ImageDraw.ImageDraw, group: Group, lefts: tuple[int, ...], *, top: int
) -> None:
    """The name of a group and the captions of its columns, upwards from the first tiles' `top`."""
    name_font = _font(NAME_PX)
    caption_font = _font(CAPTION_PX)
    caption_top = top - CAPTION_LINE
    # Names of one line stand as close to their captions as the last line of longer ones.
    for line, word in enumerate(reversed(group.name.split()), start=1):
        pen.text((lefts[0], caption_top - NAME_LINE * line), word, fill=INK, font=name_font)
    for left, caption in zip(lefts, group.captions, strict=True):
        pen.text((left, caption_top), caption, fill=PALE, font=caption_font)


def _draw_labels(pen: ImageDraw.ImageDraw, sheet: Sheet, places: Layout) -> None:
    """The name of each row, left of its first tile and ending there."""
    font = _font(NAME_PX)
    side = sheet.groups[0].tiles.shape[2]
    right = places.lefts[0][0] - LABEL_GAP
    for name, top in zip(sheet.rows, places.tops, strict=True):
        # "rm": the right end of the text, and the middle of its line, are at that point
        pen.text((right, top + side // 2), _cut(name, font), fill=INK, font=font, anchor="rm")


def write_sheet(sheet: Sheet, path: Path) -> None:
    """Draw a sheet into a PNG file, whole or not at all.

    Raises StoreError where it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draw_sheet(sheet).save(partial, format="PNG")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StoreError(
            f"{path}: must be a file that can be written, got {error.strerror or error}; "
            "choose another one with --out"
        ) from None


def _font(size: int) -> Font:
    # Pillow's own font: the same pixels on every machine, whatever fonts it has.
    return ImageFont.load_default(size)


def _width(text: str, font: Font) -> int:
    return math.ceil(font.getlength(text))


def _cut(name: str, font: Font) -> str:
    """The name, shortened until it fits."""
    if _width(name, font) <= MAX_LABEL:
        return name
    # From its end, one letter at a time: letters differ in width, and names are short.
    n_kept = len(name) - 1
    while n_kept and _width(f"{name[:n_kept]}...", font) > MAX_LABEL:
        n_kept -= 1
    return f"{name[:n_kept]}..."
