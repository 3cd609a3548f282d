"""The table of arms as a paper prints it: mean ± SD, the best bold, verdicts beside it."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ablate.errors import plural
from ablate.quoting import cell, code, one_line, text
from ablate.reporting.results import Results, prose
from ablate.reporting.statistics.verdict import Verdict
from ablate.reporting.text.markdown import join_sections, points, table
from ablate.study.choosing import is_better

# undecided has no sign: an empty place claims nothing
_MARKS = {Verdict.BETTER: "↑", Verdict.WORSE: "↓", Verdict.NO_LARGER: "≈"}
_LATEX_SIGNS = str.maketrans(
    {
        "↑": r"$\uparrow$",
        "↓": r"$\downarrow$",
        "≈": r"$\approx$",
        "±": r"$\pm$",
    }
)
_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "−": "-",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        # in LaTeX's oldest encoding of fonts, still its default, these three are other letters
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
    }
)
"""What LaTeX would read as markup -> how it prints it."""
# with its decimal, as `points` prints: a name such as `pilot-2` keeps its hyphen
_SIGNED = re.compile(r"[+-]\d+\.\d")


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
        if self.verdict is None:
            return ""
        return _MARKS.get(self.verdict, "")


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
    rows = []
    # the order of the frame is by val: sorted by test, the table would choose by test
    for arm_id in results.arms["arm_id"]:
        scores = tuple(_score(results, arm_id, metric) for metric in metrics)
        rows.append(_row(results, arm_id, scores))
    return PaperTable(_caption(results), tuple(map(prose, metrics)), tuple(rows))


def _score(results: Results, arm_id: str, metric: str) -> PaperScore:
    mean = results.number(arm_id, f"{metric}/mean")
    sd = results.number(arm_id, f"{metric}/sd")
    # exactly equal, so arms that tie are both bold; NaN equals nothing
    return PaperScore(mean, sd, is_best=mean == _best_mean(results, metric))


def _row(results: Results, arm_id: str, scores: tuple[PaperScore, ...]) -> PaperRow:
    name = results.name(arm_id)
    gap = results.gap_to_baseline(arm_id)
    if gap is None:
        return PaperRow(name, scores, math.nan, math.nan, math.nan, None)
    judged = gap.judged
    return PaperRow(name, scores, gap.difference, judged.low, judged.high, judged.verdict)


def _best_mean(results: Results, metric: str) -> float:
    """The best mean of an arm; NaN where there is none."""
    column = f"{metric}/mean"
    if column not in results.arms:
        return math.nan
    # pandas skips arms without a score
    if is_better(metric, 1.0, than=0.0):
        return float(results.arms[column].max())
    return float(results.arms[column].min())


def _caption(results: Results) -> str:
    """What the table shows and how; with the number of seeds."""
    # failed trials may leave arms with other numbers of seeds
    complete = results.arms["n_seeds"][results.arms["n_seeds"] > 0]
    numbers = sorted(set(complete.tolist()))
    seeds = "no complete seed"
    if len(numbers) == 1:
        seeds = plural(numbers[0], "seed")
    elif numbers:
        seeds = f"{numbers[0]} to {numbers[-1]} seeds"
    data = results.record.data
    images = f"{data.n_images.get('test', 0):,} test images"
    if data.splits is not None:
        images = f"{data.splits.n_tested:,} images, tested by seeds with splits of their own"
    return (
        f"{data.title}, {len(data.class_names)} classes, {images}. "
        f"Mean ± SD over {seeds}; the best mean is bold. Differences to the baseline in "
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
            if score.is_best:
                printed = f"**{printed}**"
            scores.append(printed)
        rows.append([code(row.name), *scores, _difference(row)])
    header = ["arm", *paper.metrics, "to baseline"]
    return join_sections([text(paper.caption), table(header, rows)])


def as_latex(paper: PaperTable) -> str:
    """A `table` environment; needs the package booktabs."""
    lines = []
    for row in paper.rows:
        scores = []
        for score in row.scores:
            printed = _with_latex_signs(_score_text(score))
            if score.is_best:
                printed = rf"\textbf{{{printed}}}"
            scores.append(printed)
        name = rf"\texttt{{{_escaped(row.name)}}}"
        lines.append(" & ".join([name, *scores, _latex_difference(row)]))
    # escaped first: the signs' own dollars and backslashes must stay
    caption = _with_latex_signs(_escaped(paper.caption))
    header = " & ".join(["arm", *map(_escaped, paper.metrics), "to baseline"])
    columns = "l" + "r" * (len(paper.metrics) + 1)
    # `\\` between the rows alone: after the last one booktabs' \bottomrule wants none of its own
    body = " \\\\\n".join(lines)
    return (
        "\\begin{table}\n\\centering\n"
        f"\\caption{{{caption}}}\n\\begin{{tabular}}{{{columns}}}\n\\toprule\n"
        f"{header} \\\\\n\\midrule\n{body} \\\\\n\\bottomrule\n\\end{{tabular}}\n\\end{{table}}\n"
    )


def _latex_difference(row: PaperRow) -> str:
    # a minus sign, where plain text would print a hyphen
    return _with_latex_signs(_SIGNED.sub(r"$\g<0>$", _difference(row)))


def as_csv(paper: PaperTable) -> str:
    """Numbers in full, and the verdict; the caption has no place in it."""
    header = ["arm"]
    for metric in paper.metrics:
        header += [f"{metric} mean", f"{metric} SD"]
    # newline="": the writer's line ends are taken as they are, on Windows too
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*header, "difference", "low", "high", "verdict"])
    for row in paper.rows:
        numbers: list[float] = []
        for score in row.scores:
            numbers += [score.mean, score.sd]
        differences = _numbers([row.difference, row.low, row.high])
        verdict = ""
        if row.verdict is not None:
            verdict = row.verdict.value
        writer.writerow([cell(row.name), *_numbers(numbers), *differences, verdict])
    return buffer.getvalue()


def _numbers(values: Sequence[float]) -> list[str]:
    """Six digits; an empty cell where a number is not known."""
    printed = []
    for value in values:
        number = ""
        if not math.isnan(value):
            number = f"{value:.6g}"
        printed.append(number)
    return printed


def _score_text(score: PaperScore) -> str:
    if math.isnan(score.mean):
        return "-"
    if math.isnan(score.sd):
        return f"{score.mean:.3f}"
    return f"{score.mean:.3f} ± {score.sd:.3f}"


def _difference(row: PaperRow) -> str:
    if math.isnan(row.difference):
        return "-"
    interval = ""
    if not math.isnan(row.low):
        interval = f" ({points(row.low)} to {points(row.high)})"
    return f"{points(row.difference)}{interval} {row.mark}".rstrip()


def _escaped(words: str) -> str:
    """Words as LaTeX prints them. An empty line among them would end the argument that they are."""
    return one_line(words).translate(_LATEX)


def _with_latex_signs(words: str) -> str:
    """After `_escaped`: the signs bring the markup of formulas."""
    return words.translate(_LATEX_SIGNS)
