"""textile: 2,000 simulated textile surfaces, without defect, with a local or with a global one.

From the PyPI package conformal-clip-data.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from ablate.data.images import SUFFIXES
from ablate.data.sources._base import Collection, Item, NotAvailable
from ablate.data.sources._files import file_item
from ablate.study.trial import DataSpec

# Not sorted by name: label 0 is the surface without a defect.
CLASS_NAMES = ("nominal", "local", "global")


def collect(spec: DataSpec, *, data_dir: Path) -> Collection:
    """Return the package's images; they have no official split.

    Raises NotAvailable where the package is not installed.
    """
    del spec, data_dir
    try:
        # here, as it is an optional package
        import conformal_clip_data
    except ImportError:
        raise NotAvailable(
            "source textile needs the package conformal-clip-data, which is not installed: "
            "pip install conformal-clip-data."
        ) from None
    root = conformal_clip_data.textile_simulated_root()
    return Collection(
        title="simulated textile surfaces (nominal, local and global defects)",
        version=version("conformal-clip-data"),
        licence="MIT",
        origin="PyPI package conformal-clip-data (Megahed et al., 2025, arXiv 2501.12596)",
        is_synthetic=True,
        class_names=CLASS_NAMES,
        items=tuple(_items(root)),
    )


def _items(root: Path) -> Iterator[Item]:
    for label, name in enumerate(CLASS_NAMES):
        for path in sorted((root / name).glob("*")):
            if path.suffix.lower() in SUFFIXES:
                relative = path.relative_to(root).as_posix()
                yield file_item(root, relative, label=label, split=None)
