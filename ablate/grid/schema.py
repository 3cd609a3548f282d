"""The JSON Schema of grid files, for editors: completion and error marks while typing."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from ablate.grid.grid_file import Grid
from ablate.recipe.recipe import Recipe

# JSON Schema's word -> ours, for the table of fields in the docs.
_TYPE_WORDS = {"integer": "int", "number": "number", "string": "text", "array": "list"}
_TWO = {"minItems": 2, "maxItems": 2}
_LIMIT_SIGNS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def grid_schema() -> dict[str, Any]:
    """Return the schema.

    Each axis takes a list of values of its field of `base`, and in a search a range, or levels
    with a condition.
    """
    schema = Grid.model_json_schema()
    fields = Recipe.model_json_schema()["properties"]
    schema["title"] = "ablate grid file"
    for name, field in Grid.model_fields.items():
        if field.exclude:  # known from elsewhere: an editor must not offer what the parser refuses
            del schema["properties"][name]
    axes: dict[str, Any] = {}
    tuned: dict[str, Any] = {}
    for name, field in fields.items():
        axes[name] = _axis(field)
        tuned[name] = _levels(field)
    # Pydantic knows axes and tune as mappings of anything: which names and values they take
    # depends on the recipe's fields.
    schema["properties"]["axes"] = {
        "type": "object",
        "description": "field of base -> its levels",
        "minProperties": 1,
        "additionalProperties": False,
        "properties": axes,
    }
    schema["properties"]["tune"] |= {"additionalProperties": False, "properties": tuned}
    schema["properties"]["ask"]["additionalProperties"] = _sides(fields)
    return schema


def _sides(fields: dict[str, Any]) -> dict[str, Any]:
    """What a question takes: two levels of an axis, or two arms."""
    # A question's two forms: `{axis: [level, reference level]}` and `[{axis: level}, {axis:
    # level}]`.
    pairs = {name: _levels(field) | _TWO for name, field in fields.items()}
    of_levels = {"additionalProperties": False, "minProperties": 1, "maxProperties": 1}
    arm = {"type": "object", "additionalProperties": False, "properties": fields}
    return {
        "anyOf": [
            {"type": "object", "properties": pairs, **of_levels},
            {"type": "array", "items": arm, **_TWO},
        ]
    }


def _axis(field: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [_levels(field), {"$ref": "#/$defs/Range"}, {"$ref": "#/$defs/Choice"}]}


def _levels(field: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "items": field}


def grid_schema_text() -> str:
    """The schema as it is kept in `experiments/grid.schema.json`."""
    # Sorted: the file is committed, and must not change with pydantic's order of keys.
    return json.dumps(grid_schema(), indent=2, sort_keys=True) + "\n"


def field_table(model: type[BaseModel]) -> str:
    """The fields of a model as a Markdown table.

    `docs/grid-files.md` holds those of `DataSpec` and `Recipe`.
    """
    rows = ["| field | takes | default | meaning |", "|---|---|---|---|"]
    whole = model.model_json_schema()
    for name, schema in whole["properties"].items():
        takes: list[str] = []
        for branch in _branches(schema):
            takes += _takes(branch, whole.get("$defs", {}))
        # A bar would end the cell of a Markdown table.
        meaning = (model.model_fields[name].description or "").replace("|", "\\|")
        rows.append(f"| `{name}` | {', '.join(takes)} | {_default(model, name)} | {meaning} |")
    return "\n".join(rows) + "\n"


def _branches(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The branches of a union, and of the unions in it."""
    if "anyOf" not in schema:
        return [schema]
    branches: list[dict[str, Any]] = []
    for branch in schema["anyOf"]:
        branches += _branches(branch)
    return branches


def _default(model: type[BaseModel], name: str) -> str:
    field = model.model_fields[name]
    if field.is_required():
        return "required"
    if field.default is None:
        return "`null`"  # as YAML writes it
    return f"`{field.default}`"


def _takes(schema: dict[str, Any], definitions: dict[str, Any]) -> list[str]:
    """What one branch of a field's schema takes, in words."""
    if "$ref" in schema:
        inner = definitions[schema["$ref"].rpartition("/")[2]]["properties"]
        return [f"{{{', '.join(f'{name}: ...' for name in inner)}}}"]
    if "enum" in schema or "const" in schema:
        words = schema.get("enum", [schema.get("const")])
        return [f"`{word}`" for word in words]
    if schema.get("type") == "null":
        return ["`null`"]
    if schema["type"] == "object":
        return ["mapping"]
    words = [_TYPE_WORDS[schema["type"]]]
    for key, sign in _LIMIT_SIGNS.items():
        if key in schema:
            words.append(f"{sign} {_bound(schema[key])}")
    return [" ".join(words)]


def _bound(limit: float) -> str:
    """`1`, `0.5` or `1,000,000`."""
    # `g` would write 1e+06.
    is_long = limit == int(limit) and abs(limit) >= 10_000
    if is_long:
        return f"{limit:,}"
    return f"{limit:g}"
