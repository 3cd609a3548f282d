"""What a user can type next, without folders of this machine.

Inside a checkout that is a make target, which also installs what is missing; elsewhere `ablate`.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

MAKEFILE = Path("Makefile")


def run_command(grid: str, *, seeds: str | None = None) -> str:
    """The command that runs a grid, or goes on with it."""
    if _has_target("ablation"):
        command = f"make ablation GRID={shlex.quote(grid)}"
        return command + (f" SEEDS={shlex.quote(seeds)}" if seeds else "")
    words = ["ablate", "run", grid]
    return shlex.join([*words, "--seeds", seeds] if seeds else words)


def ui_command(grid: str = "", *, port: int | None = None) -> str:
    """The command that opens MLflow's UI, on the trials of a grid where one is named."""
    if _has_target("ui"):
        variable = f" GRID={shlex.quote(grid)}" if grid else ""
        return f"make ui{variable}" + (f" ARGS='--port {port}'" if port else "")
    command = ["ablate", "ui", grid] if grid else ["ablate", "ui"]
    return shlex.join([*command, "--port", str(port)] if port else command)


def report_command(
    grid: str, *, report_dir: Path, has_images: bool = True, is_published: bool = True
) -> str:
    """The command that writes a report again, after publishing what MLflow lacks."""
    words = ["ablate", "report", grid, "--report-dir", str(report_dir)]
    if not has_images:
        words.append("--no-images")
    publish = "" if is_published else f"{shlex.join(['ablate', 'sync', grid])} && "
    return publish + shlex.join(words)


def _has_target(name: str) -> bool:
    """Whether the Makefile of the working folder is one with this target."""
    try:
        text = MAKEFILE.read_text(errors="replace")
    except OSError:
        return False
    return re.search(rf"^{name}:", text, re.MULTILINE) is not None
