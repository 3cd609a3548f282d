"""Modules whose attributes no type checker knows: torch declares all as tensors or modules."""

from __future__ import annotations

from typing import Any, cast

from torch import nn


def untyped(module: nn.Module, name: str = "") -> Any:
    """Return a module, or the one below it that is called `name`."""
    return cast(Any, module.get_submodule(name))
