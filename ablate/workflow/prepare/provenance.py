"""Which code and which versions made a run."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ablate._version import __version__

LIBRARIES = ("torch", "torchvision", "timm", "peft", "numpy", "optuna", "mlflow")


def provenance_tags() -> dict[str, str]:
    """Return tags for every run: ablate's version and commit, and `version/<library>` of what computes."""
    versions = {
        f"version/{name}": found for name in LIBRARIES if (found := _version(name)) is not None
    }
    return {
        "ablate.version": __version__,
        "commit": commit(),
        "version/python": platform.python_version(),
        **versions,
    }


def commit() -> str:
    """Return the commit of the code that runs, with `-dirty` where files differ from it; "unknown" outside a git checkout."""
    root = Path(__file__).parents[3]
    try:
        head = _git(root, "rev-parse", "HEAD")
        return head + (
            "-dirty"
            if _git(root, "status", "--porcelain", "--untracked-files=no", "--", "ablate")
            else ""
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(  # noqa: S603
        command, check=True, capture_output=True, text=True, timeout=10
    ).stdout.strip()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
