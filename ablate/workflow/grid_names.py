"""Grids by name: in `experiments/` of the working folder, or among the examples of the package."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from ablate.errors import SpecError
from ablate.grid.wording import nearest

GRIDS = Path("experiments")
SUFFIXES = (".yaml", ".yml")
"""Of grid files: all that is cut off a name."""


def grid_name(name_or_path: str) -> str:
    """Return the name of a grid as `run` takes it: the last part of a path, without its suffix.

    Every command takes names through here, so that `shoes.v2` is never taken for `shoes`. The file
    itself need not be there any more. Raises SpecError where nothing that could be a name is left.
    """
    # `flowers/` names a grid where there is such a file, also beside a folder of that name.
    path = _grid_file(name_or_path) or Path(name_or_path)
    name = path.name
    # Only a suffix of grid files is cut off: `shoes.v2` has a point, and no suffix.
    if path.suffix in SUFFIXES:
        name = path.stem
    if name in ("", ".."):
        raise SpecError(f"GRID must be {_what_grid_is()}, got {_shown(name_or_path)}")
    return name


def find_grid(name_or_path: str) -> Path:
    """Return the grid file for a path or a name; raises SpecError with the nearest name.

    Names are looked up in `experiments/` of the working folder first, then among the examples that
    came with the package.
    """
    file = _grid_file(name_or_path)
    if file is None:
        near = nearest(name_or_path, known_grids())
        raise SpecError(f"GRID must be {_what_grid_is()}, got {_shown(name_or_path)}{near}")
    return file


def words_for(name: str, file: Path | None) -> str:
    """How a command calls a grid wherever it is typed beside the grid's file, without folders.

    The name where that is enough, which finds grids of `experiments/` and the examples alone; else
    the name of the file.
    """
    if file is None:
        return name
    found = _grid_file(name)
    if found is not None and found.absolute() == file.absolute():
        return name
    return file.name


def packaged_grids() -> Path:
    """Folder of the example grids inside the package; it need not exist."""
    return Path(str(files("ablate"))) / "experiments"


def _grid_file(name_or_path: str) -> Path | None:
    # A shell that completes a folder of the same name leaves a slash behind.
    typed = name_or_path.rstrip("/")
    # A path goes before a name, and the user's grids before the examples.
    candidates = [Path(typed)]
    for folder in (GRIDS, packaged_grids()):
        for suffix in SUFFIXES:
            candidates.append(folder / f"{typed}{suffix}")
    for path in candidates:
        if path.suffix in SUFFIXES and _is_file(path):
            return path
    return None


def _is_file(path: Path) -> bool:
    """Whether a file is there; False for a name that no file can have, or in a closed folder."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def known_grids() -> list[str]:
    """Return the names of the grids in `experiments/` and of the packaged examples, in order."""
    names = set()
    for folder in (GRIDS, packaged_grids()):
        for path in folder.glob("*.y*ml"):
            if path.suffix in SUFFIXES:
                names.add(path.stem)
    return sorted(names)


def _what_grid_is() -> str:
    known = ", ".join(known_grids()) or "there are none here"
    return f"a name in {GRIDS}/ ({known}) or the path of a .yaml file"


def _shown(word: str) -> str:
    # A text pasted by mistake is quoted by its beginning.
    if len(word) > 200:
        return f"{word[:60]!r}... ({len(word)} characters)"
    return repr(word)
