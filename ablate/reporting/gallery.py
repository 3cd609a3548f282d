"""Which figures a report has, from which rows of the tables, and what their alt text says."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from ablate.reporting.effects import PairedDifferences, arm_of_cell, baseline_level, effect_frame
from ablate.reporting.figures import Picture, draw_arms, draw_axis, draw_confusion, draw_curves, shown_arms
from ablate.reporting.results import Results, prose
from ablate.reporting.tables import level_text
from ablate.spec.study import StudyRecord
from ablate.tracking.records import PublishedRun

FIGURE_METRIC = "test/macro_f1"


def draw_gallery(results: Results) -> dict[str, Picture]:
    """Return name -> picture in the order of the report: arms, one for each axis with something to compare, curves, confusion. What has no data is left out."""
    pictures = [_arms(results), *(_axis(results, axis) for axis in results.record.axes), _curves(results), _confusion(results)]
    return {picture.name: picture for picture in pictures if picture is not None}


def axis_figure_name(axis: str) -> str:
    """File name, without ending, of the figure of an axis."""
    return f"axis_{axis}"


def _arms(results: Results) -> Picture | None:
    if FIGURE_METRIC not in results.trials or results.trials[FIGURE_METRIC].isna().all():
        return None
    best = results.arms.iloc[0]
    figure = draw_arms(results.arms, results.trials, metric=FIGURE_METRIC, label=prose(FIGURE_METRIC))
    alt = (
        f"Dot plot of {prose(FIGURE_METRIC)} for {len(shown_arms(results.arms))} of {len(results.arms)} arms, best val score first, a point a seed. "
        f"First: {best['arm']}, mean {best[f'{FIGURE_METRIC}/mean']:.3f}."
    )
    return Picture("arms", figure, alt)


def _axis(results: Results, axis: str) -> Picture | None:
    pairs = PairedDifferences(FIGURE_METRIC)(results.record, results.trials)
    differences = pairs[pairs["axis"] == axis]
    if differences.empty:
        return None
    effects = [effect for effect in results.effects if effect.axis == axis and effect.metric == FIGURE_METRIC and effect.n_pairs > 0]
    levels = [level_text(level) for level in results.record.axes[axis]]
    values = compared_values(results.record, results.trials, axis)
    figure = draw_axis(
        values, differences, levels=[level for level in levels if level in set(values["level"])], effects=effect_frame(effects), label=prose(FIGURE_METRIC)
    )
    told = "; ".join(f"{effect.level}: {100 * effect.gap.mean:+.1f} points" for effect in effects)
    alt = f"{prose(FIGURE_METRIC)} by level of {axis}, and paired differences to {baseline_level(results.record, axis)} ({told})."
    return Picture(axis_figure_name(axis), figure, alt)


def compared_values(record: StudyRecord, trials: pd.DataFrame, axis: str) -> pd.DataFrame:
    """Rows (level, seed, context, value) of the trials that can be compared along `axis`, so that no level stands in better company than another.

    Contexts in which every level was scored with the seed; where there is none, those with at least two levels.
    """
    position = list(record.axes).index(axis)
    scores = trials.dropna(subset=[FIGURE_METRIC]).set_index(["arm_id", "seed"])[FIGURE_METRIC].to_dict()
    rows = [
        {"level": cell[position], "seed": seed, "context": (*cell[:position], *cell[position + 1 :]), "value": scores[arm_id, seed], "arm_id": arm_id}
        for cell, arm_id in arm_of_cell(record).items()
        for seed in record.seeds
        if (arm_id, seed) in scores
    ]
    values = pd.DataFrame(rows, columns=["level", "seed", "context", "value", "arm_id"])
    counts = values.groupby(["context", "seed"])["arm_id"].transform("nunique")
    complete = values[counts == len(record.axes[axis])]
    return (complete if not complete.empty else values[counts >= 2]).drop(columns="arm_id").reset_index(drop=True)


def _curves(results: Results) -> Picture | None:
    champion, baseline = results.champion, results.baseline
    if champion is None:
        return None
    curves = curve_frame({arm.arm_id: results.complete_runs(arm.arm_id) for arm in results.record.arms}, metrics=(results.record.select_by, "train/loss"))
    if curves.empty:
        return None
    names = {champion.arm_id: f"best on val: {champion.name}"}
    if baseline is not None and baseline.arm_id != champion.arm_id:
        names[baseline.arm_id] = f"baseline: {baseline.name}"
    others = curves["arm_id"].nunique() - sum(arm_id in set(curves["arm_id"]) for arm_id in names)
    figure = draw_curves(curves, names=names, label=prose(results.record.select_by))
    alt = f"Learning curves, mean over seeds with their range: {'; '.join(names.values())}; {others} other arms in grey."
    return Picture("learning_curves", figure, alt)


def curve_frame(runs: Mapping[str, list[PublishedRun]], *, metrics: tuple[str, ...]) -> pd.DataFrame:
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


def _confusion(results: Results) -> Picture | None:
    if results.champion is None or results.champion.arm_id not in results.insights:
        return None
    insight = results.insights[results.champion.arm_id]
    hits = insight.confusion.trace() / insight.confusion.sum()
    alt = f"Confusion matrix of the best arm on test, {insight.n_seeds} seeds together: {100 * hits:.1f} % of the predictions lie on the diagonal."
    return Picture("confusion_champion", draw_confusion(insight.confusion, results.record.data.class_names), alt)
