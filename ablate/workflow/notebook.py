"""HTML for notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import pandas as pd

# A page that shows thousands of rows is slow in every notebook.
_MOST_ROWS = 50


def page(title: str, question: str, lines: Sequence[str], table: pd.DataFrame) -> str:
    """A title, what is asked, some lines, and a table of at most 50 rows."""
    parts = [f"<h4>{escape(title)}</h4>"]
    if question:
        parts.append(f"<p><em>{escape(question)}</em></p>")
    for line in lines:
        parts.append(f"<p>{escape(line)}</p>")
    rows = table.head(_MOST_ROWS)
    # pandas escapes the cells itself.
    parts.append(rows.to_html(index=False, float_format="{:.3f}".format, border=0))
    if len(table) > _MOST_ROWS:
        parts.append(f"<p>... and {len(table) - _MOST_ROWS} more rows</p>")
    return "\n".join(parts)
