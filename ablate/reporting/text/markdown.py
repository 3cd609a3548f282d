"""Numbers, tables and pictures as Markdown."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

from ablate.quoting import text
from ablate.reporting.results import NOT_MEASURED
from ablate.study.choosing import is_score


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, n_text_columns: int = 1) -> str:
    """A pipe table; columns after the first `n_text_columns` are aligned to the right."""
    # negative where all columns are text: then no `--:` is made
    n_numbers = len(header) - n_text_columns
    alignment = ["---"] * min(n_text_columns, len(header)) + ["--:"] * n_numbers
    lines = [_row(header), f"| {' | '.join(alignment)} |"]
    for row in rows:
        lines.append(_row(row))
    return "\n".join(lines)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(map(escape, cells))} |"


def escape(markdown: str) -> str:
    """One line of Markdown that cannot end a table's cell.

    What people wrote has gone through `ablate.quoting` before.
    """
    # a line's end or a bar would end the row, and the rest of the table with it
    return " ".join(markdown.split()).replace("|", "\\|")


def picture(name: str, alt: str, *, folder: str) -> str:
    """An image of the report, as SVG, with its alt text."""
    # Brackets end an alt text in some renderers even where they are escaped.
    readable = alt.translate({ord("["): "(", ord("]"): ")"})
    return f"![{text(readable)}]({folder}/{name}.svg)"


def code_block(content: str, *, language: str) -> str:
    """A block of code, whatever it holds: its fence is longer than any inside."""
    # CommonMark ends a block at a fence at least as long as its first
    longest = max(map(len, re.findall("`+", content)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{content.rstrip()}\n{fence}"


def bullets(lines: Iterable[str]) -> str:
    """A list, a line each."""
    return "\n".join(f"- {line}" for line in lines)


def score(value: float) -> str:
    """Three decimals, or `not measured`."""
    # NaN and infinities: a report says "not measured", never "nan"
    if not is_score(value):
        return NOT_MEASURED
    return f"{value:.3f}"


def mean_sd(mean: float, sd: float, *, digits: int = 3) -> str:
    """`0.812 ± 0.010`; the mean alone where one seed leaves no SD."""
    if math.isnan(mean):
        return NOT_MEASURED
    if math.isnan(sd):
        return f"{mean:,.{digits}f}"
    return f"{mean:,.{digits}f} ± {sd:,.{digits}f}"


def points(difference: float) -> str:
    """A difference of scores in points, with its sign: 0.0123 is `+1.2`; never `-0.0`."""
    # `z` turns what rounds to minus zero into zero: nobody should look for a sign in it.
    return f"{100 * difference:+z.1f}"


def interval_in_points(low: float, high: float) -> str:
    """`-1.4 to +7.4`; nothing where it is not known."""
    if math.isnan(low):
        return ""
    return f"{points(low)} to {points(high)}"


def compact(value: float) -> str:
    """A count that needs no more than two or three digits: `512`, `53 k`, `3.4 M`."""
    if math.isnan(value):
        return NOT_MEASURED
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            in_units = value / size
            # from 9.95 on one decimal would round to a third digit
            if in_units < 9.95:
                return f"{in_units:.1f} {unit}"
            return f"{in_units:.0f} {unit}"
    return f"{value:.0f}"


def p_value(p: float) -> str:
    """`p = 0.012`, `p < 0.001`, or `p not measured`."""
    if math.isnan(p):
        return f"p {NOT_MEASURED}"
    if p < 0.001:
        return "p < 0.001"
    return f"p = {p:.3f}"


def yes_or_no(is_true: bool) -> str:
    """A truth in a table's cell."""
    return "yes" if is_true else "no"


def count(value: float) -> str:
    """A whole number with separators, or `not measured`."""
    return count_or(value, digits=0)


def count_or(value: float, digits: int) -> str:
    """A number with separators, or `not measured`."""
    if math.isnan(value):
        return NOT_MEASURED
    return f"{value:,.{digits}f}"


def shortened(words: str, length: int) -> str:
    """At most `length` characters, with a mark where some were left out."""
    # the mark takes one character of the length
    if len(words) <= length:
        return words
    return f"{words[: length - 1]}…"


def headed(heading: str, body: str) -> str:
    """A line above what it is about; nothing without a body."""
    if not body:
        return ""
    return f"{heading}\n\n{body}"


def join_sections(sections: Iterable[str]) -> str:
    """Sections with an empty line between them, empty ones dropped, and a newline at the end."""
    return "\n\n".join(filter(None, sections)) + "\n"
