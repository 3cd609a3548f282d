"""What the documents name is there: files, modules, make targets, commands and their options."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
import typer

from ablate.cli.main import app

ROOT = Path(__file__).parents[1]
DOCS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FOLDERS = "ablate|docs|experiments|reports|scripts|tests"
PATHS = re.compile(rf"(?<![\w/.-])(?:\.\./)?(?:{FOLDERS})/[\w./<>*-]*[\w/>*]")
SHORT_PATHS = re.compile(rf"`(?!(?:{FOLDERS})/)((?:[a-z_]+/)+(?:[a-z_]+\.py)?)`")
LINKS = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")
MODULES = re.compile(r"`(ablate(?:\.[a-z_]+)+)")
TARGETS = re.compile(r"(?:`|^ *)make ((?!install)[a-z][a-z-]*)", re.MULTILINE)
COMMANDS = re.compile(r"(?:`|^ *)ablate ([a-z][a-z-]*)([^`\n]*)", re.MULTILINE)
OF_A_READER = {"experiments/scratches.yaml"}
"""A file that the README tells its reader to write."""


def _names(pattern: re.Pattern[str]) -> list[tuple[Path, str]]:
    """Every match in a document, with the document."""
    names = []
    for path in DOCS:
        for match in pattern.finditer(path.read_text()):
            names.append((path, match[match.lastindex or 0]))
    return names


def _is_example(name: str) -> bool:
    """Whether a path has a part to fill in: `reports/<grid>`, `reports/GRID`, `studies/*`."""
    has_a_gap = any(mark in name for mark in "<>*")
    return has_a_gap or name in OF_A_READER or Path(name).name.isupper()


def test_every_path_exists() -> None:
    names = [(path, name) for path, name in _names(PATHS) if not _is_example(name)]
    assert len(names) > 25
    missing = []
    for path, name in names:
        if not (ROOT / name.removeprefix("../")).exists():
            missing.append(f"{path.name}: {name}")
    assert missing == []


def test_every_short_path_exists_in_the_package() -> None:
    """CONTRIBUTING names modules and folders as the package sees them: `cli/main.py`, `feeds/`."""
    names = set(SHORT_PATHS.findall((ROOT / "CONTRIBUTING.md").read_text()))
    assert len(names) > 30
    missing = []
    for name in sorted(names):
        if not any((ROOT / "ablate").glob(f"**/{name.rstrip('/')}")):
            missing.append(name)
    assert missing == []


def test_every_link_leads_to_a_file() -> None:
    links = _names(LINKS)
    assert len(links) > 10
    assert [
        f"{path.name}: {link}" for path, link in links if not (path.parent / link).exists()
    ] == []


def test_every_name_of_a_module_can_be_imported() -> None:
    names = sorted({name for _, name in _names(MODULES)} - NOT_MODULES)
    assert len(names) >= 4
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            module, _, attribute = name.rpartition(".")
            assert hasattr(importlib.import_module(module), attribute), name


NOT_MODULES = {"ablate.stage"}
"""Tags in MLflow."""


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for _, name in _names(TARGETS)}
    assert len(named) > 4
    assert named <= targets


def _options() -> dict[str, set[str]]:
    """Command -> its options; of a group those of all its commands."""
    options: dict[str, set[str]] = {}
    group = typer.main.get_command(app)
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        options[name] = {"--help"}
        for each in (command, *getattr(command, "commands", {}).values()):
            for parameter in each.params:
                options[name].update(parameter.opts)
                options[name].update(parameter.secondary_opts)
    return options


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_command_exists_with_its_options(path: Path) -> None:
    options = _options()
    for match in COMMANDS.finditer(path.read_text()):
        command = match[1]
        assert command in options, match[0]
        named = set(re.findall(r"--[a-z][a-z-]*", match[2].partition("#")[0]))
        assert named <= options[command], match[0]


def test_enough_commands_are_named() -> None:
    text = "\n".join(path.read_text() for path in DOCS)
    assert len({match[1] for match in COMMANDS.finditer(text)}) > 8
