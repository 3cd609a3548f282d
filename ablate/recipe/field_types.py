"""Types of the recipe's fields that more than one field, or another module, has."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from ablate.recipe.phase import Phase

AdapterKind = Literal[
    "none",
    "lora",
    "dora",
    "ia3",
    "ssf",
    "bottleneck",
    "adaptformer",
    "vpt",
    "bitfit",
    "norm_tuning",
]
Level = str | int | float | bool | None | tuple[str, ...] | tuple[Phase, ...]
"""One value of an axis."""
# Above 0: a class of no weight would be one that the loss does not see.
Weight = Annotated[float, Field(gt=0, strict=True)]
# Bounds far above any use and below 64 bits: a larger number would fail deep inside torch.
Images = Annotated[int, Field(ge=1, le=1_000_000_000, strict=True)]
MAX_PHASES = 200
"""More than any network has units to thaw."""
Width = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]


def pairs(value: Any) -> Any:
    """A mapping as pairs, which can be hashed; anything else as it is."""
    if isinstance(value, dict):
        return tuple(value.items())
    return value


# Tuples, as a recipe must be hashable and frozen.
WeightsInOrder = Annotated[tuple[Weight, ...], Field(min_length=1)]
WeightsByClass = Annotated[
    tuple[tuple[str, Weight], ...],
    Field(min_length=1),
    BeforeValidator(pairs),
    # As a grid file holds it: pydantic would describe the pairs, and editors refuse the mapping.
    WithJsonSchema(
        {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {"type": "number", "exclusiveMinimum": 0},
        }
    ),
]
