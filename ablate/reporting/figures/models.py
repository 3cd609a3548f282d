"""Drawings of what models are like: how sure they are, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ablate.metrics.calibration import N_BINS, Reliability
from ablate.reporting.evidence.pareto import Cost
from ablate.reporting.figures.draw import canvas, plain, short, styled

_DARK = "#1b1b1b"
_MARKS = {"other": ("o", 30), "baseline": ("s", 30), "best on val": ("*", 90)}


@styled
def draw_reliability(bins: Reliability) -> Figure:
    """Above: accuracy of each bin of confidence, with its 95 % interval, against the diagonal. Below: how many predictions each bin holds."""
    figure = canvas(width=4.6, height=4.6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    blue = sns.color_palette("colorblind")[0]
    upper.plot(
        [0, 1], [0, 1], color=_DARK, linestyle="--", linewidth=0.9, label="perfect calibration"
    )
    known = bins.count > 0
    low, high = wilson(bins.accuracy[known], bins.count[known])
    spread = np.clip([bins.accuracy[known] - low, high - bins.accuracy[known]], 0, None)
    upper.errorbar(
        bins.confidence[known],
        bins.accuracy[known],
        yerr=spread,
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
    """One panel a cost, on a logarithmic axis: every arm by its means, those of the Pareto front filled and joined by steps; the baseline is a square."""
    figure = canvas(width=2.9 * len(panels) + 0.6, height=3.3)
    drawn = np.atleast_1d(figure.subplots(1, len(panels), sharey=True))
    colours = sns.color_palette("colorblind")
    for axes, (cost, front) in zip(drawn, panels.items(), strict=True):
        known = arms.dropna(subset=[f"{cost.metric}/mean", f"{metric}/mean"])
        known = known[known[f"{cost.metric}/mean"] > 0]
        best = known.set_index("arm_id").reindex(
            [arm_id for arm_id in front if arm_id in set(known["arm_id"])]
        )
        axes.plot(
            best[f"{cost.metric}/mean"],
            best[f"{metric}/mean"],
            drawstyle="steps-post",
            color=_DARK,
            linewidth=1,
            zorder=1,
        )
        kinds = np.select(
            [known["is_champion"], known["is_baseline"]], ["best on val", "baseline"], "other"
        )
        for kind, (marker, size) in _MARKS.items():
            for is_on_front, face in ((False, "white"), (True, colours[0])):
                own = known[(kinds == kind) & (known["arm_id"].isin(front) == is_on_front)]
                x, y = own[f"{cost.metric}/mean"], own[f"{metric}/mean"]
                axes.scatter(
                    x,
                    y,
                    marker=marker,
                    s=size,
                    facecolor=face,
                    edgecolor=colours[0],
                    linewidth=1,
                    zorder=3 + is_on_front,
                )
        axes.set_xscale("log")
        axes.set_xlabel(cost.title)
    drawn[0].set_ylabel(label)
    marks = {
        "on the front": ("o", colours[0]),
        "beaten": ("o", "white"),
        "baseline": ("s", "white"),
        "best on val": ("*", "white"),
    }
    for name, (marker, face) in marks.items():
        drawn[0].scatter(
            [], [], marker=marker, s=40, facecolor=face, edgecolor=colours[0], label=name
        )
    figure.legend(
        *drawn[0].get_legend_handles_labels(),
        loc="outside upper center",
        ncols=4,
        frameon=False,
        fontsize=8,
    )
    return figure


@styled
def draw_tiles(rows: Sequence[tuple[str, Sequence[tuple[NDArray[np.uint8], str]]]]) -> Figure:
    """Rows of small images, each with its caption above; the row's name stands at its left."""
    n_columns = max(len(tiles) for _, tiles in rows)
    figure = canvas(width=1.55 * n_columns + 1.4, height=1.75 * len(rows))
    places = np.atleast_2d(figure.subplots(len(rows), n_columns, squeeze=False))
    for own, (name, tiles) in zip(places, rows, strict=True):
        for axes in own:
            axes.set_axis_off()
        for axes, (image, caption) in zip(own, tiles, strict=False):
            axes.set_axis_on()
            axes.imshow(image)
            axes.set(xticks=[], yticks=[])
            axes.grid(visible=False)
            axes.set_title(
                "\n".join(plain(short(line, 24)) for line in caption.split("\n")), fontsize=7.5
            )
        label = "\n".join(plain(short(line, 18)) for line in name.split("\n"))
        own[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=8)
    return figure


def wilson(share: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % score interval of a share of `count`."""
    z = 1.959964
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)) / (1 + z**2 / count)
    return middle - half, middle + half
