"""Marks by which `report.html` lays parts of the Markdown out side by side.

They are HTML comments: GitHub hides them, and shows the parts one below the other.
"""

from __future__ import annotations

from collections.abc import Iterable

from ablate.errors import plural
from ablate.reporting.text.markdown import join_sections

# (opening, closing) or (opening, between two parts, closing); `pages.html` looks for these words
CARDS = ("<!-- cards -->", "<!-- /cards -->")
COLUMNS = ("<!-- columns -->", "<!-- next column -->", "<!-- /columns -->")
"""A wide column, and a narrow one beside it."""
PAIRS = ("<!-- pairs -->", "<!-- next of pairs -->", "<!-- /pairs -->")
"""Two columns of equal width, filled row by row."""


def in_pairs(parts: Iterable[str]) -> str:
    """Parts two by two; empty ones are left out, and one alone keeps the whole width."""
    shown = list(filter(None, parts))
    if len(shown) < 2:
        return "".join(shown)
    opening, following, closing = PAIRS
    # no newline at the end: the caller joins this with other sections
    return join_sections([opening, f"\n\n{following}\n\n".join(shown), closing]).rstrip()


def folded(summary: str, body: str) -> str:
    """What a reader may unfold, on GitHub and in the page; nothing without a body."""
    if not body:
        return ""
    # the empty lines make Markdown of what is inside an HTML element
    return f"<details><summary>{summary}</summary>\n\n{body}\n\n</details>"


def folded_list(n: int, noun: str, body: str) -> str:
    """A long list, unfolded by how long it is."""
    return folded(plural(n, noun), body)
