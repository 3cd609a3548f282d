"""Where the grid file goes, and how its data are called from there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ablate.errors import SpecError, StoreError, escaped
from ablate.grid.file_names import check_name, valid_name
from ablate.workflow.grid_names import SUFFIXES


@dataclass(frozen=True, slots=True)
class Place:
    """The files of one grid."""

    root: Path
    """The folder of images, without links."""
    grid: Path
    base: Path
    """The folder that `data.path` counts from: the grid file's, else the one above the images."""

    @property
    def table(self) -> Path:
        """The CSV that names the images, where one has to be written."""
        return self.base / f"{self.grid.stem}.csv"

    @property
    def needs_data_dir(self) -> bool:
        """Whether commands must be told where the data are."""
        return self.base != self.grid.parent

    @property
    def prefix(self) -> str:
        """What a path below the images begins with, seen from `base`."""
        relative = self.root.relative_to(self.base).as_posix()
        return "" if relative == "." else f"{relative}/"

    def data_path(self, *, is_table: bool) -> str:
        """`data.path`: with `./` where it counts from the grid file."""
        name = self.prefix.rstrip("/")
        if is_table:
            name = self.table.name
        # Without `./` a path counts from the data folder, which the commands then name.
        if self.needs_data_dir:
            return name
        return f"./{name}"


def find_place(root: Path, out: Path | None) -> Place:
    """Return where the files go, by default beside the folder. Raises SpecError."""
    grid = out
    if grid is None:
        # A folder at the top of a file system has no name and nothing beside it.
        grid = root.parent / f"{valid_name(root.name)}.yaml"
    grid = grid.absolute()
    if grid.suffix not in SUFFIXES:
        raise SpecError(
            f"--out must be a file that ends in {' or '.join(SUFFIXES)}, got '{escaped(str(out))}'"
        )
    check_name(grid)
    # Without links, like the root: one of the two is below the other or not.
    grid = grid.parent.resolve() / grid.name
    base = grid.parent
    if not root.is_relative_to(base):
        base = root.parent
    return Place(root, grid, base)


def check_free(path: Path, *, may_replace: bool, way_out: str) -> None:
    """Check that a file can be written without writing over another. Raises StoreError.

    `way_out` is what else there is beside another `--out`.
    """
    if path.is_dir():
        raise StoreError(
            f"init writes files, {escaped(str(path))} is a folder; give another --out."
        )
    if path.exists() and not may_replace:
        raise StoreError(
            f"init writes over no file, {escaped(str(path))} is there already; give another "
            f"--out, or {way_out}."
        )
