"""Drawings of the tables: data frame in, matplotlib Figure out.

Tested through the data of their artists. Readable without colour: seeds differ by marker, baseline
and champion by line style and shade, and the one colour map rises in lightness.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ablate.reporting.figures.canvas import DARK, LIGHT, canvas, legend, plain, short, styled

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_MEAN: dict[str, Any] = {
    "fmt": "_",
    "color": DARK,
    "markersize": 16,
    "markeredgewidth": 2,
    "capsize": 4,
    "zorder": 3,
}
_EMPHASIS: tuple[dict[str, Any], ...] = (
    {"linestyle": "-", "marker": "o"},
    {"linestyle": "--", "marker": "s"},
)
_MEAN_SHIFT = 0.08
"""Right of the level's tick; the seeds' points are left of it, see `_side_step`."""
_MOST_ARMS = 40
_MOST_CLASS_NAMES = 30
_MOST_CLASS_NUMBERS = 15


@styled
def draw_arms(
    arms: pd.DataFrame, trials: pd.DataFrame, *, metric: str, label: str, noise_sd: float
) -> Figure:
    """One row per arm in the order of `arms`: one point per seed, a bar of mean ± SD.

    The baseline's name is bold, its mean ± `noise_sd` a band.
    """
    shown = shown_arms(arms)
    names = list(map(_marked, shown["arm"], shown["is_baseline"]))
    figure, axes = _figure(width=4.8 + 0.075 * max(map(len, names)), height=1.1 + 0.27 * len(shown))
    places = {arm_id: row for row, arm_id in enumerate(shown["arm_id"])}
    points = trials[trials["arm_id"].isin(places)].dropna(subset=[metric])
    _seed_points(axes, x=points[metric], y=points["arm_id"].map(places), seeds=points["seed"])
    mean = shown[f"{metric}/mean"]
    for middle in mean[shown["is_baseline"]].dropna():
        _noise_band(axes.axvspan, middle, noise_sd)
    axes.errorbar(
        mean,
        range(len(shown)),
        xerr=shown[f"{metric}/sd"],
        fmt="|",
        color=DARK,
        markersize=11,
        markeredgewidth=2,
        capsize=3,
        zorder=3,
        label="mean ± SD over seeds",
    )
    axes.set(xlabel=label, ylim=(len(shown) - 0.5, -0.5))
    axes.set_yticks(range(len(shown)), list(map(plain, names)))
    for text, is_baseline in zip(axes.get_yticklabels(), shown["is_baseline"], strict=True):
        text.set_fontweight("bold" if is_baseline else "normal")
    axes.grid(axis="y", visible=False)
    legend(figure, [axes], place="upper", n_columns=6)
    return figure


def shown_arms(arms: pd.DataFrame) -> pd.DataFrame:
    """What one figure can hold: the first arms of the table, and the baseline wherever it is."""
    is_shown = (np.arange(len(arms)) < _MOST_ARMS) | arms["is_baseline"].to_numpy()
    shown: pd.DataFrame = arms.loc[is_shown]
    return shown.reset_index(drop=True)


@styled
def draw_axis(
    values: pd.DataFrame,
    differences: pd.DataFrame,
    *,
    levels: Sequence[str],
    effects: pd.DataFrame,
    label: str,
    noise_sd: float,
) -> Figure:
    """Left: `values` (level, seed, value), one point per trial, and mean ± SD over the seeds.

    Right: `differences` (level, seed, difference) in points, one dot per pair; mean and 95 %
    interval from `effects` (as `choose.axis_frame`), the noise floor 0 ± `noise_sd` as a band.
    """
    figure = canvas(width=8.0, height=4.1 if _is_crowded(levels) else 3.3)
    left, right = figure.subplots(1, 2)
    _draw_values(left, values, levels=levels)
    left.set(ylabel=label, title="every trial, and mean ± SD over seeds")
    compared = [level for level in levels if level in set(effects["level"])]
    _noise_band(right.axhspan, 0.0, 100 * noise_sd)
    _draw_differences(right, differences, levels=compared, effects=effects)
    axis = effects["axis"].iloc[0]
    against = short(effects["against"].iloc[0], 16)
    left.set_xlabel(plain(axis))
    right.set(
        xlabel=plain(axis),
        ylabel=f"points of {label}",
        title=plain(f"difference to {against}, 95 % interval"),
    )
    legend(figure, [left, right], place="lower", n_columns=7)
    return figure


def _noise_band(span: Callable[..., Any], middle: float, sd: float) -> None:
    """A grey band of the noise floor; nothing where it is not measured."""
    if np.isnan(sd):
        return
    span(
        middle - sd,
        middle + sd,
        color=LIGHT,
        alpha=0.35,
        linewidth=0,
        zorder=0,
        label="noise floor, ± SD",
    )


def _draw_values(axes: Axes, values: pd.DataFrame, *, levels: Sequence[str]) -> None:
    places = {level: place for place, level in enumerate(levels)}
    known = values[values["level"].isin(places)]
    _seed_points(
        axes,
        x=known["level"].map(places) + _side_step(known["seed"]),
        y=known["value"],
        seeds=known["seed"],
    )
    # first the seeds' means: the trials of one seed share its draw of images, and are no replicates
    seed_means = known.groupby(["level", "seed"], sort=False)["value"].mean()
    by_seed = seed_means.groupby("level").agg(["mean", "std"]).reindex(list(levels))
    axes.errorbar(
        np.arange(len(levels)) + _MEAN_SHIFT,
        by_seed["mean"],
        yerr=by_seed["std"],
        label="mean",
        **_MEAN,
    )
    _level_ticks(axes, levels)


def _draw_differences(
    axes: Axes, differences: pd.DataFrame, *, levels: Sequence[str], effects: pd.DataFrame
) -> None:
    places = {level: place for place, level in enumerate(levels)}
    axes.axhline(0, color=DARK, linewidth=0.9, linestyle="--")
    points = 100 * differences["difference"]
    _seed_points(
        axes,
        x=differences["level"].map(places) + _side_step(differences["seed"]),
        y=points,
        seeds=differences["seed"],
    )
    means = effects.set_index("level").reindex(list(levels))
    height = 100 * (means["high"] - means["difference"])
    axes.errorbar(
        np.arange(len(levels)) + _MEAN_SHIFT, 100 * means["difference"], yerr=height, **_MEAN
    )
    _limit_to_points(axes, points)
    _level_ticks(axes, levels)


def _limit_to_points(axes: Axes, points: pd.Series) -> None:
    """Let an interval that is far wider than the points run out of the panel.

    Two seeds give such intervals: in full they would flatten the points to one line.
    """
    low = min(points.min(), 0.0)
    high = max(points.max(), 0.0)
    margin = 1.5 * max(high - low, 0.1)
    bottom, top = axes.get_ylim()
    axes.set_ylim(max(bottom, low - margin), min(top, high + margin))


@styled
def draw_curves(curves: pd.DataFrame, *, names: Mapping[str, str], label: str) -> Figure:
    """Learning curves: `curves` (arm_id, seed, epoch, metric, value), one panel per metric.

    Arms in `names` (arm_id -> legend), at most two, stand out; the others are grey.
    """
    metrics = list(dict.fromkeys(curves["metric"]))
    figure = canvas(width=8.0, height=3.2)
    panels = np.atleast_1d(figure.subplots(1, len(metrics)))
    styles = dict(zip(names, _EMPHASIS, strict=False))
    for axes, metric in zip(panels, metrics, strict=True):
        of_metric = curves[curves["metric"] == metric]
        by_epoch = of_metric.groupby(["arm_id", "epoch"], sort=False, as_index=False)
        mean = by_epoch["value"].mean()
        for arm_id, line in mean.groupby("arm_id", sort=False):
            if arm_id not in styles:
                axes.plot(line["epoch"] + 1, line["value"], color=LIGHT, linewidth=0.9)
        for arm_id, style in styles.items():
            of_arm = of_metric[of_metric["arm_id"] == arm_id]
            _emphasise(axes, of_arm, style, plain(short(names[arm_id], 110)))
        title = label if metric == metrics[0] else metric
        axes.set(xlabel="epoch", ylabel=title)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    legend(figure, [panels[0]], place="lower", n_columns=1)
    return figure


def _emphasise(axes: Axes, curves: pd.DataFrame, style: Mapping[str, Any], name: str) -> None:
    """The mean over the seeds as a line, their range as a band."""
    across = curves.groupby("epoch")["value"].agg(["mean", "min", "max"])
    colour = sns.color_palette("colorblind")[0 if style["linestyle"] == "-" else 1]
    axes.fill_between(
        across.index + 1, across["min"], across["max"], color=colour, alpha=0.2, linewidth=0
    )
    axes.plot(
        across.index + 1,
        across["mean"],
        color=colour,
        linewidth=1.8,
        markersize=4,
        label=name,
        **style,
    )


@styled
def draw_confusion(matrix: NDArray[np.int64], class_names: Sequence[str]) -> Figure:
    """Shares of each label's images by predicted class, in the order given.

    `matrix` (C, C) counts images, labels as rows. Rows sum to 1, that of an absent class to 0.
    Names are written where they can be read.
    """
    n_classes = len(class_names)
    is_named = n_classes <= _MOST_CLASS_NAMES
    side = min(2.6 + 0.36 * n_classes, 9.0) if is_named else 6.5
    figure, axes = _figure(width=side + 0.8, height=side)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    names = [plain(short(name)) for name in class_names] if is_named else False
    numbers: dict[str, Any] = {}
    if n_classes <= _MOST_CLASS_NUMBERS:
        numbers = {"annot": np.vectorize(_percent)(shares), "fmt": "", "annot_kws": {"fontsize": 8}}
    sns.heatmap(
        shares,
        ax=axes,
        cmap="Blues",
        vmin=0,
        vmax=1,
        square=True,
        xticklabels=names,
        yticklabels=names,
        linewidths=0.4 if is_named else 0.0,
        cbar_kws={"label": "share of the label's images", "shrink": 0.8},
        # ten thousand cells as shapes would be megabytes of SVG
        rasterized=not is_named,
        **numbers,
    )
    axes.set(xlabel="predicted class", ylabel="label")
    if is_named:
        axes.tick_params(axis="x", rotation=90 if n_classes > 4 else 0)
        axes.tick_params(axis="y", rotation=0)
    return figure


def _figure(*, width: float, height: float) -> tuple[Figure, Axes]:
    figure = canvas(width=width, height=height)
    return figure, figure.subplots()


def _seed_points(axes: Axes, *, x: pd.Series, y: pd.Series, seeds: pd.Series) -> None:
    """One scatter per seed, with its own marker and colour."""
    palette = sns.color_palette("colorblind")
    for position, seed in enumerate(sorted(seeds.unique())):
        is_of_seed = seeds == seed
        axes.scatter(
            x[is_of_seed],
            y[is_of_seed],
            marker=_MARKERS[position % len(_MARKERS)],
            s=24,
            facecolor=palette[position % len(palette)],
            edgecolor="white",
            linewidth=0.5,
            alpha=0.9,
            zorder=4,
            label=f"seed {seed}",
        )


def _side_step(seeds: pd.Series) -> pd.Series:
    """A shift to the left for each seed, so that points hide neither each other nor the mean."""
    order = sorted(seeds.unique())
    shifts = np.linspace(-0.26, -0.1, len(order))
    if len(order) == 1:
        shifts = np.array([-0.18])
    return seeds.map(dict(zip(order, shifts, strict=True))).astype(float)


def _level_ticks(axes: Axes, levels: Sequence[str]) -> None:
    names = [plain(short(level)) for level in levels]
    is_crowded = _is_crowded(levels)
    axes.set_xticks(
        range(len(names)),
        names,
        rotation=30 if is_crowded else 0,
        ha="right" if is_crowded else "center",
    )
    axes.set_xlim(-0.5, len(levels) - 0.5)
    axes.grid(axis="x", visible=False)


def _is_crowded(levels: Sequence[str]) -> bool:
    """Whether the levels' names do not fit side by side below one panel."""
    return len(levels) * max(len(short(level)) for level in levels) > 48


def _marked(name: str, is_baseline: bool) -> str:
    return f"{short(name, 100)} (baseline)" if is_baseline else short(name, 100)


def _percent(share: float) -> str:
    return f"{100 * share:.0f}" if share >= 0.005 else ""
