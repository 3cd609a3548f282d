"""A task that only the tests know has a report and cards of its own, and no other file knew it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.ordinal_task import ORDINAL, register
from support.published import AnyStudy, study_of

from ablate.reporting.compute import compute_results
from ablate.reporting.pages.write import write_report
from ablate.reporting.verify_report import verify_report


@pytest.fixture
def levels(monkeypatch: pytest.MonkeyPatch) -> AnyStudy:
    register(monkeypatch)
    return study_of(ORDINAL.name)


@pytest.mark.slow
def test_its_report_says_what_its_insight_says(levels: AnyStudy, tmp_path: Path) -> None:
    paths = write_report(levels.study, predictions=levels.predictions, out=tmp_path)
    readme = paths.readme.read_text()
    frames = []
    for run in levels.study.runs:
        frame = levels.frames[run.run_id]
        frames.append(frame[frame["split"] == "test"].assign(arm_id=run.arm_id))
    tests = pd.concat(frames)
    errors = (tests["expected"] - tests["level"]).abs().groupby(tests["arm_id"]).mean()
    assert f"The best arm is {errors.min():.2f} levels off." in readme
    assert "## Levels\n\n2 arms could be read." in readme
    assert "Best arm by mean val mean absolute error: **`head_lr=0.001`**" in readme
    table = pd.read_csv(tmp_path / "levels.csv")
    np.testing.assert_allclose(table["levels_off"], errors, rtol=1e-5)
    arms = pd.read_csv(tmp_path / "arms.csv")
    np.testing.assert_allclose(sorted(arms["levels_off"]), sorted(errors), rtol=1e-5)


@pytest.mark.slow
def test_its_checks_stand_in_the_report_for_programs(levels: AnyStudy, tmp_path: Path) -> None:
    write_report(levels.study, predictions=levels.predictions, out=tmp_path)
    record = json.loads((tmp_path / "report.json").read_text())
    checks = {check["name"]: check["n_found"] for check in record["checks"]}
    assert checks["levels_off_by_two"] is None and "suspect_labels" not in checks


def test_it_has_no_file_and_no_word_of_another_task(levels: AnyStudy, tmp_path: Path) -> None:
    paths = write_report(levels.study, predictions=levels.predictions, out=tmp_path)
    names = {path.name for path in paths.tables}
    assert not names & {"classes.csv", "confusion_champion.csv", "suspect_labels.csv"}
    assert not [path for path in paths.figures if "confusion" in path.name]
    for path in (paths.readme, *paths.cards):
        text = path.read_text()
        for word in ("macro F1", "AUROC", "accuracy", "taken for", "### By class", "Calibration"):
            assert word not in text, (path.name, word)


@pytest.mark.slow
def test_the_pareto_front_is_of_small_errors(levels: AnyStudy, tmp_path: Path) -> None:
    """The score of this task is better when low: the best arm is on every front."""
    runs = []
    for number, run in enumerate(levels.study.runs):
        metrics = {**run.metrics, "cost/n_trainable": 500.0 + number // 2}
        runs.append(replace(run, metrics=metrics))
    study = replace(levels.study, runs=tuple(runs))
    paths = write_report(study, predictions=levels.predictions, out=tmp_path)
    (line,) = [
        line
        for line in paths.readme.read_text().splitlines()
        if line.startswith("- test mean absolute error against trained parameters")
    ]
    assert line.endswith(": `baseline`, `head_lr=0.001`")
    assert verify_report(study, predictions=levels.predictions, folder=tmp_path) == []


def test_the_interval_of_an_error_may_lie_above_one(levels: AnyStudy) -> None:
    runs = []
    for run in levels.study.runs:
        metrics = {**run.metrics, "test/mean_absolute_error": 1.5 + 0.1 * run.seed}
        runs.append(replace(run, metrics=metrics))
    study = replace(levels.study, runs=tuple(runs))
    arms = compute_results(study, levels.predictions).arms
    assert (arms["test/mean_absolute_error/high"] > 1.55).all()
