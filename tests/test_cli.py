"""The command as a program.

Its exit codes, its help, its first moments, and terminals that can do little.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import pytest
import typer
from typer.testing import CliRunner

from ablate._version import __version__
from ablate.cli import app

ROOT = Path(__file__).parents[1]
GROUP = typer.main.get_group(app)
COMMANDS = {
    name: command for name, command in GROUP.commands.items() if not hasattr(command, "commands")
}


def ablate(
    *words: str, cwd: Path, env: Mapping[str, str] | None = None, **named: Any
) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "ABLATE_HOME": str(cwd / "home"),
        **(env or {}),
    }
    return subprocess.run(
        [sys.executable, "-m", "ablate", *words],
        cwd=cwd,
        env=environment,
        text=True,
        check=False,
        stderr=subprocess.PIPE,
        **named,
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_every_word_that_was_written_with_its_brackets(name: str) -> None:
    shown = re.sub(r"\s+", "", CliRunner().invoke(app, [name, "--help"]).stdout)
    texts = [getattr(parameter, "help", None) or "" for parameter in COMMANDS[name].params]
    assert any(texts)
    assert all(re.sub(r"\s+", "", text) in shown for text in texts)


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 8
    assert isinstance(GROUP, click.Group) or hasattr(GROUP, "commands")


MISTAKES = [
    ("run", "nothing"),
    ("plan", "nothing"),
    ("run", "folder.yaml"),
    ("plan", "closed.yaml"),
    ("plan", "binary.yaml"),
    ("views", "nothing"),
    ("lr-find", "nothing"),
    ("advise", "nothing"),
    ("advise", "closed.yaml"),
    ("advise", "binary.yaml"),
    ("advise", "a\0b"),
    ("status", "nothing"),
    ("sync", "nothing"),
    ("status", ""),
    ("report", "."),
    ("verify", "nothing"),
    ("plan", "a\0b"),
    ("plan", "x" * 5000),
]


@pytest.mark.parametrize("words", MISTAKES, ids=lambda words: " ".join(words)[:30])
@pytest.mark.parametrize("home", ["missing", "file", "below a file"])
def test_a_users_mistake_is_one_message_and_2(
    tmp_path: Path, words: tuple[str, ...], home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "occupied").write_text("mine")
    monkeypatch.setenv(
        "ABLATE_HOME",
        {"missing": "home", "file": "occupied", "below a file": "occupied/home"}[home],
    )
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "closed.yaml").symlink_to("nowhere")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    result = CliRunner().invoke(app, list(words))
    assert (result.exit_code, type(result.exception)) == (2, SystemExit)
    assert result.stderr.startswith("error: ")
    assert (tmp_path / "occupied").read_text() == "mine"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("delay_s", [0.0, 0.05, 0.2, 0.6])
def test_an_interrupt_in_the_first_moments_is_a_sentence(
    tmp_path: Path, number: signal.Signals, delay_s: float
) -> None:
    """From the moment at which the program's own code begins: here, when it takes its handlers."""
    begin = (
        "import sys; sys.argv[1:] = ['run', 'nothing.yaml']; "
        "from ablate.leaving import leave_at_once; leave_at_once(); print(flush=True)"
    )
    code = f"{begin}; from ablate.__main__ import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "ABLATE_HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(delay_s)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    sentence = "interrupted; finished trials are kept, the same command goes on where it stopped\n"
    assert (process.returncode, said) in ((130, sentence), (2, said)), said
    assert "Traceback" not in said


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"TERM": "dumb", "COLUMNS": "20"},
    ],
    ids=str,
)
def test_a_terminal_that_can_do_little(tmp_path: Path, environment: dict[str, str]) -> None:
    code = (
        "from ablate.terminal import be_patient, ensure_utf8; ensure_utf8(); be_patient(); "
        "print('0.9 \\u00b1 0.1 \\u2192')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"0.9 ")
    assert (
        ablate("cache", "list", cwd=tmp_path, env=environment, stdout=subprocess.PIPE).stdout
        == "0 views, 0.0 MB\n"
    )


@pytest.mark.slow
def test_a_reader_that_has_gone_and_a_full_disk(tmp_path: Path) -> None:
    for target in ("/dev/full", None):
        with Path(target or os.devnull).open("w") as out:
            done = ablate("cache", "list", cwd=tmp_path, stdout=out)
        assert (done.returncode, done.stderr) == (0, "")
    read, write = os.pipe()
    os.close(read)
    done = ablate("cache", "list", cwd=tmp_path, stdout=write)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_version_is_that_of_the_package() -> None:
    shown = CliRunner().invoke(app, ["--version"])
    assert (shown.exit_code, shown.stdout) == (0, f"ablate {__version__}\n")


def test_a_shell_completes_names_of_grids_and_paths_of_grid_files(tmp_path: Path) -> None:
    grids = tmp_path / "experiments"
    grids.mkdir()
    for name in ("mine.yaml", "more.yml", "notes.txt"):
        (grids / name).touch()

    def offered(typed: str) -> list[str]:
        environment = {
            "_ABLATE_COMPLETE": "complete_bash",
            "COMP_WORDS": f"ablate run {typed}",
            "COMP_CWORD": "2",
        }
        # as the shell calls it: by the name that is completed
        words = [sys.executable, "-c", "from ablate.cli.main import app; app(prog_name='ablate')"]
        named = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        done = subprocess.run(
            words, cwd=tmp_path, env=named, text=True, check=True, stdout=subprocess.PIPE
        )
        return done.stdout.split()

    assert offered("m") == ["mine", "more"]
    assert offered("flowers1") == ["flowers102", "flowers102_320"]
    assert offered("exp") == ["experiments/"]
    assert offered("experiments/m") == ["experiments/mine.yaml", "experiments/more.yml"]
