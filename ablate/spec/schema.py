"""The JSON Schema of grid files, for editors: completion and red lines while one types."""

from __future__ import annotations

import json
from typing import Any

from ablate.spec.grid import Grid
from ablate.spec.recipe import Recipe


def grid_schema() -> dict[str, Any]:
    """Return the schema; each axis takes a list of values of its field of `base`."""
    schema = Grid.model_json_schema()
    fields = Recipe.model_json_schema()["properties"]
    schema["title"] = "ablate grid file"
    schema["properties"]["axes"] = {
        "type": "object",
        "description": "field of base -> its levels",
        "minProperties": 1,
        "additionalProperties": False,
        "properties": {name: {"type": "array", "minItems": 1, "items": field} for name, field in fields.items()},
    }
    return schema


def grid_schema_text() -> str:
    """The schema as it is kept in `experiments/grid.schema.json`."""
    return json.dumps(grid_schema(), indent=2, sort_keys=True) + "\n"
