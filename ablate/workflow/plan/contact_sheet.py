"""A contact sheet: a row an image, groups of columns with a name above, every pixel of a tile as it is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ablate.errors import StoreError

BACKGROUND = (222, 222, 222)
"""Lighter than the grey of erased patches and of what moved images leave bare."""
INK, PALE = (24, 24, 24), (96, 96, 96)
MARGIN, GAP, GROUP_GAP, LABEL_GAP = 18, 4, 18, 12
NAME_PX, CAPTION_PX = 15, 12
NAME_LINE, CAPTION_LINE = 19, 16
MAX_LABEL = 180
"""Pixels that the name of a row may take; a longer one is cut."""


@dataclass(frozen=True)
class Group:
    """The columns of one policy."""

    name: str
    """Stands above them, a line a word."""
    captions: tuple[str, ...]
    """One a column."""
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
    """Return where the tiles of a sheet stand: columns as wide as tiles and captions need, groups as their names need."""
    name_font, caption_font = _font(NAME_PX), _font(CAPTION_PX)
    n_rows, _, side, _, _ = sheet.groups[0].tiles.shape
    left, lefts = (
        MARGIN + min(MAX_LABEL, max(_width(name, name_font) for name in sheet.rows)) + LABEL_GAP,
        [],
    )
    for group in sheet.groups:
        pitch = max(side, *(_width(caption, caption_font) for caption in group.captions)) + GAP
        lefts.append(tuple(left + pitch * column for column in range(len(group.captions))))
        left += (
            max(
                pitch * len(group.captions) - GAP,
                *(_width(word, name_font) for word in group.name.split()),
            )
            + GROUP_GAP
        )
    top = MARGIN + NAME_LINE + GROUP_GAP + NAME_LINE * _n_name_lines(sheet) + CAPTION_LINE
    tops = tuple(top + (side + GAP) * row for row in range(n_rows))
    width = max(left - GROUP_GAP, MARGIN + _width(sheet.title, caption_font)) + MARGIN
    return Layout((width, tops[-1] + side + MARGIN), tuple(lefts), tops)


def draw_sheet(sheet: Sheet) -> Image.Image:
    """Draw title, names, captions and tiles on grey."""
    places, name_font, caption_font = layout(sheet), _font(NAME_PX), _font(CAPTION_PX)
    picture = Image.new("RGB", places.size, BACKGROUND)
    pen = ImageDraw.Draw(picture)
    pen.text((MARGIN, MARGIN), sheet.title, fill=PALE, font=caption_font)
    for group, lefts in zip(sheet.groups, places.lefts, strict=True):
        words = group.name.split()
        for line, word in enumerate(words):
            pen.text(
                (lefts[0], places.tops[0] - CAPTION_LINE - NAME_LINE * (len(words) - line)),
                word,
                fill=INK,
                font=name_font,
            )
        for column, (left, caption) in enumerate(zip(lefts, group.captions, strict=True)):
            pen.text((left, places.tops[0] - CAPTION_LINE), caption, fill=PALE, font=caption_font)
            for row, top in enumerate(places.tops):
                picture.paste(Image.fromarray(group.tiles[row, column]), (left, top))
    side = sheet.groups[0].tiles.shape[2]
    for name, top in zip(sheet.rows, places.tops, strict=True):
        pen.text(
            (places.lefts[0][0] - LABEL_GAP, top + side // 2),
            _cut(name, name_font),
            fill=INK,
            font=name_font,
            anchor="rm",
        )
    return picture


def write_sheet(sheet: Sheet, path: Path) -> None:
    """Draw a sheet into a PNG file, whole or not at all. Raises StoreError where it cannot be written."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draw_sheet(sheet).save(partial, format="PNG")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StoreError(
            f"{path}: must be a file that can be written, got {error.strerror or error}; choose another one with --out"
        ) from None


def _n_name_lines(sheet: Sheet) -> int:
    return max(len(group.name.split()) for group in sheet.groups)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _width(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> int:
    return int(np.ceil(font.getlength(text)))


def _cut(name: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The name, shortened until it fits."""
    n_kept = len(name)
    while (
        n_kept and _width(name[:n_kept] + ("..." if n_kept < len(name) else ""), font) > MAX_LABEL
    ):
        n_kept -= 1
    return name if n_kept == len(name) else name[:n_kept] + "..."
