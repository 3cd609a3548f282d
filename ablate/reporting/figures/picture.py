"""What all figures share: style, canvas, legend, marks of seeds, and their files as SVG and PNG."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from ablate.quoting import one_line

Arguments = ParamSpec("Arguments")
DARK = "#1b1b1b"
LIGHT = "#b8b8b8"
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_STYLE: dict[str, Any] = {
    **sns.axes_style("whitegrid"),
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    # Without a fixed salt matplotlib invents ids, and the same data gives other bytes.
    "svg.hashsalt": "ablate",
    # Text as paths: a report looks the same on a machine without our fonts.
    "svg.fonttype": "path",
    "figure.dpi": 100,
}
_PNG_DPI = 110


@dataclass(frozen=True)
class Picture:
    """A figure that can be drawn, with what a reader who cannot see it needs."""

    name: str
    """File name without ending."""
    draw: Callable[[], Figure]
    alt: str

    @functools.cached_property
    def figure(self) -> Figure:
        """Drawn when it is first asked for: the texts of a report need names and alt texts only,
        and each process draws its own part."""
        return self.draw()


def styled(draw: Callable[Arguments, Figure]) -> Callable[Arguments, Figure]:
    """Draw in our style without leaving it behind in matplotlib's global settings."""

    @functools.wraps(draw)
    def drawn(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Figure:
        with mpl.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return drawn


def canvas(*, width: float, height: float) -> Figure:
    """An empty figure, without pyplot and its list of open figures; sizes in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


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
    """The figure as PNG at 110 dots per inch; the same bytes for the same data."""
    # matplotlib's version would change the bytes of the same data.
    metadata = {"Software": None, "Description": one_line(picture.alt)}
    return _saved(picture.figure, format="png", dpi=_PNG_DPI, metadata=metadata)


def _saved(figure: Figure, **options: Any) -> bytes:
    buffer = io.BytesIO()
    with mpl.rc_context(_STYLE):
        _lay_out(figure)
        figure.savefig(buffer, **options)
    return buffer.getvalue()


def _lay_out(figure: Figure) -> None:
    """Find the layout once, for SVG, in which a figure is saved first.

    An engine, even one that has nothing left to do, makes `savefig` draw everything twice.
    """
    engine = figure.get_layout_engine()
    if engine is None:
        return
    canvas = figure.canvas
    dpi = figure.dpi
    # What `savefig` lays out with: letters are as wide as they will be in the file.
    FigureCanvasSVG(figure)
    engine.execute(figure)
    figure.set_canvas(canvas)
    figure.dpi = dpi  # an SVG has set its own
    figure.set_layout_engine(None)


def seed_points(axes: Axes, *, x: pd.Series, y: pd.Series, seeds: pd.Series) -> None:
    """One scatter per seed, each with its own marker and colour: readable without colour too.

    More seeds than there are markers look alike, and are explained once.
    """
    palette = sns.color_palette("colorblind")
    order = sorted(seeds.unique())
    are_told_apart = len(order) <= len(_MARKERS)
    for position, seed in enumerate(order):
        # One call a seed, since a scatter has one marker.
        is_seed = seeds == seed
        look = 0
        name = "one seed"
        if are_told_apart:
            look = position
            name = f"seed {seed}"
        axes.scatter(
            x[is_seed],
            y[is_seed],
            marker=_MARKERS[look],
            s=24,
            facecolor=palette[look],
            edgecolor="white",
            linewidth=0.5,
            alpha=0.9,
            zorder=4,
            label=name,
        )


def legend(figure: Figure, panels: Sequence[Axes], *, place: str, n_columns: int) -> None:
    """What the marks of `panels` mean, each once, outside all of them: `upper` or `lower`."""
    handles: dict[str, Any] = {}
    for axes in panels:
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            # The first one stands for all: panels use one look for one meaning.
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
    """At most `length` characters, with a mark where some were left out."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def plain(text: str) -> str:
    """A line that matplotlib draws as it is.

    A `$` would begin mathematics, and control characters have no glyph in any font.
    """
    return one_line(text).replace("$", r"\$")
