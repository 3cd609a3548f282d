"""Figures through the data of their artists, never pixels."""

from __future__ import annotations

from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection

from ablate.recipe.recipe import Recipe
from ablate.reporting.compute import compute_results
from ablate.reporting.evidence.frames import trial_frame
from ablate.reporting.figures.choose import (
    choose_pictures,
    compared_values,
    curve_frame,
    phase_starts,
)
from ablate.reporting.figures.draw import draw_confusion, draw_curves
from ablate.reporting.figures.picture import canvas, seed_points, to_png, to_svg
from ablate.reporting.insights.classification.class_insight import ClassInsight
from ablate.reporting.insights.classification.confusion import confused_pairs, worst_part
from ablate.study.record import ArmRecord
from ablate.tracking.records import PublishedRun


def gallery(published):
    return choose_pictures(compute_results(published.study, published.predictions))


def scattered(axes) -> np.ndarray:
    """(N, 2) every point of the panel's scatters."""
    return np.concatenate(
        [np.asarray(c.get_offsets()) for c in axes.collections if isinstance(c, PathCollection)]
    )


def bar(axes) -> list[tuple[float, float]]:
    """(low, high) of the panel's vertical error bars; a bar without ends is not drawn."""
    (container,) = axes.containers
    return [
        (segment[0][1], segment[1][1])
        for segment in container.lines[2][0].get_segments()
        if len(segment)
    ]


@pytest.mark.slow
def test_there_is_a_figure_for_each_axis(published) -> None:
    assert list(gallery(published)) == [
        "arms",
        "axis_freeze_depth",
        "axis_lr_ratio",
        "axis_augment",
        "axis_lora_rank",
        "cost",
        "learning_curves",
        "confusion_champion",
        "reliability_champion",
    ]


@pytest.mark.slow
def test_arms_show_every_trial_and_the_mean_of_each_arm(published) -> None:
    (axes,) = gallery(published)["arms"].figure.axes
    points = scattered(axes)
    assert sorted(points[:, 0]) == pytest.approx(
        sorted(run.metrics["test/macro_f1"] for run in published.study.runs)
    )
    (container,) = axes.containers
    means = compute_results(published.study, published.predictions).arms["test/macro_f1/mean"]
    np.testing.assert_allclose(container.lines[0].get_xdata().astype(float), means)
    bold = [text.get_text() for text in axes.get_yticklabels() if text.get_fontweight() == "bold"]
    assert bold == ["baseline"]


@pytest.mark.slow
def test_an_axis_shows_paired_differences_in_points(published) -> None:
    results = compute_results(published.study, published.predictions)
    left, right = gallery(published)["axis_augment"].figure.axes
    (effect,) = results.effects.of_axis("augment", "test/macro_f1")
    assert len(scattered(right)) == effect.n_pairs == 12
    assert scattered(right)[:, 1].mean() == pytest.approx(100 * effect.estimate)
    assert bar(right) == [pytest.approx((100 * effect.judged.low, 100 * effect.judged.high))]
    assert len(scattered(left)) == 24
    assert [text.get_text() for text in left.get_xticklabels()] == ["none", "light"]


def test_compared_values_are_balanced(published) -> None:
    values = compared_values(published.study.record, trial_frame(published.study), "freeze_depth")
    assert (values.groupby(["context", "seed"])["level"].nunique() == 2).all()
    assert all(
        context[-1] == "0" for context in values["context"]
    )  # with adapters nothing can be compared along this axis


@pytest.mark.slow
def test_one_seed_draws_no_bar(build) -> None:
    left, right = gallery(build(seeds=(0,)))["axis_augment"].figure.axes
    assert (bar(left), bar(right)) == ([], [])
    points = scattered(left)
    by_level = [points[points[:, 0] < 0.5], points[points[:, 0] > 0.5]]
    assert left.containers[0].lines[0].get_ydata().astype(float) == pytest.approx(
        [own[:, 1].mean() for own in by_level]
    )


@pytest.mark.slow
def test_curves_are_means_over_seeds(published) -> None:
    results = compute_results(published.study, published.predictions)
    axes = gallery(published)["learning_curves"].figure.axes[0]
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert results.champion is not None
    runs = results.complete_runs(results.champion.arm_id)
    expected = [
        np.mean([run.curves["val/macro_f1"][epoch][1] for run in runs]) for epoch in range(3)
    ]
    line = lines[f"best on val: {results.name(results.champion.arm_id)}"]
    np.testing.assert_allclose(line.get_ydata(), expected)
    assert line.get_xdata().tolist() == [1, 2, 3]
    assert len(axes.get_lines()) == 10


@pytest.mark.slow
def test_runs_without_curves_make_no_figure(published) -> None:
    silent = published.with_runs(lambda run: replace(run, curves={}))
    assert "learning_curves" not in gallery(silent)
    assert curve_frame({"a": list(silent.study.runs)}, metrics=("val/macro_f1",)).empty


def test_confusion_shows_shares_of_rows_and_an_absent_row_of_zeros() -> None:
    counts = np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
    figure = draw_confusion(counts, ["a", "b", "cost in $ and $"], counts.sum(axis=1))
    mesh = figure.axes[0].collections[0]
    shares = np.array([[0.75, 0.25, 0], [0, 1, 0], [0, 0, 0]])
    np.testing.assert_allclose(np.asarray(mesh.get_array()).reshape(3, 3), shares)
    assert [text.get_text() for text in figure.axes[0].texts] == [
        "75",
        "25",
        "",
        "",
        "100",
        "",
        "",
        "",
        "",
    ]
    figure.canvas.draw()


def test_of_many_classes_the_worst_part_is_drawn_with_names_and_shares_of_all(build) -> None:
    study = build(axes={"augment": ("none", "light")}, n_classes=40, n_images=400)
    results = compute_results(study.study, study.predictions)
    assert isinstance(results.insight, ClassInsight)
    digest = results.of_champion(results.insight.arms)
    assert digest is not None
    shown = worst_part(digest.confusion, most=20)
    pairs = confused_pairs(digest.confusion, n_pairs=5)
    assert {label for label, _, _ in pairs} <= set(shown.tolist())
    figure = choose_pictures(results)["confusion_champion"].figure
    names = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert sorted(names) == sorted(f"species {position}" for position in shown)
    n_shown = len(shown)
    drawn = np.asarray(figure.axes[0].collections[0].get_array()).reshape(n_shown, n_shown)
    shares = digest.confusion / digest.confusion.sum(axis=1, keepdims=True)
    order = [int(name.split()[1]) for name in names]
    np.testing.assert_allclose(drawn, shares[np.ix_(order, order)])


def test_seeds_of_different_lengths_are_lines_of_their_own(published) -> None:
    """A mean over those that are left would jump where one ends."""

    def cut(run):
        if run.seed == 1:
            return replace(run, curves={name: line[:2] for name, line in run.curves.items()})
        return run

    figure = gallery(published.with_runs(cut))["learning_curves"].figure
    lengths = sorted(len(line.get_xdata()) for line in figure.axes[0].get_lines())
    assert lengths == [2] * 10 + [3] * 10


def test_a_phase_begins_where_the_recipe_says() -> None:
    recipe = Recipe(strategy="lp_ft", freeze_depth=0, epochs=6, probe_epochs=2)
    arm = ArmRecord(arm_id="a", name="a", recipe=recipe, cells=())
    curve = tuple((epoch, 1.0) for epoch in range(6))
    run = PublishedRun("r", "t", "a", 0, 1, "COMPLETE", {}, {"train/loss": curve}, {}, {}, "")
    stopped = replace(run, curves={"train/loss": curve[:4]})
    assert phase_starts(arm, [run]) == [2]
    assert phase_starts(arm, [run, stopped]) == []
    curves = pd.DataFrame([("a", 0, epoch, "train/loss", 1.0) for epoch in range(6)])
    curves.columns = ["arm_id", "seed", "epoch", "metric", "value"]
    figure = draw_curves(
        curves, names={"a": "a"}, labels={"train/loss": "train loss"}, phase_starts=[2]
    )
    dotted = [line for line in figure.axes[0].get_lines() if line.get_linestyle() == ":"]
    # epoch 2 of the record is the third, and is drawn at 3
    assert [np.asarray(line.get_xdata()).tolist() for line in dotted] == [[2.5, 2.5]]


@pytest.mark.slow
def test_the_same_data_gives_the_same_bytes_and_leaves_no_settings_behind(published) -> None:
    before = dict(mpl.rcParams)
    one, two = gallery(published)["axis_augment"], gallery(published)["axis_augment"]
    assert to_svg(one) == to_svg(two) and to_png(one) == to_png(two)
    assert one.alt.split(" (")[0] in to_svg(one).decode()
    assert dict(mpl.rcParams) == before


def test_losses_have_one_scale_and_scores_their_own() -> None:
    rows = []
    for metric, first in (("val/macro_f1", 0.5), ("train/loss", 2.0), ("val/nll", 0.9)):
        rows += [("a", 0, epoch, metric, first - 0.1 * epoch) for epoch in range(3)]
    curves = pd.DataFrame(rows, columns=["arm_id", "seed", "epoch", "metric", "value"])
    labels = {metric: metric for metric in curves["metric"]}
    losses = ["train/loss", "val/nll"]
    score, train, val = draw_curves(curves, names={"a": "a"}, labels=labels, losses=losses).axes
    assert train.get_ylim() == val.get_ylim() != score.get_ylim()
    assert train.get_ylim()[0] < 0.7 and train.get_ylim()[1] > 2.0


@pytest.mark.parametrize(("n_seeds", "n_names"), [(8, 8), (9, 1)])
def test_more_seeds_than_markers_are_explained_once(n_seeds: int, n_names: int) -> None:
    axes = canvas(width=4, height=3).subplots()
    values = pd.Series(np.arange(n_seeds, dtype=float))
    seed_points(axes, x=values, y=values, seeds=values.astype(int))
    assert len(set(axes.get_legend_handles_labels()[1])) == n_names
    assert len(scattered(axes)) == n_seeds
