"""Figures drawn in processes of their own are those that one process draws, byte for byte."""

from __future__ import annotations

import pytest

from ablate.reporting.compute import compute_results
from ablate.reporting.figures import picture as picture_module
from ablate.reporting.figures import render as module
from ablate.reporting.figures.choose import choose_pictures
from ablate.reporting.figures.picture import to_svg
from ablate.reporting.figures.render import MANY_RUNS, drawing, spare_processes
from ablate.reporting.pages.write import render_texts


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_the_bytes_do_not_depend_on_the_number_of_processes(published) -> None:
    results = compute_results(published.study, published.predictions)
    files = []
    for n_processes in (0, 1, 2):
        with drawing(choose_pictures(results), n_processes=n_processes) as drawn:
            files.append(drawn())
    assert len(files[0]) > 8
    assert list(files[0]) == list(files[1]) == list(files[2])
    assert files[0] == files[1] == files[2]
    assert module._inherited == ()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_what_goes_wrong_in_another_process_is_raised_here(
    published, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = choose_pictures(compute_results(published.study, published.predictions))

    def broken(_picture: object) -> bytes:
        raise RuntimeError("no ink")

    monkeypatch.setattr(module, "to_svg", broken)
    with drawing(pictures, n_processes=1) as drawn, pytest.raises(RuntimeError, match="no ink"):
        drawn()
    assert module._inherited == ()


def test_processes_are_for_large_reports_of_a_process_without_other_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module.os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(module.threading, "active_count", lambda: 1)
    assert (spare_processes(MANY_RUNS - 1), spare_processes(MANY_RUNS)) == (0, 2)
    monkeypatch.setattr(module.threading, "active_count", lambda: 2)
    assert spare_processes(MANY_RUNS) == 0
    monkeypatch.setattr(module.threading, "active_count", lambda: 1)
    monkeypatch.setattr(module.os, "sched_getaffinity", lambda _: {0})
    assert spare_processes(MANY_RUNS) == 0


def test_texts_are_rendered_without_drawing_anything(published) -> None:
    results = compute_results(published.study, published.predictions)
    pictures = choose_pictures(results)
    assert "figures/arms.svg" in render_texts(results, pictures)["README.md"]
    drawn = [picture.name for picture in pictures.values() if "figure" in vars(picture)]
    assert len(pictures) > 4 and drawn == []


@pytest.mark.slow
def test_a_figure_is_laid_out_as_matplotlib_does_when_it_saves(
    published, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = compute_results(published.study, published.predictions)
    one, two = choose_pictures(results)["axis_augment"], choose_pictures(results)["axis_augment"]
    laid_out = to_svg(one)
    assert one.figure.get_layout_engine() is None and one.figure.dpi == two.figure.dpi
    monkeypatch.setattr(picture_module, "_lay_out", lambda _: None)
    assert laid_out == to_svg(two)
