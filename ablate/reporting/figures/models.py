"""Drawings of what models are like: their calibration, their cost, their images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ablate.metrics.calibration import N_BINS, Reliability
from ablate.reporting.evidence.pareto import Cost
from ablate.reporting.figures.canvas import DARK, canvas, plain, short, styled

_MARKS = {"other": ("o", 30), "baseline": ("s", 30), "best on val": ("*", 90)}


@styled
def draw_reliability(bins: Reliability) -> Figure:
    """Above: accuracy of each bin of confidence, with its 95 % interval, against the diagonal.

    Below: how many predictions each bin holds.
    """
    figure = canvas(width=4.6, height=4.6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    blue = sns.color_palette("colorblind")[0]
    upper.plot(
        [0, 1], [0, 1], color=DARK, linestyle="--", linewidth=0.9, label="perfect calibration"
    )
    known = bins.count > 0
    accuracy = bins.accuracy[known]
    upper.errorbar(
        bins.confidence[known],
        accuracy,
        yerr=_accuracy_spread(accuracy, bins.count[known]),
        fmt="o",
        color=blue,
        markersize=4.5,
        capsize=2.5,
        label="one bin, 95 % interval",
    )
    upper.set(
        ylabel="accuracy",
        xlim=(0, 1),
        ylim=(0, 1),
        title=f"calibration error {bins.ece:.3f}",
    )
    upper.legend(loc="upper left", frameon=False, fontsize=8)
    lower.bar((np.arange(N_BINS) + 0.5) / N_BINS, bins.count, width=0.9 / N_BINS, color=blue)
    lower.set(xlabel="confidence (probability of the predicted class)", ylabel="predictions")
    return figure


@styled
def draw_cost(
    arms: pd.DataFrame, panels: Mapping[Cost, Sequence[str]], *, metric: str, label: str
) -> Figure:
    """One panel per cost, on a logarithmic axis: every arm by its means over the seeds.

    Those of the Pareto front are filled and joined by steps; the baseline is a square.
    """
    figure = canvas(width=2.9 * len(panels) + 0.6, height=3.3)
    axes_of_cost = np.atleast_1d(figure.subplots(1, len(panels), sharey=True))
    for axes, (cost, front) in zip(axes_of_cost, panels.items(), strict=True):
        known = arms.dropna(subset=[f"{cost.metric}/mean", f"{metric}/mean"])
        # the axis is logarithmic: what costs nothing has no place on it
        known = known[known[f"{cost.metric}/mean"] > 0]
        _draw_front(axes, known, front, x=f"{cost.metric}/mean", y=f"{metric}/mean")
        _draw_arms(axes, known, front, x=f"{cost.metric}/mean", y=f"{metric}/mean")
        axes.set_xscale("log")
        axes.set_xlabel(cost.title)
    first = axes_of_cost[0]
    first.set_ylabel(label)
    _explain_marks(first)
    figure.legend(
        *first.get_legend_handles_labels(),
        loc="outside upper center",
        ncols=4,
        frameon=False,
        fontsize=8,
    )
    return figure


def _draw_front(axes: Axes, arms: pd.DataFrame, front: Sequence[str], *, x: str, y: str) -> None:
    """The arms of the front as steps, in its order."""
    by_id = arms.set_index("arm_id")
    drawn = [arm_id for arm_id in front if arm_id in by_id.index]
    best = by_id.reindex(drawn)
    axes.plot(best[x], best[y], drawstyle="steps-post", color=DARK, linewidth=1, zorder=1)


def _draw_arms(axes: Axes, arms: pd.DataFrame, front: Sequence[str], *, x: str, y: str) -> None:
    blue = sns.color_palette("colorblind")[0]
    kinds = np.select(
        [arms["is_champion"], arms["is_baseline"]], ["best on val", "baseline"], "other"
    )
    is_on_front = arms["arm_id"].isin(front)
    for kind, (marker, size) in _MARKS.items():
        for is_filled in (False, True):
            shown = arms[(kinds == kind) & (is_on_front == is_filled)]
            axes.scatter(
                shown[x],
                shown[y],
                marker=marker,
                s=size,
                facecolor=blue if is_filled else "white",
                edgecolor=blue,
                linewidth=1,
                zorder=3 + is_filled,
            )


def _explain_marks(axes: Axes) -> None:
    """Entries of the legend, as marks without points."""
    blue = sns.color_palette("colorblind")[0]
    marks = {
        "on the front": ("o", blue),
        "beaten": ("o", "white"),
        "baseline": ("s", "white"),
        "best on val": ("*", "white"),
    }
    for name, (marker, face) in marks.items():
        axes.scatter([], [], marker=marker, s=40, facecolor=face, edgecolor=blue, label=name)


@styled
def draw_tiles(rows: Sequence[tuple[str, Sequence[tuple[NDArray[np.uint8], str]]]]) -> Figure:
    """Rows of small images, each with its caption above; the row's name stands at its left."""
    n_columns = max(len(tiles) for _, tiles in rows)
    figure = canvas(width=1.55 * n_columns + 1.4, height=1.75 * len(rows))
    grid = np.atleast_2d(figure.subplots(len(rows), n_columns, squeeze=False))
    for axes_of_row, (name, tiles) in zip(grid, rows, strict=True):
        for axes in axes_of_row:
            axes.set_axis_off()
        # rows may be shorter than the longest: the rest of their axes stays off
        for axes, (image, caption) in zip(axes_of_row, tiles, strict=False):
            axes.set_axis_on()
            axes.imshow(image)
            axes.set(xticks=[], yticks=[])
            axes.grid(visible=False)
            axes.set_title(_plain_lines(caption, length=24), fontsize=7.5)
        label = _plain_lines(name, length=18)
        axes_of_row[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=8)
    return figure


def _plain_lines(text: str, *, length: int) -> str:
    return "\n".join(plain(short(line, length)) for line in text.split("\n"))


def _accuracy_spread(
    accuracy: NDArray[np.float64], count: NDArray[np.int64]
) -> NDArray[np.float64]:
    """How far the 95 % interval of each bin's accuracy reaches below and above it: (2, B)."""
    from scipy.stats import binomtest

    spread = np.empty((2, len(count)))
    for place, (share, n) in enumerate(zip(accuracy, count, strict=True)):
        n_right = round(float(share) * int(n))
        # Wilson's interval stays within 0 and 1 and has a width where all or none are right
        interval = binomtest(n_right, int(n)).proportion_ci(0.95, method="wilson")
        spread[:, place] = share - interval.low, interval.high - share
    # rounding can leave an interval that ends at the accuracy some 1e-17 beyond it
    return spread.clip(min=0)
