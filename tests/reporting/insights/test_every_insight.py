"""What every task's insight must keep; a new task passes by being registered."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from huggingface_hub import ModelCard
from support.ordinal_task import ORDINAL, register
from support.published import CLASSES, AnyStudy, study_of

from ablate.errors import CheckFailed, StoreError
from ablate.reporting.compute import compute_results
from ablate.reporting.figures.example_images import wanted_images, with_pictures
from ablate.reporting.insights import INSIGHTS, insight_of
from ablate.reporting.pages.cards.card import card_text
from ablate.reporting.pages.csv_files import table_names, table_texts
from ablate.reporting.pages.readme import report_text
from ablate.reporting.pages.write import write_report
from ablate.reporting.predictions.read import read_study
from ablate.reporting.results import Results
from ablate.reporting.verify_report import verify_report
from ablate.study.tasks import TASKS

BLANK = re.compile(r"\bnan\b|\bNone\b(?!:)|\{\w+\}")
NAMES = [*TASKS, ORDINAL.name]


@pytest.fixture(params=NAMES)
def any_study(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AnyStudy:
    """A published study of each task, the third among them."""
    register(monkeypatch)
    return study_of(request.param)


@pytest.fixture
def results(any_study: AnyStudy) -> Results:
    return compute_results(any_study.study, any_study.predictions)


def _unread(study: AnyStudy) -> Results:
    def gone(_run: object) -> pd.DataFrame:
        raise StoreError("gone")

    return compute_results(study.study, gone)


def _code_blocks(markdown: str) -> Iterator[str]:
    yield from re.findall(r"```python\n(.*?)```", markdown, flags=re.DOTALL)


def test_every_task_has_an_insight() -> None:
    assert set(INSIGHTS) == set(TASKS)


def test_a_task_without_one_is_refused(any_study: AnyStudy) -> None:
    readings = read_study(any_study.study, any_study.predictions)
    record = any_study.study.record.model_copy(update={"task": "detection"})
    with pytest.raises(CheckFailed, match=re.escape("must have an insight")) as caught:
        insight_of(readings, record)
    assert str(caught.value) == (
        f"the task of a study must have an insight, one of {', '.join(INSIGHTS)}, "
        "got 'detection'; add one to ablate/reporting/insights"
    )


@pytest.mark.slow
def test_its_report_is_written_and_verified(any_study: AnyStudy, tmp_path: Path) -> None:
    paths = write_report(any_study.study, predictions=any_study.predictions, out=tmp_path)
    assert verify_report(any_study.study, predictions=any_study.predictions, folder=tmp_path) == []
    assert {path.stem for path in paths.tables} >= {"trials", "arms", "effects"}
    metrics = [metric for metric in TASKS[any_study.study.record.task].metrics if metric.hub]
    for path in paths.cards:
        card = ModelCard.load(path)
        scored = [result.metric_type for result in card.data.eval_results]
        # Binary metrics are not measured with three classes.
        measured = [m for m in metrics if m.n_classes in (None, len(CLASSES))]
        assert scored == [metric.hub.type for metric in measured if metric.hub]
        assert not BLANK.search(card.text), BLANK.search(card.text)
    assert not BLANK.search(paths.readme.read_text())


def test_report_and_card_name_the_metrics_of_the_task(results: Results) -> None:
    task = results.task
    readme = report_text(results, {})
    card = card_text(results, results.record.arms[1])
    assert f"points of test {task.primary_prose}" in readme
    assert f"{task.secondary_prose}: " in readme
    for name in task.metrics_of(len(CLASSES)):
        assert f"\n| {task.prose(name)} | " in card
    foreign = {metric.prose for other in TASKS.values() for metric in other.metrics}
    foreign -= {metric.prose for metric in task.metrics}
    # A prose name such as "accuracy" may be part of this task's own, or a word of a sentence.
    foreign = {name for name in foreign if name not in " ".join(m.prose for m in task.metrics)}
    cells = re.findall(r"^\| ([^|`]+) \|", card, flags=re.MULTILINE)
    assert not foreign & set(cells)


def test_tables_are_those_that_the_report_names(results: Results) -> None:
    assert table_names(results) == list(table_texts(results))
    readme = report_text(results, {})
    for name in table_names(results):
        assert f"`{name}.csv`" in readme


def test_without_predictions_everything_is_still_written(any_study: AnyStudy) -> None:
    unread = _unread(any_study)
    readme = report_text(unread, {})
    assert "Not measured: no predictions of a best arm could be read." in readme
    assert table_names(unread) == table_names(
        compute_results(any_study.study, any_study.predictions)
    )
    for arm in unread.record.arms:
        assert not BLANK.search(card_text(unread, arm))


def test_without_a_complete_trial_everything_is_still_written(any_study: AnyStudy) -> None:
    runs = tuple(replace(run, status="FAILED", metrics={}) for run in any_study.study.runs)
    failed = replace(any_study.study, runs=runs)
    results = compute_results(failed, any_study.predictions)
    assert "No trial completed, so there is no best arm." in report_text(results, {})
    for arm in results.record.arms:
        assert "no trial of this arm completed" in card_text(results, arm)


def test_the_code_of_a_card_is_python(results: Results) -> None:
    for arm in results.record.arms:
        blocks = list(_code_blocks(card_text(results, arm)))
        is_champion = results.champion is not None and arm.arm_id == results.champion.arm_id
        assert len(blocks) == (2 if is_champion else 1)
        for block in blocks:
            ast.parse(block)
            assert "{" not in block.replace(str(list(CLASSES)), "")


def test_images_that_it_wants_are_of_the_study(results: Results) -> None:
    known = {(split, f"{split}/{i}.png") for split in ("val", "test") for i in range(30)}
    assert set(wanted_images(results)) <= known
    shown = with_pictures(
        results, lambda keys: {key: np.zeros((8, 8, 3), np.uint8) for key in keys}
    )
    assert shown.thumbnails is not None and set(shown.thumbnails) == set(wanted_images(results))


def test_the_arms_keep_their_rows_and_columns(results: Results) -> None:
    unread_columns = {"arm", "arm_id", "is_champion", "is_baseline", "n_seeds", "n_trials"}
    assert unread_columns <= set(results.arms.columns)
    assert set(results.arms["arm_id"]) == {arm.arm_id for arm in results.record.arms}


def test_it_shows_only_figures_that_were_drawn(results: Results) -> None:
    asked = []

    def show(name: str) -> str:
        asked.append(name)
        return f"![{name}]"

    parts = results.insight.error_parts(results, show) + results.insight.review_parts(results, show)
    drawn = {picture.name for picture in results.insight.pictures(results)}
    drawn |= {figure.name for figure in results.insight.tiles(results)}
    assert set(asked) <= drawn
    assert parts
