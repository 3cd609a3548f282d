"""What make hands to the command: each variable is one word, and nothing of it is executed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STUB = f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n"
WORDS = [
    "plain",
    "two words",
    "it's",
    'a "quoted" one',
    "$HOME",
    "$(shell touch executed)",
    "`touch executed`",
    "a; touch executed",
    "*",
    "a&b|c>d",
    "a\\",
    "#x",
    "ä(b)",
]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone that is installed already, in a folder with a space in its name.

    Its command prints its arguments.
    """
    for variable in (
        "MAKEFLAGS",
        "MAKEOVERRIDES",
        "MFLAGS",
        "ARGS",
    ):  # the tests may run under a make of their own
        monkeypatch.delenv(variable, raising=False)
    folder = tmp_path / "my project"
    (folder / ".venv" / "bin").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
        os.utime(folder / name, (1e9, 1e9))
    stub = folder / ".venv" / "bin" / "ablate"
    stub.write_text(STUB)
    stub.chmod(0o755)
    for stamp in (".made", ".installed"):
        (folder / ".venv" / stamp).touch()
    (folder / "a file that a * would find").touch()
    return folder


def told(project: Path, *words: str) -> list[str]:
    """The arguments that the command got."""
    made = subprocess.run(
        ["make", "--no-print-directory", *words],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    assert not list(project.rglob("executed*"))
    return json.loads(made.stdout)


@pytest.mark.parametrize("word", WORDS)
def test_each_variable_is_one_word(project: Path, word: str) -> None:
    named = [f"{name}={word}" for name in ("GRID", "DATA_DIR", "SEEDS", "WORKERS", "REPORT")]
    assert told(project, "ablation", *named) == [
        *(
            "run",
            word,
            "--data-dir",
            word,
            "--seeds",
            word,
            "--workers",
            word,
            "--report-dir",
            word,
        ),
    ]


@pytest.mark.parametrize("target", ["plan", "views", "report", "status", "ui"])
def test_every_target_takes_its_variables_so(project: Path, target: str) -> None:
    word = "my 'grids'/$x;*.yaml"
    of_target = {
        "plan": ["--data-dir", word],
        "views": ["--data-dir", word],
        "report": ["--report-dir", word],
    }
    assert told(project, target, f"GRID={word}", f"DATA_DIR={word}", f"REPORT={word}") == [
        target,
        word,
        *of_target.get(target, []),
    ]


def test_what_is_not_named_is_not_passed_and_args_are_several_words(project: Path) -> None:
    assert told(project, "ablation") == ["run", "flowers"]
    assert told(project, "ablation", "ARGS=--no-images --budget '30 m'") == [
        "run",
        "flowers",
        "--no-images",
        "--budget",
        "30 m",
    ]


def test_variables_of_the_environment_are_taken_as_they_are(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRID", "mine $(shell touch executed)")
    assert told(project, "plan") == ["plan", "mine $(shell touch executed)"]
