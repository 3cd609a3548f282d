"""docs/advice.md is what the rules are, and what they give on the studies that were recorded."""

from __future__ import annotations

import csv
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from ablate.advice.table import rule_table

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "advice.md"


@pytest.fixture(scope="module")
def studies() -> ModuleType:
    path = ROOT / "scripts" / "advice_studies.py"
    spec = importlib.util.spec_from_file_location("advice_studies", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["advice_studies"] = module
    spec.loader.exec_module(module)
    return module


def test_the_rules_stand_in_the_docs() -> None:
    assert rule_table() in DOCS.read_text()


def test_the_table_of_studies_is_what_the_rules_give(studies: ModuleType) -> None:
    record = json.loads(studies.RECORD.read_text())
    assert studies.table(studies.rows_of(record)) in DOCS.read_text()


def test_the_advice_is_near_the_best_arm_in_six_of_eight_sets(studies: ModuleType) -> None:
    rows = studies.rows_of(json.loads(studies.RECORD.read_text()))
    of_sets = [row for row in rows if row.study in studies.SETS]
    assert len(of_sets) == 8
    assert sum(row.points <= 2.0 for row in of_sets) >= 6


def test_the_recorded_scores_are_those_of_the_committed_reports(studies: ModuleType) -> None:
    n_checked = 0
    for study in json.loads(studies.RECORD.read_text()):
        report = ROOT / "reports" / study["study"] / "arms.csv"
        if not report.exists():
            continue
        with report.open(newline="") as file:
            rows = list(csv.DictReader(file))
        reported = sorted(float(row[f"test/{study['metric']}/mean"]) for row in rows)
        assert sorted(arm["test"] for arm in study["arms"]) == reported, study["study"]
        n_checked += 1
    assert n_checked == 9


def test_of_arms_that_are_equally_near_the_worst_stands_for_the_advice(
    studies: ModuleType,
) -> None:
    record = json.loads(studies.RECORD.read_text())
    (recipe,) = [row for row in studies.rows_of(record) if row.study == "recipe"]
    # One part is dropped in each arm, and the advice takes three of them not at all.
    assert recipe.arm["label_smoothing"] == 0.1
    assert recipe.arm["mixup"] == 0.0
