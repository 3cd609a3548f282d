"""The provenance of whatever this process is about to run."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ablate._version import __version__
from ablate.study.provenance import Provenance, provenance_to_tags

# Those that can change a score, a proposal or a record. Not pandas, not the figures' libraries.
LIBRARIES = ("torch", "torchvision", "timm", "peft", "numpy", "optuna", "mlflow")


def provenance_tags() -> dict[str, str]:
    """Return the tags by which every run says what made it."""
    return provenance_to_tags(provenance_here())


def provenance_here() -> Provenance:
    """Return this code, these libraries and this kind of machine."""
    libraries = {"python": platform.python_version()}
    for name in LIBRARIES:
        installed = _version(name)
        if installed is not None:
            libraries[name] = installed
    return Provenance(
        version=__version__,
        commit=commit(),
        platform=f"{platform.system()} {platform.machine()}",
        libraries=libraries,
    )


def commit() -> str:
    """Return the commit of the code that runs, with `-dirty` where files differ from it.

    `unknown` outside a git checkout of this code.
    """
    return _commit_of(Path(__file__))


def _commit_of(file: Path) -> str:
    """The commit that `file` of this package belongs to."""
    # ablate/workflow/prepare/ lies three folders below the checkout.
    root = file.parents[3]
    try:
        # An installed package often lies inside somebody's own checkout, which does not track it.
        _git(root, "ls-files", "--error-unmatch", str(file))
        head = _git(root, "rev-parse", "HEAD")
        # Only this package counts: reports and notes beside it do not change what it computes.
        changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", "ablate")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    if changed:
        return f"{head}-dirty"
    return head


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    finished = subprocess.run(  # noqa: S603
        command, check=True, capture_output=True, text=True, timeout=10
    )
    return finished.stdout.strip()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
