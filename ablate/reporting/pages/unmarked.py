"""Reports from before reports left a mark: recognised by what no other folder holds.

A README that cites a study is not enough: others may quote a report. So the whole must fit together: its page must hold the README's very words, and its
table of trials the trials that the README names.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from ablate.reporting.pages.html import page

_SOURCE = re.compile(
    r"^- MLflow: experiment `([^`\n]+)`, parent run `([0-9a-f]{32})`, study `[0-9a-f]{12}`$",
    re.MULTILINE,
)
_RUN = re.compile(r"^\| .* \| \d+ \| `[0-9a-f]{32}` \| `([0-9a-f]{16})` \|$", re.MULTILINE)
_LINK = re.compile(r"\]\(((?:cards/[^)\s/]+\.md)|(?:figures/[^)\s/]+\.svg))\)")
_TABLE = re.compile(r"`(\w+\.csv)`")
_TRIALS = ["arm", "arm_id", "trial_id", "seed", "state"]


@dataclass(frozen=True)
class UnmarkedReport:
    """A report of ours without a mark."""

    grid_name: str
    files: tuple[str, ...]
    """What it wrote, as its README names it."""


def unmarked_report(out: Path) -> UnmarkedReport | None:
    """The report in `out`, or None where there is none that is surely ours and as it was written. Raises OSError."""
    texts = [_own_text(out / name) for name in ("README.md", "report.html", "trials.csv")]
    readme, shown, trials = texts
    if readme is None or shown is None or trials is None:
        return None
    source = _SOURCE.search(readme)
    if source is None or not set(_RUN.findall(readme)) <= _trial_ids(trials):
        return None
    if _words(page(readme, defaultdict(bytes))) != _words(shown):
        return None
    return UnmarkedReport(source[1], _named_files(readme))


def _own_text(path: Path) -> str | None:
    """The text of a file that is no link; None where there is none."""
    if path.is_symlink() or not path.is_file():
        return None
    try:
        return path.read_text()
    except UnicodeDecodeError:
        return None


def _trial_ids(trials: str) -> set[str]:
    rows = csv.reader(trials.splitlines())
    if next(rows, [])[: len(_TRIALS)] != _TRIALS:
        return set()
    return {row[2] for row in rows if len(row) > 2}


def _named_files(readme: str) -> tuple[str, ...]:
    links = _LINK.findall(readme)
    drawn = [link.removesuffix(".svg") + ".png" for link in links if link.endswith(".svg")]
    tables = next(
        (_TABLE.findall(line) for line in readme.splitlines() if line.startswith("As tables: ")), []
    )
    champion = ["cards/champion.md"] if links else []
    return tuple(dict.fromkeys(["README.md", "report.html", *tables, *links, *drawn, *champion]))


class _Words(HTMLParser):
    """Gathers what a reader of a page sees."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_style = tag == "style"
        self.parts += [value or "" for name, value in attrs if name == "alt"]

    def handle_endtag(self, _tag: str) -> None:
        self._in_style = False

    def handle_data(self, data: str) -> None:
        if not self._in_style:
            self.parts.append(data)


def _words(shown: str) -> str:
    reader = _Words()
    reader.feed(shown)
    return "".join("".join(reader.parts).split())
