"""The table of a paper in its three forms."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from dataclasses import replace

import pytest

from ablate.reporting.compute import compute_results
from ablate.reporting.statistics.verdict import Verdict
from ablate.reporting.text.paper_table import (
    PaperTable,
    as_csv,
    as_latex,
    as_markdown,
    paper_table,
)


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


SPECIAL = "a_b 50% & #1 $x$ {y} ~z ^w \\v <u> |t|\n\nnext"
"""Everything that LaTeX would read, and the end of a paragraph."""
IN_LATEX = (
    r"a\_b 50\% \& \#1 \$x\$ \{y\} \textasciitilde{}z \textasciicircum{}w "
    r"\textbackslash{}v \textless{}u\textgreater{} \textbar{}t\textbar{}"
)


def hostile_table(results) -> PaperTable:
    paper = paper_table(results)
    rows = [replace(row, name=SPECIAL) for row in paper.rows]
    rows[0] = replace(rows[0], difference=-0.021, low=-0.03, high=0.01, verdict=Verdict.NO_LARGER)
    return replace(paper, caption=f"{SPECIAL} ± ↑", rows=tuple(rows))


def test_latex_prints_names_as_they_are(results) -> None:
    text = as_latex(hostile_table(results))
    assert text.count(IN_LATEX) == 1 + len(results.arms)
    assert "\n\n" not in text
    assert r"$-2.1$ ($-3.0$ to $+1.0$) $\approx$ \\" in text
    assert text.isascii()


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="LaTeX is not installed")
def test_latex_compiles(results, tmp_path) -> None:
    body = as_latex(paper_table(results)) + as_latex(hostile_table(results))
    document = (
        "\\documentclass{article}\\usepackage{booktabs}\n"
        f"\\begin{{document}}\n{body}\n\\end{{document}}\n"
    )
    (tmp_path / "paper.tex").write_text(document)
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "paper.tex"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    assert (tmp_path / "paper.pdf").stat().st_size > 1000


def test_csv_has_the_numbers(results) -> None:
    paper = paper_table(results)
    rows = list(csv.DictReader(io.StringIO(as_csv(paper))))
    for row, wanted in zip(rows, paper.rows, strict=True):
        assert float(row["test macro F1 mean"]) == pytest.approx(wanted.scores[0].mean, rel=1e-5)
        assert row["verdict"] == (wanted.verdict or "")
