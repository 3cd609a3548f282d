"""Rules on what networks see of an image: which part of it, and how many pixels."""

from __future__ import annotations

from ablate.advice.case import Case
from ablate.advice.rule import MIN_EPOCHS, Rule
from ablate.advice.sources import CONVENTION, GEOMETRY, KOLESNIKOV, TEXTILE, TOUVRON
from ablate.study.image_shapes import FEWEST_SEEN

_SQUARE = 1 / FEWEST_SEEN
"""An aspect up to which the middle square holds the share of pixels that `ablate plan` wants."""
_SIZES_FOR_SIGNS = (384, 320, 256)
_SMALL = 96
"""BiT's rule has 96 x 96 as the bound of a small image."""


def _has_alike_shapes(case: Case) -> bool:
    # Squashed by the same factor: what is distorted is distorted alike in train and test.
    return case.aspect_spread <= 1.5


def _needs_all(case: Case) -> bool:
    return case.facts.seeks_small_signs or case.usual_aspect > _SQUARE


def _largest_for_signs(case: Case) -> int:
    """The largest side at which the last unit can be trained in the time that there is."""
    for side in _SIZES_FOR_SIGNS:
        if case.can_afford(-1, epochs=MIN_EPOCHS, image_size=side):
            return side
    return 224


def _is_slow_at_224(case: Case) -> bool:
    return not case.can_afford(-1, epochs=MIN_EPOCHS, image_size=224)


IMAGE_RULES: tuple[Rule, ...] = (
    Rule(
        field="data.view",
        where="the middle square holds under 85 % of an image, or signs are small; "
        "shapes differ by at most 1.5",
        holds=lambda case: _needs_all(case) and _has_alike_shapes(case),
        value="squash",
        why="the whole image is seen, and all are distorted alike",
        source=GEOMETRY,
        shows=("aspect",),
        alternatives=("pad", "crop"),
    ),
    Rule(
        field="data.view",
        where="the same, and shapes differ by more",
        holds=_needs_all,
        value="pad",
        why="the whole image is seen, and nothing is distorted differently from image to image",
        source=GEOMETRY,
        shows=("aspect",),
        alternatives=("squash", "crop"),
    ),
    Rule(
        field="data.view",
        value="crop",
        why="images are about square, and the middle is what the backbone was trained on",
        source=TOUVRON,
        shows=("aspect",),
        alternatives=("squash",),
    ),
    Rule(
        field="data.image_size",
        where="signs are small",
        holds=lambda case: case.facts.seeks_small_signs,
        value="the largest of 384, 320, 256, 224 that time allows",
        finds=_largest_for_signs,
        why="a small sign needs pixels, and resolution was the largest lever on such images",
        source=f"{TOUVRON}; docs/advice.md: 13 points on the images of {TEXTILE}, known before",
        shows=("size", "budget"),
        alternatives=(320, 224),
    ),
    Rule(
        field="data.image_size",
        where="the shorter side is under 96 pixels",
        holds=lambda case: case.short_side < _SMALL,
        value=128,
        why="small images are enlarged, but hold too little for the full side",
        source=KOLESNIKOV,
        shows=("size",),
        alternatives=(160, 96),
    ),
    Rule(
        field="data.image_size",
        where="the last unit at 224 would take too long",
        holds=_is_slow_at_224,
        value=160,
        why="half the pixels, half the time: seeds say more than one run at full size",
        source=CONVENTION,
        shows=("train", "budget"),
        alternatives=(224, 128),
    ),
    Rule(
        field="data.image_size",
        value=224,
        why="the side that the backbone was trained at",
        source=TOUVRON,
        shows=("size",),
        alternatives=(320, 160),
    ),
    Rule(
        field="data.crop_share",
        where="the middle square of small images is seen",
        holds=lambda case: case.word("data.view") == "crop" and case.short_side < _SMALL,
        value=1.0,
        why="a small image is filled by its object, so nothing is cut off its border",
        source=GEOMETRY,
        shows=("size",),
    ),
)
"""Of a field's rules, the first that holds is taken."""
