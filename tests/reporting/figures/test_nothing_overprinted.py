"""Every text of every figure: inside the figure, and over no other text."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, cast

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from ablate.reporting.compute import compute_results
from ablate.reporting.figures.choose import choose_pictures
from ablate.reporting.figures.labels import name_points
from ablate.reporting.figures.picture import canvas
from ablate.tracking.records import PublishedRun

FLOWERS = {
    "freeze_depth": ("all", -1, 0),
    "augment": ("none", "light", "strong"),
    "lr_ratio": (0.1, 1.0),
    "lora_rank": (0, 8),
}
LEVELS = tuple(round(1e-3 * 1.3**n, 6) for n in range(22))
STUDIES: dict[str, dict[str, Any]] = {
    "as flowers": {"axes": FLOWERS, "seeds": (0, 1, 2)},
    "many seeds": {"axes": {"augment": ("none", "light", "medium")}, "seeds": range(20)},
    "many levels": {"axes": {"head_lr": LEVELS[:12]}, "seeds": (0, 1)},
    "more levels": {"axes": {"head_lr": LEVELS}, "seeds": (0, 1)},
    "many classes": {"axes": {"augment": ("none", "light")}, "n_classes": 40, "n_images": 160},
}


def with_costs(run: PublishedRun) -> PublishedRun:
    """Costs within one decade, which makes a logarithmic axis label its minor ticks."""
    number = int(run.arm_id, 16)
    curves = {**run.curves, "val/nll": ((0, 2.5), (1, 1.4), (2, 0.9))}
    metrics = {**run.metrics, "time/latency_ms": 5.0 + 0.3 * number}
    return replace(run, metrics=metrics, curves=curves)


def texts_of(figure: Figure) -> Iterator[tuple[Text, Bbox]]:
    """Each text that is drawn, with its pixels."""
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    ticks_not_drawn = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            drawn = cast(Any, axis)._update_ticks()
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if tick not in drawn or not axes.axison:
                    ticks_not_drawn |= {tick.label1, tick.label2}
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        is_drawn = text.get_visible() and text.get_text().strip() and text not in ticks_not_drawn
        if is_drawn:
            yield text, Text.get_window_extent(text, renderer)


def overlapping(figure: Figure) -> list[tuple[str, str]]:
    texts = list(texts_of(figure))
    assert texts
    pairs = []
    for (text, box), (other, other_box) in itertools.combinations(texts, 2):
        is_slanted = text.get_rotation() == other.get_rotation() == 30
        is_over = box.padded(-1).overlaps(other_box.padded(-1))
        # boxes of slanted names overlap, the names are as far apart as their lower right corners
        if is_slanted:
            height = float(text.get_fontsize()) * figure.dpi / 72
            is_over = 0 < (other_box.x1 - box.x1) * np.sin(np.pi / 6) < 0.9 * height
        if is_over:
            pairs.append((text.get_text(), other.get_text()))
    return pairs


def cut_off(figure: Figure) -> list[str]:
    whole = figure.bbox.padded(1)
    return [
        text.get_text()
        for text, box in texts_of(figure)
        if not (whole.contains(box.x0, box.y0) and whole.contains(box.x1, box.y1))
    ]


def _kinds() -> Iterator[Any]:
    for kind in STUDIES:
        marks = []
        # The figures of a usual study are looked at in the quick tests, too.
        if kind != "as flowers":
            marks.append(pytest.mark.slow)
        yield pytest.param(kind, marks=marks)


@pytest.mark.parametrize("kind", list(_kinds()))
def test_no_text_is_cut_or_overprinted(build: Callable[..., Any], kind: str) -> None:
    study = build(**STUDIES[kind]).with_runs(with_costs)
    gallery = choose_pictures(compute_results(study.study, study.predictions))
    assert {"arms", "cost", "learning_curves", "confusion_champion"} <= set(gallery)
    for name, picture in gallery.items():
        assert len(picture.alt) > 40 and name
        assert overlapping(picture.figure) == [], name
        assert cut_off(picture.figure) == [], name


def test_names_of_crowded_points_stand_apart_and_over_no_point() -> None:
    figure = canvas(width=4, height=3)
    axes = figure.subplots()
    x = np.array([1.0, 1.0, 1.01, 1.02, 1.02, 3.0])
    y = np.array([0.5, 0.5, 0.51, 0.5, 0.505, 0.9])
    points = axes.scatter(x, y, s=30)
    names = [str(10 + place) for place in range(len(x))]
    name_points(figure, [axes], [list(zip(names, x, y, strict=True))])
    assert overlapping(figure) == []
    offsets = axes.transData.transform(points.get_offsets())
    labels = {text.get_text(): box for text, box in texts_of(figure) if text.get_text() in names}
    assert list(labels) == names
    for box in labels.values():
        assert not any(box.contains(*point) for point in offsets)


def test_a_name_far_from_its_point_has_a_line_that_can_be_seen() -> None:
    figure = canvas(width=4, height=3)
    axes = figure.subplots()
    with mpl.rc_context({"patch.edgecolor": "white"}):  # as in our style
        axes.scatter([1.0, 2.0], [1.0, 2.0])
        name_points(figure, [axes], [[("1", 1.0, 1.0)]])
    (label,) = figure.findobj(Annotation)
    assert isinstance(label, Annotation) and label.arrow_patch is not None
    assert max(mpl.colors.to_rgb(label.arrow_patch.get_edgecolor())) < 0.2


def test_no_line_runs_across_a_name_that_has_another_place() -> None:
    figure = canvas(width=4, height=3)
    axes = figure.subplots()
    x = [1.0, 1.07, 3.0]
    y = [1.0, 2.0, 3.0]
    axes.plot(x, y, drawstyle="steps-post")
    axes.scatter(x, y)
    # Up and right of the first point, where its name would stand, the line goes up to the second.
    name_points(figure, [axes], [[("14", 1.0, 1.0), ("15", 1.07, 2.0)]])
    corners = axes.transData.transform(axes.lines[0].get_path().vertices)
    steps = np.linspace(corners[:-1], corners[1:], 200).reshape(-1, 2)
    labels = {text.get_text(): box for text, box in texts_of(figure)}
    for name in ("14", "15"):
        assert not any(labels[name].contains(*point) for point in steps)


def test_where_every_place_is_crossed_a_name_still_stands_over_no_point() -> None:
    figure = canvas(width=2, height=2)
    axes = figure.subplots()
    axes.scatter([0.5], [0.5])
    for height in np.linspace(0.0, 1.0, 60):
        axes.plot([0.0, 1.0], [height, height])
    name_points(figure, [axes], [[("7", 0.5, 0.5)]])
    labels = {text.get_text(): box for text, box in texts_of(figure)}
    assert not labels["7"].contains(*axes.transData.transform((0.5, 0.5)))
