"""A grid as a user names it, whatever way: a name, a path, or its content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ablate.errors import SpecError
from ablate.grid.file_names import check_name
from ablate.grid.grid_file import Grid
from ablate.grid.parse import load_grid, parse_grid
from ablate.workflow.grid_names import find_grid


@dataclass(frozen=True, slots=True)
class Request:
    """A grid, and how a user named it."""

    grid: Grid
    file: Path | None = None
    """The grid's file; None for a grid that was made in Python."""
    words: str = ""
    """What was typed for it; empty: its name."""

    @property
    def title(self) -> str:
        """The grid's name and its question, in one line."""
        question = self.grid.question or "no question in its first line"
        return f"grid {self.grid.name}: {question}"

    @property
    def data_dir(self) -> Path | None:
        """The folder of the grid's file, where `data.path` begins with `./` and lies there.

        Such a path counts from the file, as `ablate init` writes it; None for any other, and for
        `data.paths` unless all of them do.
        """
        paths = self.grid.data.paths or (self.grid.data.path or "",)
        if self.file is None or not all(path.startswith("./") for path in paths):
            return None
        folder = self.file.absolute().parent
        if not all((folder / path).exists() for path in paths):
            return None
        return folder


def request(
    grid: Grid | Mapping[str, Any] | Path | str,
    *,
    name: str = "grid",
    settings: Sequence[str] = (),
) -> Request:
    """Read and check a grid. `name` is that of a mapping. Raises SpecError.

    `settings` (`base.epochs=3`) change what the file of a grid says.
    """
    if isinstance(grid, Grid):
        return Request(grid)
    if isinstance(grid, Mapping):
        return Request(_from_mapping(grid, name=name))
    file = find_grid(str(grid))
    return Request(load_grid(file, settings=settings), file, str(grid))


def _from_mapping(values: Mapping[str, Any], *, name: str) -> Grid:
    """Check a mapping as if it stood in a file, so that both have the same rules and messages."""
    _check_name(name)
    # A copy: the caller's mapping keeps its question.
    rest = _plain(values)
    question = _one_line(rest.pop("question", None))
    try:
        # Unsorted: the order of the axes is that of arms and tables.
        text = yaml.safe_dump(rest, sort_keys=False)
    except yaml.YAMLError as error:
        raise SpecError(
            f"grid {name!r} must hold mappings, lists, words, numbers, true, false and null, "
            f"as a grid file does: {error}"
        ) from None
    comment = ""
    if question:
        # The first line of a grid file is what it asks.
        comment = f"# {question}\n"
    return parse_grid(comment + text, name=name, shown_as=f"grid {name!r}, written as YAML")


def _check_name(name: str) -> None:
    # Of a path only the last part would be checked, and folders are made of all of it.
    if Path(name).name != name:
        raise SpecError(f"name must be a word, as the name of a grid file is, got {name!r}")
    check_name(Path(f"{name}.yaml"))


def _one_line(question: object) -> str:
    """A question as the first line of a file holds it; what follows would be read as the grid."""
    if question is None:
        return ""
    if not isinstance(question, str):
        raise SpecError(f"question must be text, got {question!r}")
    return " ".join(question.split())


def _plain(value: Any) -> Any:
    """What Python has more of than YAML: tuples, ranges and arrays as lists, paths as text."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    # YAML's safe writer refuses what follows, or writes tags that no grid file may have.
    if isinstance(value, (list, tuple, range)):
        return list(map(_plain, value))
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # a number or an array of numpy, without importing it
        return value.tolist()
    return value
