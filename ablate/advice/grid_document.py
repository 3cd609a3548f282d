"""An advice as the content of a grid file."""

from __future__ import annotations

from collections.abc import Mapping

from ablate.advice.recommendation import Advice


def grid_document(advice: Advice, data: Mapping[str, object]) -> dict[str, object]:
    """What a grid file would hold. `data` says where images are and how they are split.

    What an axis varies is left out of `base`.
    """
    axes = advice.below("axes")
    base = {}
    for name, value in advice.below("base").items():
        if name not in axes:
            base[name] = value
    return {
        "task": advice.value("task"),
        "data": {**data, **advice.below("data")},
        "base": base,
        "axes": axes,
        "seeds": advice.value("seeds"),
        "baseline": advice.value("baseline"),
        "select_by": advice.value("select_by"),
    }
