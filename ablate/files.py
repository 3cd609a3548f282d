"""Small files that appear whole or not at all, and paths that stay where they belong.

Also: what is no regular file.
"""

from __future__ import annotations

import os
import stat
from functools import lru_cache
from pathlib import Path

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def home_folder() -> Path:
    """Return the folder of journals and caches: `$ABLATE_HOME`, else `.ablate` where one works."""
    # `or`, not a default: a variable that is set to nothing counts as unset.
    return Path(os.environ.get("ABLATE_HOME") or ".ablate").absolute()


def write_text(path: Path, text: str) -> None:
    """Write a small file whole or not at all, making its folder.

    Processes that write it at once leave one text, not a mixture. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder, since a rename is atomic within a file system alone.
    half = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        # Names of files need not be UTF-8.
        half.write_text(text, encoding="utf-8", errors="backslashreplace")
        half.replace(path)
    except OSError:
        half.unlink(missing_ok=True)
        raise


def irregular_kind(mode: int) -> str | None:
    """Return what an `st_mode` says of something that is no regular file, e.g. `a named pipe`.

    None for a regular file.
    """
    # Whoever asks must not open it: opening a named pipe waits for a writer, perhaps for ever.
    if stat.S_ISREG(mode):
        return None
    return _KINDS.get(stat.S_IFMT(mode), "something else")


def inside(root: Path, relative: str) -> Path | None:
    """Return `root / relative`, resolved.

    None where that lies outside `root`, through "..", a root of its own or a link.
    """
    # Resolved, so that a root that is itself reached through a link still contains its files.
    base = _resolved(root.absolute())
    path = (base / relative).resolve()
    if path.is_relative_to(base):
        return path
    return None


@lru_cache(maxsize=8)
def _resolved(root: Path) -> Path:
    """Once for all files below a folder."""
    return root.resolve()
