"""Which figures a report has, from which rows of the tables, and what their alt text says."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from functools import partial

import pandas as pd

from ablate.in_order import present
from ablate.recipe.levels import level_text
from ablate.recipe.strategy import phases_of
from ablate.reporting.evidence.comparisons import arm_of_cell, baseline_level
from ablate.reporting.evidence.effects import Effect, pair_values
from ablate.reporting.evidence.judged_metrics import primary_metric
from ablate.reporting.evidence.pareto import Cost, measured, pareto_front
from ablate.reporting.evidence.scores import score_array
from ablate.reporting.figures.draw import draw_arms, draw_axis, draw_curves, shown_arms
from ablate.reporting.figures.image_tiles import image_pictures
from ablate.reporting.figures.models import draw_cost
from ablate.reporting.figures.picture import Picture
from ablate.reporting.results import Results, prose
from ablate.reporting.text.markdown import interval_in_points, points
from ablate.study.record import ArmRecord, StudyRecord
from ablate.tracking.records import PublishedRun

_LOSS_ON_VAL = "nll"
"""Drawn beside the loss on train, where the task has it."""
_N_COSTS = 4
_LEAST_SPREAD = 1.2
"""A cost is drawn where the dearest arm costs so many times what the cheapest does."""


def choose_pictures(results: Results) -> dict[str, Picture]:
    """Return name -> picture, in the order of the report; what has no data is left out.

    None is drawn yet.

    Arms, one for each axis with something to compare, cost, curves, those of the task, examples.
    """
    pictures = [
        _arms(results),
        *map(partial(_axis, results), results.record.axes),
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
    metric = results.effects.primary
    if metric not in results.trials or results.trials[metric].isna().all():
        return None
    # The frame holds the names of the grid; figure and table must use the same ones.
    arms = _renamed(results)
    best = arms.iloc[0]
    draw = partial(
        draw_arms,
        arms,
        results.trials,
        metric=metric,
        label=prose(metric),
        noise_sd=results.noise_floor.sd,
    )
    n_shown = len(shown_arms(results.arms))
    alt = (
        f"Dot plot of {prose(metric)} for {n_shown} of {len(results.arms)} arms, "
        "best val score first, one point per seed. "
        f"First: {best['arm']}, mean {best[f'{metric}/mean']:.3f}."
    )
    return Picture("arms", draw, alt)


def _renamed(results: Results) -> pd.DataFrame:
    """The frame of arms with the names that the report calls them by."""
    return results.arms.assign(arm=results.arms["arm_id"].map(results.name))


def _axis(results: Results, axis: str) -> Picture | None:
    metric = results.effects.primary
    effects = [effect for effect in results.effects.of_axis(axis, metric) if effect.n_pairs > 0]
    if not effects:
        return None
    values = compared_values(results.record, results.trials, axis)
    compared = set(values["level"])
    levels = map(level_text, results.record.axes[axis])
    draw = partial(
        draw_axis,
        values,
        pd.concat(map(partial(pair_frame, results), effects)),
        # in the order of the grid, which is that of the ticks
        levels=present(levels, among=compared),
        effects=axis_frame(effects),
        label=prose(metric),
        noise_sd=results.noise_floor.sd,
    )
    differences = "; ".join(map(_effect_text, effects))
    alt = (
        f"{prose(metric)} by level of {axis}, and paired differences to "
        f"{baseline_level(results.record, axis)} ({differences})."
    )
    return Picture(axis_figure_name(axis), draw, alt)


def _effect_text(effect: Effect) -> str:
    """The one answer, as every page has it."""
    size = f"{effect.comparison.levels[0]}: {points(effect.estimate)} points"
    interval = interval_in_points(effect.judged.low, effect.judged.high)
    if not interval:
        # one seed: a difference without an error
        return size
    return f"{size}, interval {interval}"


def pair_frame(results: Results, effect: Effect) -> pd.DataFrame:
    """Rows (level, seed, difference) of the pairs of a main effect."""
    scores = score_array(results.record, results.trials, effect.metric)
    values = pair_values(effect.comparison, scores)  # (matched cells, seeds)
    columns = {
        "level": effect.comparison.levels[0],
        "seed": list(results.record.seeds) * len(values),
        "difference": values.ravel(),
    }
    return pd.DataFrame(columns).dropna(subset=["difference"])


def axis_frame(effects: Sequence[Effect]) -> pd.DataFrame:
    """One row per level: axis, level, against, difference, low, high, is_claimed."""
    rows = []
    for effect in effects:
        row = {
            "axis": effect.comparison.axes[0],
            "level": effect.comparison.levels[0],
            "against": effect.comparison.against[0],
            "difference": effect.estimate,
            "low": effect.judged.low,
            "high": effect.judged.high,
            "is_claimed": effect.judged.excludes_zero,
        }
        rows.append(row)
    return pd.DataFrame(rows)


def compared_values(record: StudyRecord, trials: pd.DataFrame, axis: str) -> pd.DataFrame:
    """Rows (level, seed, context, value) of the trials that can be compared along `axis`.

    No level stands in better company than another: contexts are those in which every level was
    scored with the seed; where there is none, those with at least two levels.
    """
    metric = primary_metric(record)
    # Cells are tuples of levels in the order of the axes.
    position = list(record.axes).index(axis)
    scores = trials.dropna(subset=[metric]).set_index(["arm_id", "seed"])[metric].to_dict()
    rows = []
    for cell, arm_id in arm_of_cell(record).items():
        # All other levels: what two trials must share to be compared along this axis.
        context = (*cell[:position], *cell[position + 1 :])
        for seed in record.seeds:
            if (arm_id, seed) in scores:
                rows.append((cell[position], seed, context, scores[arm_id, seed], arm_id))
    values = pd.DataFrame(rows, columns=["level", "seed", "context", "value", "arm_id"])
    n_arms = values.groupby(["context", "seed"])["arm_id"].transform("nunique")
    # Merged cells are one arm: such a context compares fewer arms than it has levels.
    compared = values[n_arms == len(record.axes[axis])]
    if compared.empty:
        compared = values[n_arms >= 2]
    return compared.drop(columns="arm_id").reset_index(drop=True)


def _curves(results: Results) -> Picture | None:
    champion = results.champion
    baseline = results.baseline
    if champion is None:
        return None
    runs = {arm_id: results.complete_runs(arm_id) for arm_id in results.arm_of_id}
    metrics = _curve_metrics(results)
    curves = curve_frame(runs, metrics=metrics)
    if curves.empty:
        return None
    # the order is that of the legend: the arm to use first
    names = {champion.arm_id: f"best on val: {results.name(champion.arm_id)}"}
    if baseline is not None and baseline.arm_id != champion.arm_id:
        names[baseline.arm_id] = results.name(baseline.arm_id)
    # Arms that are drawn, not all: one without a complete trial has no curve.
    n_others = len(set(curves["arm_id"]) - set(names))
    starts = phase_starts(champion, results.complete_runs(champion.arm_id))
    labels = {metric: prose(metric) for metric in curves["metric"].unique()}
    draw = partial(
        draw_curves, curves, names=names, labels=labels, phase_starts=starts, losses=metrics[1:]
    )
    alt = (
        "Learning curves, mean over seeds with their range, or a line per seed where seeds trained "
        f"for different numbers of epochs: {'; '.join(names.values())}; "
        f"{n_others} other arms in grey{_phases_text(starts)}."
    )
    return Picture("learning_curves", draw, alt)


def _curve_metrics(results: Results) -> list[str]:
    """What chooses, then the loss on train, and on val where it was logged."""
    metrics = [results.record.select_by, "train/loss"]
    for metric in results.task.metrics:
        if metric.name == _LOSS_ON_VAL:
            metrics.append(f"val/{metric.name}")
    return metrics


def phase_starts(arm: ArmRecord, runs: Sequence[PublishedRun]) -> list[int]:
    """The epochs, counted from 0, with which the arm's second and later phases begin.

    Empty where it has one phase, or where a phase ended early: then only the run knows where.
    """
    lengths = [phase.epochs for phase in phases_of(arm.recipe)]
    planned = sum(n_epochs or 0 for n_epochs in lengths)
    for run in runs:
        # One value an epoch: fewer mean that patience ended a phase.
        if len(run.curves.get("train/loss", ())) != planned:
            return []
    return list(itertools.accumulate(n_epochs or 0 for n_epochs in lengths[:-1]))


def _phases_text(starts: Sequence[int]) -> str:
    if not starts:
        return ""
    listed = ", ".join(str(start + 1) for start in starts)
    return f"; a dotted line where a phase of the best arm begins, at epoch {listed}"


def curve_frame(
    runs: Mapping[str, Sequence[PublishedRun]], *, metrics: Sequence[str]
) -> pd.DataFrame:
    """Rows (arm_id, seed, epoch, metric, value) of the curves that the runs have."""
    rows = []
    for metric in metrics:
        # Metrics outside, arms inside: the order of rows is the order of panels and of lines.
        for arm_id, of_arm in runs.items():
            for run in of_arm:
                for epoch, value in run.curves.get(metric, ()):
                    if not math.isnan(value):
                        rows.append((arm_id, run.seed, epoch, metric, value))
    return pd.DataFrame(rows, columns=["arm_id", "seed", "epoch", "metric", "value"])


def _costs(results: Results) -> Picture | None:
    arms = results.arms
    metric = results.effects.primary
    if f"{metric}/mean" not in arms or arms[f"{metric}/mean"].isna().all():
        return None
    costs = [cost for cost in measured(arms) if cost.is_traded and _differs(arms, cost)]
    panels = {cost: pareto_front(arms, cost, metric=metric) for cost in costs[:_N_COSTS]}
    if not panels:
        return None
    titles = ", ".join(cost.title for cost in panels)
    alt = (
        f"{prose(metric)} of each arm against {titles}, with the Pareto front as a line. "
        "Numbers are ranks in the table of arms; the names are below."
    )
    draw = partial(draw_cost, _renamed(results), panels, metric=metric, label=prose(metric))
    return Picture("cost", draw, alt)


def _differs(arms: pd.DataFrame, cost: Cost) -> bool:
    """Whether arms differ enough in a cost; not where some are not positive: its axis is a log."""
    values = arms[f"{cost.metric}/mean"]
    return bool(values.min() > 0 and values.max() / values.min() > _LEAST_SPREAD)
