"""Which figures a report has, from which rows of the tables, and what their alt text says."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from ablate.reporting.evidence.comparisons import arm_of_cell, baseline_level
from ablate.reporting.evidence.effects import Effect, pair_values, score_array
from ablate.reporting.evidence.judged_metrics import primary_metric
from ablate.reporting.evidence.pareto import COSTS, measured, pareto_front
from ablate.reporting.evidence.tables import level_text
from ablate.reporting.figures.draw import (
    Picture,
    draw_arms,
    draw_axis,
    draw_curves,
    shown_arms,
)
from ablate.reporting.figures.image_tiles import image_pictures
from ablate.reporting.figures.models import draw_cost
from ablate.reporting.results import Results, prose
from ablate.study.record import StudyRecord
from ablate.tracking.records import PublishedRun


def draw_gallery(results: Results) -> dict[str, Picture]:
    """Return name -> picture in the order of the report: arms, one for each axis with something to compare, cost, curves, confusion, reliability, examples.

    What has no data is left out.
    """
    axes = [_axis(results, axis) for axis in results.record.axes]
    pictures = [
        _arms(results),
        *axes,
        _costs(results),
        _curves(results),
        *results.insight.pictures(results),
        *image_pictures(results),
    ]
    return {picture.name: picture for picture in pictures if picture is not None}


def axis_figure_name(axis: str) -> str:
    """File name, without ending, of the figure of an axis."""
    return f"axis_{axis}"


def _arms(results: Results) -> Picture | None:
    if (
        results.effects.primary not in results.trials
        or results.trials[results.effects.primary].isna().all()
    ):
        return None
    best = results.arms.iloc[0]
    figure = draw_arms(
        results.arms,
        results.trials,
        metric=results.effects.primary,
        label=prose(results.effects.primary),
        noise_sd=results.noise_floor.sd,
    )
    alt = (
        f"Dot plot of {prose(results.effects.primary)} for {len(shown_arms(results.arms))} of {len(results.arms)} arms, best val score first, a point a seed. "
        f"First: {best['arm']}, mean {best[f'{results.effects.primary}/mean']:.3f}."
    )
    return Picture("arms", figure, alt)


def _axis(results: Results, axis: str) -> Picture | None:
    effects = [
        effect
        for effect in results.effects.of_axis(axis, results.effects.primary)
        if effect.n_pairs > 0
    ]
    if not effects:
        return None
    differences = pd.concat([pair_frame(results, effect) for effect in effects])
    levels = [level_text(level) for level in results.record.axes[axis]]
    values = compared_values(results.record, results.trials, axis)
    figure = draw_axis(
        values,
        differences,
        levels=[level for level in levels if level in set(values["level"])],
        effects=axis_frame(effects),
        label=prose(results.effects.primary),
        noise_sd=results.noise_floor.sd,
    )
    told = "; ".join(
        f"{effect.comparison.levels[0]}: {100 * effect.estimate:+.1f} points" for effect in effects
    )
    alt = f"{prose(results.effects.primary)} by level of {axis}, and paired differences to {baseline_level(results.record, axis)} ({told})."
    return Picture(axis_figure_name(axis), figure, alt)


def pair_frame(results: Results, effect: Effect) -> pd.DataFrame:
    """Rows (level, seed, difference) of the pairs of a main effect."""
    values = pair_values(
        effect.comparison, score_array(results.record, results.trials, effect.metric)
    )
    seeds = list(results.record.seeds) * len(values)
    frame = pd.DataFrame(
        {"level": effect.comparison.levels[0], "seed": seeds, "difference": values.ravel()}
    )
    return frame.dropna(subset=["difference"])


def axis_frame(effects: list[Effect]) -> pd.DataFrame:
    """One row a level: axis, level, against, difference, low, high."""
    rows = [
        (
            e.comparison.axes[0],
            e.comparison.levels[0],
            e.comparison.against[0],
            e.estimate,
            e.interval.low,
            e.interval.high,
            e.is_claimed,
        )
        for e in effects
    ]
    return pd.DataFrame(
        rows, columns=["axis", "level", "against", "difference", "low", "high", "is_claimed"]
    )


def compared_values(record: StudyRecord, trials: pd.DataFrame, axis: str) -> pd.DataFrame:
    """Rows (level, seed, context, value) of the trials that can be compared along `axis`, so that no level stands in better company than another.

    Contexts in which every level was scored with the seed; where there is none, those with at least two levels.
    """
    position = list(record.axes).index(axis)
    metric = primary_metric(record)
    scores = trials.dropna(subset=[metric]).set_index(["arm_id", "seed"])[metric].to_dict()
    rows = [
        {
            "level": cell[position],
            "seed": seed,
            "context": (*cell[:position], *cell[position + 1 :]),
            "value": scores[arm_id, seed],
            "arm_id": arm_id,
        }
        for cell, arm_id in arm_of_cell(record).items()
        for seed in record.seeds
        if (arm_id, seed) in scores
    ]
    values = pd.DataFrame(rows, columns=["level", "seed", "context", "value", "arm_id"])
    counts = values.groupby(["context", "seed"])["arm_id"].transform("nunique")
    complete = values[counts == len(record.axes[axis])]
    return (
        (complete if not complete.empty else values[counts >= 2])
        .drop(columns="arm_id")
        .reset_index(drop=True)
    )


def _curves(results: Results) -> Picture | None:
    champion, baseline = results.champion, results.baseline
    if champion is None:
        return None
    curves = curve_frame(
        {arm.arm_id: results.complete_runs(arm.arm_id) for arm in results.record.arms},
        metrics=(results.record.select_by, "train/loss"),
    )
    if curves.empty:
        return None
    names = {champion.arm_id: f"best on val: {champion.name}"}
    if baseline is not None and baseline.arm_id != champion.arm_id:
        names[baseline.arm_id] = f"baseline: {baseline.name}"
    others = curves["arm_id"].nunique() - sum(arm_id in set(curves["arm_id"]) for arm_id in names)
    figure = draw_curves(curves, names=names, label=prose(results.record.select_by))
    alt = f"Learning curves, mean over seeds with their range: {'; '.join(names.values())}; {others} other arms in grey."
    return Picture("learning_curves", figure, alt)


def curve_frame(
    runs: Mapping[str, list[PublishedRun]], *, metrics: tuple[str, ...]
) -> pd.DataFrame:
    """Rows (arm_id, seed, epoch, metric, value) of the per-epoch curves that the runs have."""
    rows = [
        {"arm_id": arm_id, "seed": run.seed, "epoch": epoch, "metric": metric, "value": value}
        for metric in metrics
        for arm_id, own in runs.items()
        for run in own
        for epoch, value in run.curves.get(metric, ())
        if not math.isnan(value)
    ]
    return pd.DataFrame(rows, columns=["arm_id", "seed", "epoch", "metric", "value"])


def _spread(values: pd.Series[float]) -> float:
    """How many times the least the most is; 0 where some are not positive."""
    return float(values.max() / values.min()) if values.min() > 0 else 0.0


def _costs(results: Results) -> Picture | None:
    arms = results.arms
    metric = results.effects.primary
    if f"{metric}/mean" not in arms or arms[f"{metric}/mean"].isna().all():
        return None
    shown = [
        cost
        for cost in measured(arms)
        if cost.is_traded and _spread(arms[f"{cost.metric}/mean"]) > 1.2
    ][:4]
    if not shown:
        return None
    panels = {cost: pareto_front(arms, cost, metric=metric) for cost in COSTS if cost in shown}
    alt = f"{prose(metric)} of each arm against {', '.join(cost.title for cost in shown)}, with the Pareto front as a line."
    return Picture("cost", draw_cost(arms, panels, metric=metric, label=prose(metric)), alt)
