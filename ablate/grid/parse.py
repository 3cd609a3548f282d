"""Grid files in, `Grid` out.

All mistakes of a file are listed at once, each with its line, what must hold, what came and the
nearest valid word.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ablate.errors import SpecError
from ablate.grid.file_mistakes import file_mistakes
from ablate.grid.file_names import check_name
from ablate.grid.former_fields import with_current_fields
from ablate.grid.grid_file import Grid
from ablate.grid.settings import with_settings
from ablate.grid.wording import shown
from ablate.grid.yaml_lines import MAX_CHARACTERS, Mistake, YamlFile, read_yaml
from ablate.recipe.levels import as_written

_NOT_FIELDS = {
    "name": "is not a field here: a grid is called as its file is",
    "question": "is not a field here: the question of a grid is the first comment of its file",
    "settings": "is not a field here: it is what the command line changes with --set",
}
"""Fields of `Grid` that do not come from fields of the file -> where they come from."""
_MAX_LISTED = 100
"""Mistakes that one message lists."""


def load_grid(path: Path, *, settings: Sequence[str] = ()) -> Grid:
    """Read and check a grid file. Raises SpecError that lists every mistake with its line.

    `settings` take the place of what the file says: `base.epochs=3`.
    """
    # Before the file is opened: the name will be that of folders and of MLflow's experiment.
    check_name(path)
    return parse_grid(_text_of(path), name=path.stem, shown_as=str(path), settings=settings)


def lines_of(path: Path, *, settings: Sequence[str] = ()) -> YamlFile:
    """Return a grid file's values with their lines, changed by `settings`. Raises SpecError."""
    return _current_file(_text_of(path), settings)


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            # A character has at most 4 bytes: enough to see that a file is too large, and no
            # more, since the path may lead to something endless.
            content = file.read(4 * MAX_CHARACTERS + 1)
        # utf-8-sig: editors on Windows begin a file with a byte order mark.
        return content.decode("utf-8-sig")
    except OSError as error:
        raise SpecError(
            f"{path}: a grid file must be readable text: {error.strerror or error}"
        ) from None
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise SpecError(
            f"{path}: a grid file must be readable text in UTF-8, got byte 0x{byte:02x} "
            f"at position {error.start}; save it as UTF-8"
        ) from None


def _current_file(text: str, settings: Sequence[str]) -> YamlFile:
    # Former names go first, so that every check knows one name of each field.
    return with_current_fields(with_settings(read_yaml(text), settings))


def parse_grid(text: str, *, name: str, shown_as: str, settings: Sequence[str] = ()) -> Grid:
    """Check the text of a grid file called `name`, changed by `settings`.

    Raises SpecError; `shown_as` is the file's name in its message.
    """
    try:
        file = _current_file(text, settings)
    except SpecError as error:
        raise SpecError(f"{shown_as}: {error}") from None
    if not isinstance(file.values, dict):
        raise SpecError(
            f"{shown_as}: a grid file must be a mapping with task, data, base, axes, seeds, "
            f"baseline and select_by, got {shown(file.values)}"
        )
    # Levels of `baseline` and `ask` are spelled as in `axes` (0.0 as 0): cells can be compared.
    not_in_file = {"name": name, "question": _first_comment(text), "settings": list(settings)}
    values = as_written({**file.values, **not_in_file})
    # All at once: whoever mends a file should not meet its second mistake after the first.
    mistakes = [*file.mistakes, *_not_fields(file), *_placed(values, file)]
    if mistakes:
        raise SpecError(listed(mistakes, shown_as))
    return Grid.model_validate(values)


def _not_fields(file: YamlFile) -> Iterator[Mistake]:
    for name, why in _NOT_FIELDS.items():
        if name in file.values:
            yield Mistake(file.line((name,)), (name,), why)


def _placed(values: dict[str, Any], file: YamlFile) -> Iterator[Mistake]:
    for path, text in file_mistakes(values):
        yield Mistake(file.line(path), file.written(path), text)


def listed(mistakes: Sequence[Mistake], shown_as: str) -> str:
    """Return one message: mistakes in the order of their lines; of very many only the first."""
    count = f"{len(mistakes)} mistakes"
    if len(mistakes) == 1:
        count = "1 mistake"
    # The sort is stable: on one line the order of the checks stays.
    in_order = sorted(mistakes, key=lambda mistake: mistake.line)
    lines = [f"{shown_as}: {count}, nothing was started"]
    for mistake in in_order[:_MAX_LISTED]:
        lines.append(f"  {mistake}")
    if len(mistakes) > _MAX_LISTED:
        lines.append(f"  and {len(mistakes) - _MAX_LISTED} more")
    return "\n".join(lines)


def _first_comment(text: str) -> str:
    """The question that the grid asks: the first comment, before anything else in the file."""
    # "\ufeff" is a byte order mark: texts that do not come from a file may begin with one too.
    for line in text.removeprefix("\ufeff").splitlines():
        is_comment = line.startswith("#")
        # Empty lines, a document's start (---) and directives (%) may stand before the question.
        if line.strip() and not is_comment and not line.startswith(("---", "%")):
            return ""
        if not is_comment:
            continue
        words = line.lstrip("# ").strip()
        # The comment that tells editors which schema to use is not prose.
        if words and not words.startswith("yaml-language-server"):
            return words
    return ""
