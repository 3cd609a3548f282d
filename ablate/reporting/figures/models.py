"""Drawings of what models are like: how well calibrated they are, and what they cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, Locator, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray
from scipy.stats import binomtest

from ablate.in_order import present
from ablate.metrics.calibration import N_BINS, Reliability
from ablate.reporting.evidence.pareto import Cost
from ablate.reporting.figures.labels import name_points
from ablate.reporting.figures.picture import DARK, canvas, legend, plain, short, styled

_N_TICKS = 4
_LONGEST_NAME = 62
"""Letters of an arm's name below the panels: as wide as one panel."""
_MARKS = {"other": ("o", 30), "baseline": ("s", 30), "best on val": ("*", 90)}
"""Kind of arm -> its marker and its size in square points."""
Tiles = Sequence[tuple[NDArray[np.uint8], str]]
"""Images (H, W, 3) with their captions."""


@styled
def draw_reliability(bins: Reliability) -> Figure:
    """Above: accuracy of each bin of confidence, with its 95 % interval, against the diagonal.

    Below: how many predictions each bin holds.
    """
    figure = canvas(width=4.6, height=4.6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    blue = sns.color_palette("colorblind")[0]
    diagonal = {"color": DARK, "linestyle": "--", "linewidth": 0.9}
    upper.plot([0, 1], [0, 1], label="perfect calibration", **diagonal)
    # An empty bin has no accuracy, and no interval.
    known = bins.count > 0
    upper.errorbar(
        bins.confidence[known],
        bins.accuracy[known],
        yerr=_interval_lengths(bins.accuracy[known], bins.count[known]),
        fmt="o",
        color=blue,
        markersize=4.5,
        capsize=2.5,
        label="one bin, 95 % interval",
    )
    title = f"calibration error {bins.ece:.3f}"
    upper.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1), title=title)
    # outside: bins of few predictions have intervals that fill the whole height
    legend(figure, [upper], place="upper", n_columns=2)
    centres = (np.arange(N_BINS) + 0.5) / N_BINS
    lower.bar(centres, bins.count, width=0.9 / N_BINS, color=blue)
    lower.set(xlabel="confidence (probability of the predicted class)", ylabel="predictions")
    return figure


def _interval_lengths(
    accuracy: NDArray[np.floating], count: NDArray[np.integer]
) -> NDArray[np.floating]:
    """(2, bins) below and above each accuracy: Wilson's 95 % interval, which stays in [0, 1]."""
    lengths = []
    for share, n in zip(accuracy, count, strict=True):
        # An accuracy is hits / n in floating point: rounding gives the hits back exactly.
        interval = binomtest(round(float(share) * int(n)), int(n)).proportion_ci(method="wilson")
        lengths.append((share - interval.low, interval.high - share))
    # A bin without a miss reaches 1 but for rounding, and matplotlib takes no negative length.
    return np.clip(np.array(lengths, dtype=np.float64).reshape(-1, 2).T, 0, None)


@styled
def draw_cost(
    arms: pd.DataFrame, panels: Mapping[Cost, Sequence[str]], *, metric: str, label: str
) -> Figure:
    """One panel per cost, on a logarithmic axis: every arm by its means; the baseline is a square.

    The front, the best arm and the baseline are named by their rank in `arms`, with a key below.

    `panels`: cost -> arm_ids of its Pareto front, the cheapest first: filled, and joined by steps.
    """
    # two panels side by side stay readable at the width of a README
    n_columns = min(len(panels), 2)
    # Rounded up.
    n_rows = -(-len(panels) // n_columns)
    figure = canvas(width=4.0 * n_columns + 0.4, height=3.0 * n_rows + 0.4)
    grid = figure.subplots(n_rows, n_columns, sharey=True, squeeze=False)
    drawn = grid.ravel()
    # Not strict: three panels leave the fourth place empty.
    for axes, (cost, front) in zip(drawn, panels.items(), strict=False):
        _draw_cost_panel(axes, arms, cost=cost, front=front, metric=metric)
    for axes in drawn[len(panels) :]:
        axes.set_axis_off()
    for axes in grid[:, 0]:
        axes.set_ylabel(label)
    _explain_marks(drawn[0])
    # a single panel is half as wide
    legend(figure, [drawn[0]], place="upper", n_columns=2 * n_columns)
    _explain_names(figure, arms, panels, n_columns=n_columns)
    name_points(figure, drawn[: len(panels)].tolist(), _named_points(arms, panels, metric))
    return figure


def _draw_cost_panel(
    axes: Axes, arms: pd.DataFrame, *, cost: Cost, front: Sequence[str], metric: str
) -> None:
    x = f"{cost.metric}/mean"
    y = f"{metric}/mean"
    known = arms.dropna(subset=[x, y])
    # A logarithmic axis has no place for a cost of 0.
    known = known[known[x] > 0]
    known_ids = set(known["arm_id"])
    best = known.set_index("arm_id").reindex(present(front, among=known_ids))
    axes.plot(best[x], best[y], drawstyle="steps-post", color=DARK, linewidth=1, zorder=1)
    kinds = np.select(
        [known["is_champion"], known["is_baseline"]], ["best on val", "baseline"], "other"
    )
    is_on_front = known["arm_id"].isin(front)
    blue = sns.color_palette("colorblind")[0]
    for kind, (marker, size) in _MARKS.items():
        outline = {"marker": marker, "s": size, "edgecolor": blue, "linewidth": 1}
        beaten = known[(kinds == kind) & ~is_on_front]
        axes.scatter(beaten[x], beaten[y], facecolor="white", zorder=3, **outline)
        unbeaten = known[(kinds == kind) & is_on_front]
        axes.scatter(unbeaten[x], unbeaten[y], facecolor=blue, zorder=4, **outline)
    axes.set_xscale("log")
    _few_ticks(axes)
    axes.set_xlabel(cost.title)


def _few_ticks(axes: Axes) -> None:
    """Ticks of a logarithmic axis that fit below a narrow panel, also within one decade.

    Matplotlib would label 520, 540, 560, ... there, one over the other.
    """
    low, high = axes.get_xlim()
    locator: Locator = LogLocator()
    if high < 10 * low:
        locator = MaxNLocator(_N_TICKS, steps=[1, 2, 5, 10])
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(FuncFormatter(_tick_text))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _tick_text(value: float, _position: int | None) -> str:
    """`0.1`, `20`, `1,500`, `100 k`, `3 M`."""
    for least, size, unit in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if value >= least:
            return f"{value / size:g} {unit}"
    return f"{value:,g}"


def _named_arms(arms: pd.DataFrame, front: Sequence[str]) -> pd.DataFrame:
    """The arms of a panel that have a name in it: of the front, the best arm, the baseline.

    With their `rank` in the table of arms, which is the order of the frame.
    """
    ranked = arms.assign(rank=range(1, len(arms) + 1))
    return ranked[arms["arm_id"].isin(front) | arms["is_champion"] | arms["is_baseline"]]


def _named_points(
    arms: pd.DataFrame, panels: Mapping[Cost, Sequence[str]], metric: str
) -> list[list[tuple[str, float, float]]]:
    """For each panel the points that have a name, which is their rank."""
    named = []
    for cost, front in panels.items():
        points = []
        shown = _named_arms(arms, front)
        prices = shown[f"{cost.metric}/mean"].tolist()
        scores = shown[f"{metric}/mean"].tolist()
        for rank, price, score in zip(shown["rank"].tolist(), prices, scores, strict=True):
            # a logarithmic axis has no place for a cost of 0
            if price > 0 and not math.isnan(score):
                points.append((str(rank), price, score))
        named.append(points)
    return named


def _explain_names(
    figure: Figure, arms: pd.DataFrame, panels: Mapping[Cost, Sequence[str]], *, n_columns: int
) -> None:
    """Which arm each number in the panels is, below them."""
    every = {arm_id for front in panels.values() for arm_id in front}
    lines = []
    named = _named_arms(arms, sorted(every))
    for rank, name in zip(named["rank"], named["arm"], strict=True):
        lines.append(plain(short(f"{rank}  {name}", _LONGEST_NAME)))
    handles = [Line2D([], [], linestyle="") for _ in lines]
    figure.legend(
        handles,
        lines,
        loc="outside lower left",
        ncols=n_columns,
        frameon=False,
        fontsize=8,
        handlelength=0,
        handletextpad=0,
    )


def _explain_marks(axes: Axes) -> None:
    """Empty scatters for the legend: in a panel, a kind of mark may have no arm."""
    blue = sns.color_palette("colorblind")[0]
    marks = {
        "on the front": ("o", blue),
        "not on the front": ("o", "white"),
        "baseline": ("s", "white"),
        "best on val": ("*", "white"),
    }
    for name, (marker, face) in marks.items():
        axes.scatter([], [], marker=marker, s=40, facecolor=face, edgecolor=blue, label=name)


@styled
def draw_tiles(rows: Sequence[tuple[str, Tiles]]) -> Figure:
    """Rows of small images, each with its caption above; the row's name stands at its left."""
    n_columns = max(len(tiles) for _, tiles in rows)
    figure = canvas(width=1.55 * n_columns + 1.4, height=1.75 * len(rows))
    grid = figure.subplots(len(rows), n_columns, squeeze=False)
    for panels, (name, tiles) in zip(grid, rows, strict=True):
        for axes in panels:
            axes.set_axis_off()
        # Not strict: a row may be shorter than the longest one.
        for axes, (image, caption) in zip(panels, tiles, strict=False):
            _draw_tile(axes, image, caption)
        row_name = _shortened_lines(name, 18)
        panels[0].set_ylabel(row_name, rotation=0, ha="right", va="center", fontsize=8)
    return figure


def _draw_tile(axes: Axes, image: NDArray[np.uint8], caption: str) -> None:
    axes.set_axis_on()
    axes.imshow(image)
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.set_title(_shortened_lines(caption, 24), fontsize=7.5)


def _shortened_lines(text: str, length: int) -> str:
    return "\n".join(plain(short(line, length)) for line in text.split("\n"))
