"""The console itself, and what it shows while libraries are imported."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from rich.console import Console

WIDTH_OF_FILES = 400
"""Columns where nobody watches; the longest lines are of names that users gave."""
# In the order in which they are used; `lr-find` and `views` take the first two alone.
TRAINING = (
    ("PyTorch", "torch"),
    ("timm", "timm"),
    ("MLflow", "ablate.tracking.mlflow_store"),
    ("Optuna", "optuna"),
)
REPORTING = (("MLflow", "ablate.tracking.mlflow_store"), ("seaborn", "seaborn"))
"""What takes seconds to import: name, module."""


def make_console(*, is_error: bool = False) -> Console:
    """A console that keeps whole lines where nobody watches: files are not wrapped at 80 columns.

    It prints brackets as they are: names, paths and messages may hold `[red]` or `[default: 1]`.
    """
    console = Console(stderr=is_error, highlight=False, markup=False)
    if console.is_terminal:
        return console
    # soft_wrap keeps a path that is longer than the width in one piece, for grep and for copying.
    return Console(
        stderr=is_error, highlight=False, markup=False, width=WIDTH_OF_FILES, soft_wrap=True
    )


def importing(console: Console, libraries: Sequence[tuple[str, str]]) -> None:
    """Import libraries, (name, module), that take seconds, and say so first.

    In a terminal the line stays for as long as it lasts, elsewhere it is printed once.
    """
    missing = {}
    # A second study in one process, or a notebook, has them already: nothing to wait for.
    for name, module in libraries:
        if module not in sys.modules:
            missing[name] = module
    if not missing:
        return
    # A log keeps every line, and a line that changes would be one per change.
    if not console.is_terminal:
        console.print(f"loading {', '.join(missing)} ...")
        for module in missing.values():
            importlib.import_module(module)
        return
    with console.status("") as line:
        for name, module in missing.items():
            line.update(f"loading {name} ...")
            importlib.import_module(module)
