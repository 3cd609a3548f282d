"""The table of arms as a paper prints it: mean ± SD, the best bold, verdicts beside it."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

from ablate.quoting import cell, code, text
from ablate.reporting.results import Results, prose
from ablate.reporting.statistics.verdict import Verdict
from ablate.reporting.text.markdown import join_sections, plural, points, table
from ablate.study.trial import is_better

_MARKS = {Verdict.BETTER: "↑", Verdict.WORSE: "↓", Verdict.NO_LARGER: "≈"}
_LATEX_MARKS = {"↑": r"$\uparrow$", "↓": r"$\downarrow$", "≈": r"$\approx$", "": ""}
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "−": "-",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}


@dataclass(frozen=True)
class PaperScore:
    """A score of an arm over its seeds."""

    mean: float
    """NaN where no trial completed."""
    sd: float
    """NaN with one seed."""
    is_best: bool


@dataclass(frozen=True)
class PaperRow:
    """An arm."""

    name: str
    scores: tuple[PaperScore, ...]
    difference: float
    """To the baseline, in the primary metric; NaN for the baseline and where it is not known."""
    low: float
    high: float
    verdict: Verdict | None
    """Of the difference; None where there is none."""

    @property
    def mark(self) -> str:
        """The verdict as a sign; empty where it is undecided."""
        return "" if self.verdict is None else _MARKS.get(self.verdict, "")


@dataclass(frozen=True)
class PaperTable:
    """What all forms of the table say."""

    caption: str
    metrics: tuple[str, ...]
    """As words."""
    rows: tuple[PaperRow, ...]


def paper_table(results: Results) -> PaperTable:
    """The arms, the best on val first, in both judged metrics on test."""
    metrics = (results.effects.primary, results.effects.secondary)
    best = {metric: _best_mean(results, metric) for metric in metrics}
    rows = []
    for arm_id in results.arms["arm_id"]:
        scores = []
        for metric in metrics:
            mean = results.number(arm_id, f"{metric}/mean")
            sd = results.number(arm_id, f"{metric}/sd")
            scores.append(PaperScore(mean, sd, is_best=mean == best[metric]))
        gap = results.gap_to_baseline(arm_id)
        answer: tuple[float, float, float, Verdict | None] = (math.nan, math.nan, math.nan, None)
        if gap is not None:
            answer = (gap.difference, gap.judged.low, gap.judged.high, gap.judged.verdict)
        rows.append(PaperRow(results.name(arm_id), tuple(scores), *answer))
    return PaperTable(_caption(results), tuple(map(prose, metrics)), tuple(rows))


def _best_mean(results: Results, metric: str) -> float:
    means = [results.number(arm_id, f"{metric}/mean") for arm_id in results.arms["arm_id"]]
    known = [mean for mean in means if not math.isnan(mean)]
    if not known:
        return math.nan
    return max(known) if is_better(metric, 1.0, than=0.0) else min(known)


def _caption(results: Results) -> str:
    """What the table shows and how; with the number of seeds."""
    numbers = sorted({int(n) for n in results.arms["n_seeds"] if n > 0})
    seeds = "no complete seed"
    if len(numbers) == 1:
        seeds = plural(numbers[0], "seed")
    elif numbers:
        seeds = f"{numbers[0]} to {numbers[-1]} seeds"
    data = results.record.data
    return (
        f"{data.title}, {len(data.class_names)} classes, {data.n_images.get('test', 0):,} test "
        f"images. Mean ± SD over {seeds}; the best mean is bold. Differences to the baseline in "
        f"points of {prose(results.effects.primary)}, paired by seed, with intervals that hold "
        "together in 95 % of such studies; ↑ better, ↓ worse, ≈ no larger than the margin."
    )


def as_markdown(paper: PaperTable) -> str:
    """A pipe table below its caption."""
    rows = []
    for row in paper.rows:
        scores = []
        for score in row.scores:
            printed = _score_text(score)
            scores.append(f"**{printed}**" if score.is_best else printed)
        rows.append([code(row.name), *scores, _difference(row)])
    header = ["arm", *paper.metrics, "to baseline"]
    return join_sections([text(paper.caption), table(header, rows)])


def as_latex(paper: PaperTable) -> str:
    """A `table` environment; needs the package booktabs."""
    lines = []
    for row in paper.rows:
        scores = []
        for score in row.scores:
            printed = _score_text(score).replace("±", r"$\pm$")
            scores.append(rf"\textbf{{{printed}}}" if score.is_best else printed)
        mark = _LATEX_MARKS[row.mark]
        difference = _difference(row).replace(row.mark, mark) if row.mark else _difference(row)
        lines.append(" & ".join([rf"\texttt{{{_escaped(row.name)}}}", *scores, difference]))
    caption = _escaped(paper.caption).replace("±", r"$\pm$")
    for sign, mark in _LATEX_MARKS.items():
        caption = caption.replace(sign, mark) if sign else caption
    header = " & ".join(["arm", *map(_escaped, paper.metrics), "to baseline"])
    columns = "l" + "r" * (len(paper.metrics) + 1)
    body = " \\\\\n".join(lines)
    return (
        "\\begin{table}\n\\centering\n"
        f"\\caption{{{caption}}}\n\\begin{{tabular}}{{{columns}}}\n\\toprule\n"
        f"{header} \\\\\n\\midrule\n{body} \\\\\n\\bottomrule\n\\end{{tabular}}\n\\end{{table}}\n"
    )


def as_csv(paper: PaperTable) -> str:
    """Numbers in full, and the verdict; the caption has no place in it."""
    header = ["arm"]
    for metric in paper.metrics:
        header += [f"{metric} mean", f"{metric} SD"]
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*header, "difference", "low", "high", "verdict"])
    for row in paper.rows:
        numbers: list[float] = []
        for score in row.scores:
            numbers += [score.mean, score.sd]
        differences = _numbers([row.difference, row.low, row.high])
        verdict = "" if row.verdict is None else row.verdict.value
        writer.writerow([cell(row.name), *_numbers(numbers), *differences, verdict])
    return buffer.getvalue()


def _numbers(values: Sequence[float]) -> list[str]:
    return ["" if math.isnan(value) else f"{value:.6g}" for value in values]


def _score_text(score: PaperScore) -> str:
    if math.isnan(score.mean):
        return "-"
    spread = "" if math.isnan(score.sd) else f" ± {score.sd:.3f}"
    return f"{score.mean:.3f}{spread}"


def _difference(row: PaperRow) -> str:
    if math.isnan(row.difference):
        return "-"
    interval = ""
    if not math.isnan(row.low):
        interval = f" ({points(row.low)} to {points(row.high)})"
    return f"{points(row.difference)}{interval} {row.mark}".rstrip()


def _escaped(words: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in words)
