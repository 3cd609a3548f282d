"""What a user can type next, without folders of this machine.

Inside a checkout that is a make target, which also installs what is missing; elsewhere `ablate`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

# In the working folder: whoever is elsewhere has no make target to type.
MAKEFILE = Path("Makefile")


def run_command(grid: str, *, seeds: str | None = None, settings: Sequence[str] = ()) -> str:
    """The command that runs a grid, or goes on with it.

    `settings` are those of `--set`: without them it would be another study.
    """
    options = []
    for setting in settings:
        options += ["--set", setting]
    if _has_target("ablation"):
        command = f"make ablation GRID={shlex.quote(grid)}"
        if seeds:
            command += f" SEEDS={shlex.quote(seeds)}"
        if options:
            # The shell that make starts reads ARGS once more, so it is quoted twice.
            command += f" ARGS={shlex.quote(shlex.join(options))}"
        return command
    words = ["ablate", "run", grid, *options]
    if seeds:
        words += ["--seeds", seeds]
    return shlex.join(words)


def ui_command(grid: str = "", *, port: int | None = None) -> str:
    """The command that opens MLflow's UI, on the trials of a grid where one is named."""
    if _has_target("ui"):
        command = "make ui"
        if grid:
            command += f" GRID={shlex.quote(grid)}"
        if port:
            command += f" ARGS='--port {port}'"
        return command
    words = ["ablate", "ui"]
    if grid:
        words.append(grid)
    if port:
        words += ["--port", str(port)]
    return shlex.join(words)


def report_command(
    grid: str, *, report_dir: Path, has_images: bool = True, is_published: bool = True
) -> str:
    """The command that writes a report again, after publishing what MLflow lacks."""
    words = ["ablate", "report", grid, "--report-dir", str(report_dir)]
    if not has_images:
        words.append("--no-images")
    command = shlex.join(words)
    if not is_published:
        # A report is read from MLflow: what MLflow lacks would be missing from it.
        command = f"{shlex.join(['ablate', 'sync', grid])} && {command}"
    return command


def _has_target(name: str) -> bool:
    """Whether the Makefile of the working folder is one with this target."""
    try:
        text = MAKEFILE.read_text(errors="replace")
    except OSError:
        return False
    # A target begins its line; the same word in a recipe is indented.
    return re.search(rf"^{name}:", text, re.MULTILINE) is not None
