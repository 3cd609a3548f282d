"""Small files that appear whole or not at all."""

from __future__ import annotations

import os
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
