"""How the columns of a table of images are called, where they are not called as usual."""

from __future__ import annotations

from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)


class TableColumns(BaseModel):
    """What a column holds -> its name. Null: the usual name."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    image: str | None = Field(None, min_length=1)
    label: str | None = Field(None, min_length=1)
    class_name: str | None = Field(None, min_length=1)
    split: str | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _check_once(self) -> TableColumns:
        seen: set[str] = set()
        for name in self.model_dump().values():
            if name in seen:
                raise ValueError(f"a mapping that names each column once, {name!r} stands twice")
            seen.add(name)
        return self

    @model_serializer(mode="wrap")
    def _as_given(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what is null: a column that can be named later must not change an id."""
        values: dict[str, Any] = handler(self)
        return {role: name for role, name in values.items() if name is not None}
