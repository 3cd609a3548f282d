"""What `ablate init` says: what it took the images for, what stands against it, and what next."""

from __future__ import annotations

from rich.console import Console

from ablate.errors import escaped, some
from ablate.workflow.init.splits import sides_in_words
from ablate.workflow.init.write_grid import Written

_N_CLASSES_SHOWN = 10
_WARNING = "bold yellow"


def show_written(console: Console, written: Written) -> None:
    """Print what was found and written, the traps, and the commands that go on from there."""
    names = some(list(map(escaped, written.class_names)), most=_N_CLASSES_SHOWN)
    console.print(f"task: {written.task}, {len(written.class_names)} classes ({names})")
    console.print(f"splits: {sides_in_words(written.n_images)} images{_groups(written)}")
    if written.group_by is not None:
        console.print(f"groups: {written.group_by}")
    console.print(f"images: {written.view}")
    for trap in written.traps:
        console.print(f"trap, {trap.kind}: {trap.text}", style=_WARNING)
    console.print(f"grid: {escaped(str(written.grid))}")
    console.print(f"cost: {written.cost.line}")
    if written.table is not None:
        console.print(f"images and labels: {escaped(str(written.table))}")
    console.print("look at the reasons in the grid file, then:")
    for command in written.commands:
        console.print(f"  {command}")


def _groups(written: Written) -> str:
    if not written.n_groups:
        return ""
    return f", {sides_in_words(written.n_groups)} groups"
