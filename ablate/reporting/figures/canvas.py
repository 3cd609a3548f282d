"""What all figures share: the style, an empty figure, a legend, and the way into a file.

Without pyplot: its global state would tie figures of one process to each other.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec

import matplotlib as mpl
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ablate.quoting import one_line

Arguments = ParamSpec("Arguments")
DARK = "#1b1b1b"
LIGHT = "#b8b8b8"
_TEXT = {"axes.titlesize": 9, "axes.labelsize": 9, "xtick.labelsize": 8.5, "ytick.labelsize": 8.5}
_STYLE: dict[str, Any] = {
    **sns.axes_style("whitegrid"),
    **_TEXT,
    # without it matplotlib draws ids at random, and equal figures have unequal bytes
    "svg.hashsalt": "ablate",
    # letters as shapes: a machine without the font shows the same figure
    "svg.fonttype": "path",
    "figure.dpi": 100,
}


@dataclass(frozen=True)
class Picture:
    """A figure with what a reader who cannot see it needs."""

    name: str
    """File name without ending."""
    figure: Figure
    alt: str


def styled(draw: Callable[Arguments, Figure]) -> Callable[Arguments, Figure]:
    """Draw in our style without leaving it behind in matplotlib's global settings."""

    @functools.wraps(draw)
    def drawn(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Figure:
        with mpl.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return drawn


def to_svg(picture: Picture) -> bytes:
    """The figure as SVG with its alt text inside; the same bytes for the same data."""
    metadata = {
        "Date": None,
        "Creator": None,
        "Title": picture.name,
        "Description": one_line(picture.alt),
    }
    return _saved(picture.figure, format="svg", metadata=metadata)


def to_png(picture: Picture) -> bytes:
    """The figure as PNG at 110 dots an inch; the same bytes for the same data."""
    return _saved(
        picture.figure,
        format="png",
        dpi=110,
        metadata={"Software": None, "Description": one_line(picture.alt)},
    )


def _saved(figure: Figure, **how: Any) -> bytes:
    buffer = io.BytesIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(buffer, **how)
        # The first drawing has placed everything; with an engine, each further one draws twice.
        figure.set_layout_engine(None)
    return buffer.getvalue()


def canvas(*, width: float, height: float) -> Figure:
    """An empty figure; sizes in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def legend(figure: Figure, panels: Sequence[Axes], *, place: str, n_columns: int) -> None:
    """What the marks of `panels` mean, each once, outside all of them."""
    handles: dict[str, Any] = {}
    for axes in panels:
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(name, handle)
    figure.legend(
        list(handles.values()),
        list(handles),
        loc=f"outside {place} center",
        ncols=min(len(handles), n_columns),
        frameon=False,
        fontsize=8,
    )


def short(text: str, length: int = 26) -> str:
    """The text, or its beginning and an ellipsis: at most `length` characters."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def plain(text: str) -> str:
    """A line that matplotlib draws as it is.

    No `$` starts mathematics, and no unseen letter asks for a glyph that no font has.
    """
    return one_line(text).replace("$", r"\$")
