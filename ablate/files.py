"""Small files that appear whole or not at all, and paths that stay where they belong."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path


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
