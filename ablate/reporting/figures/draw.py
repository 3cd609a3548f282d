"""Drawings of the tables: data frame in, matplotlib Figure out. Tested through their artists' data.

Readable without colour: seeds differ by marker, baseline and champion by line style and shade, and
the one colour map rises in lightness.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ablate.in_order import places, present
from ablate.reporting.figures.picture import (
    DARK,
    LIGHT,
    canvas,
    legend,
    plain,
    seed_points,
    short,
    styled,
)

_MEAN_BAR: dict[str, Any] = {
    "color": DARK,
    "markeredgewidth": 2,
    "zorder": 3,
}
_MEAN_OF_LEVEL: dict[str, Any] = {**_MEAN_BAR, "fmt": "_", "markersize": 16, "capsize": 4}
_MEAN_SHIFT = 0.08
"""To the right of a level's tick; the points of its seeds stand to the left."""
_MOST_ARMS = 40
_MOST_ANNOTATED_CLASSES = 20
_MOST_SLANTED = 14
"""Of more levels, slanted names would touch: those stand upright."""
_CROWDED_LETTERS = 48
"""Letters of all levels' names that fit side by side below one panel."""


@styled
def draw_arms(
    arms: pd.DataFrame, trials: pd.DataFrame, *, metric: str, label: str, noise_sd: float
) -> Figure:
    """One row per arm in the order of `arms`: one point per seed, a bar of mean ± SD.

    The baseline's name is bold; a band shows its mean ± `noise_sd`.
    """
    shown = shown_arms(arms)
    names = _row_names(shown)
    # In inches, about what a letter takes at this size: names stand outside the panel.
    width = 4.8 + 0.075 * max(map(len, names))
    figure = canvas(width=width, height=1.1 + 0.27 * len(shown))
    axes = figure.subplots()
    rows = places(shown["arm_id"])
    # Arms beyond the fortieth have no row, and a trial without a score has no point.
    points = trials[trials["arm_id"].isin(rows)].dropna(subset=[metric])
    seed_points(axes, x=points[metric], y=points["arm_id"].map(rows), seeds=points["seed"])
    mean = shown[f"{metric}/mean"]
    # One at most: a loop, as a study may have no baseline, or none with a score.
    for middle in mean[shown["is_baseline"]].dropna():
        _noise_band(axes.axvspan, middle, noise_sd)
    axes.errorbar(
        mean,
        range(len(shown)),
        xerr=shown[f"{metric}/sd"],
        fmt="|",
        markersize=11,
        capsize=3,
        label="mean ± SD over seeds",
        **_MEAN_BAR,
    )
    # From large to small: the first arm of the table is the top row.
    axes.set(xlabel=label, ylim=(len(shown) - 0.5, -0.5))
    axes.set_yticks(range(len(shown)), list(map(plain, names)))
    for text, is_baseline in zip(axes.get_yticklabels(), shown["is_baseline"], strict=True):
        if is_baseline:
            text.set_fontweight("bold")
    axes.grid(axis="y", visible=False)
    legend(figure, [axes], place="upper", n_columns=6)
    return figure


def shown_arms(arms: pd.DataFrame) -> pd.DataFrame:
    """The first arms of the table, and the baseline wherever it is: what one figure can hold."""
    is_shown = (np.arange(len(arms)) < _MOST_ARMS) | arms["is_baseline"].to_numpy()
    shown: pd.DataFrame = arms.loc[is_shown]
    return shown.reset_index(drop=True)


def _row_names(shown: pd.DataFrame) -> list[str]:
    names = []
    for name, is_baseline in zip(shown["arm"], shown["is_baseline"], strict=True):
        row_name = short(name, 64)
        if is_baseline and row_name != "baseline":
            row_name += " (baseline)"
        names.append(row_name)
    return names


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
    """Two panels, one level per tick.

    Left: `values` (level, seed, value), one point per trial, with mean ± SD of the seeds' means.
    Right: `differences` (level, seed, difference) in points, one dot per pair; mean and
    interval from `effects` (as `choose.axis_frame`), the noise floor 0 ± `noise_sd` as a band.
    """
    height = 3.3
    if _is_crowded(levels):
        height = 4.1  # slanted names hang below the panels
    figure = canvas(width=8.0, height=height)
    left, right = figure.subplots(1, 2)
    _draw_values(left, values, levels=levels)
    left.set(ylabel=label, title="every trial, and mean ± SD over seeds")
    # the baseline's level has no difference to itself, and one without a pair has none at all
    compared = present(levels, among=set(effects["level"]))
    # In points, as the differences of this panel are.
    _noise_band(right.axhspan, 0.0, 100 * noise_sd)
    _draw_differences(right, differences, levels=compared, effects=effects)
    axis = plain(effects["axis"].iloc[0])
    # Shorter than elsewhere: the title has to fit above half of the figure.
    against = short(effects["against"].iloc[0], 16)
    left.set_xlabel(axis)
    right.set(
        xlabel=axis,
        ylabel=f"points of {label}",
        title=plain(f"difference to {against}, with its interval"),
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
    ticks = places(levels)
    known = values[values["level"].isin(ticks)]
    x = known["level"].map(ticks) + _side_step(known["seed"])
    seed_points(axes, x=x, y=known["value"], seeds=known["seed"])
    # Seeds are the replicates: first the mean of each seed, then mean and SD over these.
    seed_means = known.groupby(["level", "seed"], sort=False)["value"].mean()
    by_level = seed_means.groupby("level").agg(["mean", "std"]).reindex(list(levels))
    axes.errorbar(
        np.arange(len(levels)) + _MEAN_SHIFT,
        by_level["mean"],
        yerr=by_level["std"],
        label="mean",
        **_MEAN_OF_LEVEL,
    )
    _level_ticks(axes, levels)


def _draw_differences(
    axes: Axes, differences: pd.DataFrame, *, levels: Sequence[str], effects: pd.DataFrame
) -> None:
    ticks = places(levels)
    axes.axhline(0, color=DARK, linewidth=0.9, linestyle="--")
    points = 100 * differences["difference"]
    x = differences["level"].map(ticks) + _side_step(differences["seed"])
    seed_points(axes, x=x, y=points, seeds=differences["seed"])
    # The intervals of the report, not of these points: seeds and test images are both in them.
    means = effects.set_index("level").reindex(list(levels))
    axes.errorbar(
        np.arange(len(levels)) + _MEAN_SHIFT,
        100 * means["difference"],
        # One half is enough: intervals of a t distribution are symmetric.
        yerr=100 * (means["high"] - means["difference"]),
        **_MEAN_OF_LEVEL,
    )
    _limit_to_points(axes, points)
    _level_ticks(axes, levels)


def _limit_to_points(axes: Axes, points: pd.Series) -> None:
    """Keep the points readable beside an interval that is far wider, as two seeds give.

    Such an interval runs out of the panel instead of flattening the points.
    """
    low = min(points.min(), 0.0)
    high = max(points.max(), 0.0)
    margin = 1.5 * max(high - low, 0.1)
    # Narrowed, never widened: what matplotlib chose already holds the points.
    bottom, top = axes.get_ylim()
    axes.set_ylim(max(bottom, low - margin), min(top, high + margin))


def _side_step(seeds: pd.Series) -> pd.Series:
    """A shift to the left for each seed, so that points hide neither each other nor the mean."""
    order = sorted(seeds.unique())
    shifts = np.linspace(-0.26, -0.1, len(order))
    # linspace would put a single one at the far left.
    if len(order) == 1:
        shifts = np.array([-0.18])
    return seeds.map(dict(zip(order, shifts, strict=True))).astype(float)


def _level_ticks(axes: Axes, levels: Sequence[str]) -> None:
    names = _written(levels)
    slant: dict[str, Any] = {"rotation": 0, "ha": "center"}
    if len(levels) > _MOST_SLANTED:
        slant = {"rotation": 90, "ha": "center"}
    elif _is_crowded(levels):
        slant = {"rotation": 30, "ha": "right"}
    axes.set_xticks(range(len(names)), names, **slant)
    axes.set_xlim(-0.5, len(levels) - 0.5)
    axes.grid(axis="x", visible=False)


def _written(names: Iterable[str]) -> list[str]:
    """Names as matplotlib writes them: cut where they are long, `$` no formula."""
    written = []
    for name in names:
        written.append(plain(short(name)))
    return written


def _is_crowded(levels: Sequence[str]) -> bool:
    """Whether the levels' names do not fit side by side below one panel."""
    return len(levels) * max(map(len, map(short, levels))) > _CROWDED_LETTERS


@styled
def draw_curves(
    curves: pd.DataFrame,
    *,
    names: Mapping[str, str],
    labels: Mapping[str, str],
    phase_starts: Sequence[int] = (),
    losses: Sequence[str] = (),
) -> Figure:
    """Learning curves: `curves` (arm_id, seed, epoch, metric, value), one panel per metric.

    The first two arms in `names` (arm_id -> legend) stand out, all others are grey. `labels`:
    metric -> its words. A dotted line marks where a phase of the first arm begins. The panels of
    `losses` have one scale, so that train and val can be compared.
    """
    # Unique in the order of the frame, which is that of the panels.
    metrics = list(dict.fromkeys(curves["metric"]))
    figure = canvas(width=8.0, height=3.2)
    panels = np.atleast_1d(figure.subplots(1, len(metrics)))
    for axes, metric in zip(panels, metrics, strict=True):
        _draw_curves_of(axes, curves[curves["metric"] == metric], names)
        for start in phase_starts:
            # between the last epoch of one phase and the first of the next, shown from 1
            axes.axvline(start + 0.5, color=DARK, linewidth=0.9, linestyle=":")
        axes.set(xlabel="epoch", title=plain(labels[metric]))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    compared = [panels[place] for place, metric in enumerate(metrics) if metric in losses]
    for axes in compared[1:]:
        axes.sharey(compared[0])
    legend(figure, [panels[0]], place="lower", n_columns=1)
    return figure


def _draw_curves_of(axes: Axes, curves: pd.DataFrame, names: Mapping[str, str]) -> None:
    palette = sns.color_palette("colorblind")
    styles: tuple[dict[str, Any], ...] = (
        {"linestyle": "-", "marker": "o", "color": palette[0]},
        {"linestyle": "--", "marker": "s", "color": palette[1]},
    )
    # Not strict: only two arms are emphasised, the champion and the baseline.
    emphasised = dict(zip(names, styles, strict=False))
    # Grey ones first, so that those which matter are drawn over them.
    for arm_id, of_arm in curves.groupby("arm_id", sort=False):
        if arm_id not in emphasised:
            for line in _lines(of_arm):
                axes.plot(line.index + 1, line, color=LIGHT, linewidth=0.9)
    for arm_id, style in emphasised.items():
        name = plain(short(names[arm_id], 110))
        _emphasise(axes, curves[curves["arm_id"] == arm_id], style, name)


def _lines(curves: pd.DataFrame) -> list[pd.Series[float]]:
    """Epoch -> value: the mean over an arm's seeds, or each seed where their lengths differ.

    A mean of the few seeds that trained longest would jump where the others end.
    """
    epochs_of_seed = curves.groupby("seed")["epoch"].apply(frozenset)
    if epochs_of_seed.nunique() <= 1:
        return [curves.groupby("epoch")["value"].mean()]
    lines = []
    for _, of_seed in curves.groupby("seed", sort=False):
        lines.append(of_seed.set_index("epoch")["value"])
    return lines


def _emphasise(axes: Axes, curves: pd.DataFrame, style: Mapping[str, Any], name: str) -> None:
    """The mean over the seeds as a line, their range as a band; or a line per seed."""
    lines = _lines(curves)
    if len(lines) > 1:
        for number, line in enumerate(lines):
            label = name if number == 0 else "_" + name  # matplotlib leaves out names with _
            axes.plot(line.index + 1, line, linewidth=1.2, markersize=3, label=label, **style)
        return
    across = curves.groupby("epoch")["value"].agg(["mean", "min", "max"])
    # Epochs are stored from 0 and shown from 1.
    epochs = across.index + 1
    axes.fill_between(
        epochs, across["min"], across["max"], color=style["color"], alpha=0.2, linewidth=0
    )
    axes.plot(epochs, across["mean"], linewidth=1.8, markersize=4, label=name, **style)


@styled
def draw_confusion(
    matrix: NDArray[np.int64], class_names: Sequence[str], n_of_label: NDArray[np.int64]
) -> Figure:
    """Shares of each label's images by predicted class, in the order given.

    `matrix` is (label, predicted class), of all classes or a part; `n_of_label` are the predictions
    on each label, of all classes. A row of an absent class stays 0.
    """
    n_classes = len(class_names)
    # Readable cells up to about eighteen classes; with more they shrink.
    side = min(2.6 + 0.36 * n_classes, 9.0)
    figure = canvas(width=side + 0.8, height=side)
    axes = figure.subplots()
    # A class without an image has a row of zeros, and 0 / 1 is still 0.
    shares = matrix / np.maximum(n_of_label[:, None], 1)
    names = _written(class_names)
    options: dict[str, Any] = {"xticklabels": names, "yticklabels": names, "linewidths": 0.4}
    if n_classes <= _MOST_ANNOTATED_CLASSES:
        # Beyond twenty classes a number would not fit into its cell.
        percents = np.vectorize(_percent)(shares)
        options |= {"annot": percents, "fmt": "", "annot_kws": {"fontsize": 8}}
    sns.heatmap(
        shares,
        ax=axes,
        cmap="Blues",
        vmin=0,
        vmax=1,
        square=True,
        cbar_kws={"label": "share of the label's images", "shrink": 0.8},
        **options,
    )
    axes.set(xlabel="predicted class", ylabel="label")
    # said for few classes too: seaborn turns names by a guess of its own
    rotation = 90 if n_classes > 4 else 0
    axes.tick_params(axis="x", rotation=rotation)
    axes.tick_params(axis="y", rotation=0)
    return figure


def _percent(share: float) -> str:
    """`37`; nothing below half a percent, so that the confusions stand out."""
    return f"{100 * share:.0f}" if share >= 0.005 else ""
