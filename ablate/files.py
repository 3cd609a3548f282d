"""Small files that appear whole or not at all and notice their own damage, and paths that stay where they belong."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

SEAL = "seal"
"""Field of a sealed object: the digest of its other fields."""


def write_text(path: Path, text: str) -> None:
    """Write a small file whole or not at all, making its folder; processes that write it at once leave one text, not a mixture. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        half.write_text(text, encoding="utf-8", errors="backslashreplace")  # names of files need not be UTF-8
        half.replace(path)
    except OSError:
        half.unlink(missing_ok=True)
        raise


def inside(root: Path, relative: str) -> Path | None:
    """Return `root / relative`, resolved; None where that lies outside `root`, through "..", a root of its own or a link."""
    base = _resolved(root.absolute())
    path = (base / relative).resolve()
    return path if path.is_relative_to(base) else None


@lru_cache(maxsize=8)
def _resolved(root: Path) -> Path:
    """Once for all files below a folder."""
    return root.resolve()


def sealed_json(values: Mapping[str, Any]) -> str:
    """Return an object as JSON with the digest of its other fields as one more, `seal`."""
    plain = json.loads(json.dumps(values))
    return json.dumps({**plain, SEAL: _digest(plain)})


def unsealed(text: str | bytes, *, fields: Collection[str]) -> dict[str, Any]:
    """Read what `sealed_json` wrote. Raises ValueError where it is damaged, no object, or has other fields than `fields`.

    A file without a seal is one of an earlier version; whoever reads it must check its values.
    """
    try:
        values = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(values, dict):
        raise ValueError("it holds no object")
    seal = values.pop(SEAL, None)
    foreign = sorted(set(values) - set(fields))
    if foreign:
        raise ValueError(f"it has unknown fields: {', '.join(foreign)}")
    if seal is not None and seal != _digest(values):
        raise ValueError("its seal does not match")
    return values


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:32]
