"""Numbers, tables and pictures as Markdown."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

from ablate.quoting import text
from ablate.reporting.results import NOT_MEASURED
from ablate.study.trial import is_score


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, n_text_columns: int = 1) -> str:
    """A pipe table; columns after the first `n_text_columns` are aligned to the right."""
    rule = ["---" if column < n_text_columns else "--:" for column in range(len(header))]
    lines = [
        [escape(name) for name in header],
        rule,
        *[[escape(value) for value in row] for row in rows],
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escape(markdown: str) -> str:
    """One line of Markdown that cannot end a table's cell.

    What people wrote has gone through `ablate.quoting` before.
    """
    return " ".join(markdown.split()).replace("|", "\\|")


def picture(name: str, alt: str, *, folder: str) -> str:
    """An image of the report, as SVG, with its alt text."""
    readable = alt.translate({ord("["): "(", ord("]"): ")"})
    return f"![{text(readable)}]({folder}/{name}.svg)"


def code_block(content: str, *, language: str) -> str:
    """A block of code, whatever it holds: its fence is longer than any inside."""
    longest = max(map(len, re.findall("`+", content)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{content.rstrip()}\n{fence}"


def bullets(lines: Iterable[str]) -> str:
    """A list, a line each."""
    return "\n".join(f"- {line}" for line in lines)


def score(value: float) -> str:
    """Three decimals, or `not measured`."""
    return f"{value:.3f}" if is_score(value) else NOT_MEASURED


def mean_sd(mean: float, sd: float, *, digits: int = 3) -> str:
    """`0.812 ± 0.010`; the mean alone where one seed leaves no SD."""
    if math.isnan(mean):
        return NOT_MEASURED
    return f"{mean:,.{digits}f}" if math.isnan(sd) else f"{mean:,.{digits}f} ± {sd:,.{digits}f}"


def points(difference: float) -> str:
    """A difference of scores in points, with its sign: 0.0123 is `+1.2`; never `-0.0`."""
    rounded = f"{100 * difference:+.1f}"
    return "+0.0" if rounded == "-0.0" else rounded


def p_value(p: float) -> str:
    """`p = 0.012`, `p < 0.001`, or `p not measured`."""
    if math.isnan(p):
        return f"p {NOT_MEASURED}"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def yes_or_no(is_true: bool) -> str:
    """A truth in a table's cell."""
    return "yes" if is_true else "no"


def count(value: float) -> str:
    """A whole number with separators, or `not measured`."""
    return NOT_MEASURED if math.isnan(value) else f"{value:,.0f}"


def count_or(value: float, digits: int) -> str:
    """A number with separators, or `not measured`."""
    return NOT_MEASURED if math.isnan(value) else f"{value:,.{digits}f}"


def shortened(words: str, length: int) -> str:
    """At most `length` characters, with a mark where some were left out."""
    return words if len(words) <= length else f"{words[: length - 1]}…"


def plural(n: int, noun: str) -> str:
    """`1 seed`, `2 seeds`, `2 classes`."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}{'es' if noun.endswith('s') else 's'}"


def headed(heading: str, body: str) -> str:
    """A line above what it is about; nothing without a body."""
    return f"{heading}\n\n{body}" if body else ""


def join_sections(sections: Iterable[str]) -> str:
    """Sections with an empty line between them, empty ones dropped, and a newline at the end."""
    return "\n\n".join(section for section in sections if section) + "\n"
