"""The table of a paper in its three forms."""

from __future__ import annotations

import csv
import io
import re

import pytest

from ablate.reporting.compute import compute_results
from ablate.reporting.text.paper_table import as_csv, as_latex, as_markdown, paper_table


@pytest.fixture(scope="module")
def results(published):
    return compute_results(published.study, published.predictions)


def test_the_best_mean_of_each_score_is_bold_and_the_caption_counts_seeds(results) -> None:
    paper = paper_table(results)
    for place in range(2):
        best = max(row.scores[place].mean for row in paper.rows)
        for row in paper.rows:
            assert row.scores[place].is_best == (row.scores[place].mean == best)
    assert "Mean ± SD over 2 seeds" in paper.caption
    text = as_markdown(paper)
    n_best = sum(score.is_best for row in paper.rows for score in row.scores)
    assert n_best >= 2
    assert len(re.findall(r"\*\*[01]\.\d{3} ± 0\.\d{3}\*\*", text)) == n_best
    assert text.count("\n| `") == len(results.arms)


def test_verdicts_are_those_of_the_report(results) -> None:
    rows = {row.name: row for row in paper_table(results).rows}
    for gap in results.to_baseline:
        row = rows[results.name(gap.arm_id)]
        judged = gap.judged
        assert (row.difference, row.low, row.high) == (gap.difference, judged.low, judged.high)
        marks = {"better": "↑", "worse": "↓", "no larger": "≈"}
        assert row.mark == marks.get(judged.verdict.value, "")
        assert row.verdict is judged.verdict


def test_latex_has_equal_columns_and_nothing_that_it_would_read(results) -> None:
    text = as_latex(paper_table(results))
    body = text.partition("\\midrule\n")[2].partition("\n\\bottomrule")[0].splitlines()
    assert len(body) == len(results.arms)
    for line in body:
        assert line.endswith(" \\\\") and line.count(" & ") == 3
    assert re.search(r"(?<!\\)[_%#]", text) is None
    assert text.count("{") - text.count("\\{") == text.count("}") - text.count("\\}")


def test_csv_has_the_numbers(results) -> None:
    paper = paper_table(results)
    rows = list(csv.DictReader(io.StringIO(as_csv(paper))))
    for row, wanted in zip(rows, paper.rows, strict=True):
        assert float(row["test macro F1 mean"]) == pytest.approx(wanted.scores[0].mean, rel=1e-5)
        assert row["verdict"] == (wanted.verdict or "")
