"""Text that must be one of a registry's words: pydantic's `Literal` where the words may grow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import PydanticKnownError, core_schema


@dataclass(frozen=True)
class OneOf:
    """Annotation of a text field, e.g. `Annotated[str, OneOf(task_names)]`.

    Errors and schema are those of a `Literal`.
    """

    words: Callable[[], tuple[str, ...]]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Called by pydantic when a model with such a field is made."""
        # Any type in, so that a wrong one is answered with the words instead of "must be a string".
        return core_schema.no_info_after_validator_function(self._checked, core_schema.any_schema())

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Called by pydantic when the schema of a grid file is written."""
        return {"enum": list(self.words()), "type": "string"}

    def _checked(self, value: Any) -> str:
        # Asked for now and not at import: a registry may have grown since.
        words = self.words()
        if isinstance(value, str) and value in words:
            return value
        raise PydanticKnownError("literal_error", {"expected": _listed(words)})


def _listed(words: tuple[str, ...]) -> str:
    """`'a', 'b' or 'c'`, as pydantic lists the words of a `Literal`."""
    quoted = list(map(repr, words))
    if len(quoted) == 1:
        return quoted[0]
    return f"{', '.join(quoted[:-1])} or {quoted[-1]}"
