"""Which part of an image a network sees: the middle of it, or all of it."""

from __future__ import annotations

from typing import Literal

View = Literal["crop", "squash", "pad"]
"""`crop`: the middle square. `squash`: the whole image, its longer side shortened to a square.
`pad`: the whole image with its shape kept, on a grey square."""
USUAL_VIEW: View = "crop"

_MEANINGS = {
    "crop": "",
    "squash": "whole images, squashed to a square",
    "pad": "whole images on a grey square",
}


def shown_size(image_size: object, view: View | None, crop_share: float | None) -> str:
    """`224`, `224 (whole images on a grey square)`, `224 (crop share 1)`."""
    meaning = _MEANINGS[view or USUAL_VIEW]
    if crop_share is not None:
        meaning = f"crop share {crop_share:g}"
    return f"{image_size} ({meaning})" if meaning else str(image_size)
