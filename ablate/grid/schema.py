"""The JSON Schema of grid files, for editors: completion and red lines while one types."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from ablate.grid.grid_file import Grid
from ablate.recipe.recipe import Recipe


def grid_schema() -> dict[str, Any]:
    """Return the schema; each axis takes a list of values of its field of `base`, and in a search a range or levels with a condition."""
    schema = Grid.model_json_schema()
    fields = Recipe.model_json_schema()["properties"]
    schema["title"] = "ablate grid file"
    schema["properties"]["axes"] = {
        "type": "object",
        "description": "field of base -> its levels",
        "minProperties": 1,
        "additionalProperties": False,
        "properties": {
            name: {"anyOf": [_levels(field), {"$ref": "#/$defs/Range"}, {"$ref": "#/$defs/Choice"}]}
            for name, field in fields.items()
        },
    }
    schema["properties"]["tune"] |= {
        "additionalProperties": False,
        "properties": {name: _levels(field) for name, field in fields.items()},
    }
    return schema


def _levels(field: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "items": field}


def grid_schema_text() -> str:
    """The schema as it is kept in `experiments/grid.schema.json`."""
    return json.dumps(grid_schema(), indent=2, sort_keys=True) + "\n"


def field_table(model: type[BaseModel]) -> str:
    """The fields of a model as a Markdown table; `docs/grid-files.md` holds those of `DataSpec` and `Recipe`."""
    rows = ["| field | takes | default | meaning |", "|---|---|---|---|"]
    for name, schema in model.model_json_schema()["properties"].items():
        field = model.model_fields[name]
        default = (
            "required"
            if field.is_required()
            else f"`{'null' if field.default is None else field.default}`"
        )
        takes = ", ".join(word for one in schema.get("anyOf", [schema]) for word in _takes(one))
        meaning = (field.description or "").replace("|", "\\|")
        rows.append(f"| `{name}` | {takes} | {default} | {meaning} |")
    return "\n".join(rows) + "\n"


def _takes(schema: dict[str, Any]) -> list[str]:
    if "$ref" in schema:
        return ["{train: ..., val: ..., test: ...}"]
    if "enum" in schema or "const" in schema:
        return [f"`{word}`" for word in schema.get("enum", [schema.get("const")])]
    if schema.get("type") == "null":
        return ["`null`"]
    if schema["type"] == "object":
        return ["mapping"]
    kind = {"integer": "int", "number": "number", "string": "text", "array": "list"}[schema["type"]]
    limits = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    return [
        " ".join(
            [
                kind,
                *(f"{sign} {_bound(schema[key])}" for key, sign in limits.items() if key in schema),
            ]
        )
    ]


def _bound(limit: float) -> str:
    """`1`, `0.5` or `1,000,000`."""
    return f"{limit:,}" if limit == int(limit) and abs(limit) >= 10_000 else f"{limit:g}"
