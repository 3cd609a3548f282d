"""Names beside points, none of them over another name, over a point or across a line."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from ablate.reporting.figures.picture import DARK

NamedPoint = tuple[str, float, float]
"""(name, x, y)."""
_SIZE = 7.5
_RADII = (7.0, 12.0, 17.0, 23.0, 30.0)
"""Distances from a point at which a name may stand, the nearest first; in typographic points."""
_DIRECTIONS = ((1, 1), (1, -1), (-1, 1), (-1, -1), (0, 1), (0, -1), (1, 0), (-1, 0))
# `patchA` is what a line starts behind: by default a box around the words, wider than this one
_LEADER = {"arrowstyle": "-", "color": DARK, "linewidth": 0.5, "patchA": None, "shrinkA": 5}
_ROOM = 1.0
"""Pixels that stay free around a name."""


def name_points(
    figure: Figure, panels: Sequence[Axes], points: Sequence[Sequence[NamedPoint]]
) -> None:
    """Write names beside the points of each panel, with a thin line where one stands far off.

    Greedy, point by point: the nearest place that is free. To be called last, since it looks at
    where everything is drawn.
    """
    figure.draw_without_rendering()  # the layout decides where points come to lie
    for axes, named in zip(panels, points, strict=True):
        taken = _boxes_of_points(axes, figure.dpi)
        lines = _boxes_of_lines(axes)
        for name, x, y in named:
            label = _written(axes, name, (x, y))
            taken.append(_placed(axes, label, taken, lines))


def _boxes_of_points(axes: Axes, dpi: float) -> list[Bbox]:
    """What no name may cover, in pixels."""
    boxes = []
    for collection in axes.collections:
        sizes = collection.get_sizes()  # type: ignore[attr-defined]
        side = float(max(sizes, default=0.0)) ** 0.5 * dpi / 72
        for x, y in axes.transData.transform(collection.get_offsets()):
            boxes.append(Bbox.from_bounds(x - side / 2, y - side / 2, side, side))
    return boxes


def _boxes_of_lines(axes: Axes) -> list[Bbox]:
    """Boxes around the pieces of lines: a step is level or upright, and its box has no width."""
    boxes = []
    for line in axes.lines:
        # The path has the corners of steps, which the line's own data do not have.
        corners = axes.transData.transform(line.get_path().vertices)
        for start, end in itertools.pairwise(corners):
            boxes.append(Bbox.from_extents(*np.minimum(start, end), *np.maximum(start, end)))
    return boxes


def _written(axes: Axes, name: str, point: tuple[float, float]) -> Annotation:
    label = axes.annotate(
        name,
        point,
        xytext=(0, 0),
        textcoords="offset points",
        fontsize=_SIZE,
        ha="center",
        va="center",
        zorder=5,
        arrowprops=_LEADER,
    )
    label.set_in_layout(False)  # it stands inside, and must not move what it was placed by
    return label


def _placed(axes: Axes, label: Annotation, taken: Sequence[Bbox], lines: Sequence[Bbox]) -> Bbox:
    """Move a name to the first free place, or to the nearest where none is; return its box."""
    offsets = list(_offsets())
    # A line across a name can still be read, another name or a point over it cannot: where every
    # place is crossed, lines no longer count.
    for avoided in ((*taken, *lines), taken):
        for offset in offsets:
            box = _box_at(label, offset)
            is_inside = axes.bbox.contains(box.x0, box.y0) and axes.bbox.contains(box.x1, box.y1)
            if is_inside and not any(map(box.overlaps, avoided)):
                return box
    return _box_at(label, offsets[0])


def _offsets() -> Iterator[tuple[float, float]]:
    for radius, (right, up) in itertools.product(_RADII, _DIRECTIONS):
        yield radius * right, radius * up


def _box_at(label: Annotation, offset: tuple[float, float]) -> Bbox:
    """Move a name; return the pixels that it then takes up."""
    label.set_position(offset)
    label.get_window_extent()  # a moved annotation finds its place only when it is asked
    # of the words alone: with its line an annotation reaches back to its point
    return Text.get_window_extent(label).padded(_ROOM)
