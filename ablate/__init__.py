"""ablate: which way of transferring a pretrained model works on your images, and how sure is that?

The names of `ablate.api` can be taken from here: `ablate.run(...)`. They are imported when they are
first asked for, so that `import ablate` takes a moment.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ablate._version import __version__ as __version__

if TYPE_CHECKING:
    from ablate.api import (
        AblateError,
        Champion,
        Folders,
        Grid,
        Plan,
        RunOptions,
        Study,
        folders,
        load_grid,
        open_study,
        plan,
        run,
    )

__all__ = [
    "AblateError",
    "Champion",
    "Folders",
    "Grid",
    "Plan",
    "RunOptions",
    "Study",
    "folders",
    "load_grid",
    "open_study",
    "plan",
    "run",
]


def __getattr__(name: str) -> object:
    # Submodules (`ablate.errors`) are found by the import system and never asked for here.
    if name not in __all__:
        raise AttributeError(f"module 'ablate' has no attribute {name!r}")
    return getattr(import_module("ablate.api"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
