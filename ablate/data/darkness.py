"""Are the pictures dark because their range was taken for a wider one?

No single file can tell: a set of them can.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ablate.errors import DataError

BRIGHT = 128
"""A set none of whose pixels is as bright as this, of 0 to 255, is worth a warning."""
_LOST = 16
"""Deep images none of whose pixels is as bright as this have lost all but 4 of their bits: 12 bits
were kept in 16."""
# Enough that a set of photographs has a bright one among them.
N_PEEKED = 16


def brightest_of(images: Iterable[NDArray[np.uint8]]) -> int | None:
    """Return the brightest level of some images, uint8 of any shape.

    None where one is as bright as BRIGHT, as nearly always. The search ends with the first such
    image, so that it costs nothing for an ordinary set.
    """
    level = _brightest(images, enough=BRIGHT)
    return None if level is None or level >= BRIGHT else level


def peek_brightest(reads: Sequence[Callable[[], Image.Image]]) -> int | None:
    """`brightest_of` N_PEEKED images, evenly chosen: what can be said before all are decoded."""
    # fewer images than N_PEEKED are chosen once each
    chosen: dict[int, Callable[[], Image.Image]] = {}
    for i in range(N_PEEKED):
        position = i * len(reads) // N_PEEKED
        chosen[position] = reads[position]
    return brightest_of(_decoded(chosen.values()))


def check_depth(deep: Sequence[Callable[[], Image.Image]]) -> None:
    """Refuse images of 16 or 32 bits per channel of which none uses more than 12 bits.

    Their values are divided by 256. A dark image may stand among bright ones: then the range is
    known. Decodes one image where they are sound. Raises DataError.
    """
    # After the division by 256: 12 bits in 16 reach 15 at most.
    level = _brightest(_decoded(deep), enough=_LOST)
    if level is not None and level < _LOST:
        raise DataError(
            f"images of 16 bits must use their range, 0 to 65535; none of the {len(deep)} here has "
            f"a value above {256 * _LOST - 1}, "
            "as where 12 bits are kept in 16, and all would be trained as black; "
            "scale them, all by the same factor, and save them with 8 bits."
        )


def _brightest(images: Iterable[NDArray[np.uint8]], *, enough: int) -> int | None:
    """The brightest level up to the first image that has `enough`; None where there is no image."""
    level: int | None = None
    for image in images:
        level = max(level or 0, int(image.max(initial=0)))
        if level >= enough:
            break
    return level


def _decoded(reads: Iterable[Callable[[], Image.Image]]) -> Iterable[NDArray[np.uint8]]:
    for read in reads:
        with suppress(DataError):  # damaged images are all named later
            yield np.asarray(read())
