"""Report folders of versions that left no mark or no `report.json`: read from their prose.

Nothing here is used for a report of today. A README that cites a study is not enough to know a
folder as ours: others may quote a report. So the whole must fit together: its page must hold the
README's very words, and its table of trials the trials that the README names.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from ablate.reporting.figures.example_images import LEFT_OUT
from ablate.reporting.pages.html import page

_SOURCE = re.compile(
    r"MLflow: experiment `(?P<grid>[^`\n]+)`, parent run `(?P<parent>[^`\n]+)`, "
    r"study `(?P<study>[^`\n]+)`"
)
_OWN_SOURCE = re.compile(
    r"^- MLflow: experiment `[^`\n]+`, parent run `[0-9a-f]{32}`, study `[0-9a-f]{12}`$",
    re.MULTILINE,
)
_RUN_ID = re.compile(r"`([0-9a-f]{32})`")
_RUN = re.compile(r"^\| .* \| \d+ \| `[0-9a-f]{32}` \| `([0-9a-f]{16})` \|$", re.MULTILINE)
_LINK = re.compile(r"\]\(((?:cards/[^)\s/]+\.md)|(?:figures/[^)\s/]+\.svg))\)")
_TABLE = re.compile(r"`(\w+\.csv)`")
_TRIALS = ["arm", "arm_id", "trial_id", "seed", "state"]


@dataclass(frozen=True)
class CitedStudy:
    """The study that a README cites."""

    grid_name: str
    parent_run_id: str
    study_id: str


def cited_study(readme: str) -> CitedStudy | None:
    """What a README says under `How to reproduce`; None where it says nothing."""
    match = _SOURCE.search(readme)
    if match is None:
        return None
    return CitedStudy(match["grid"], match["parent"], match["study"])


def leaves_images_out(readme: str) -> bool:
    """Whether a README says that its report shows no images of the data set."""
    return LEFT_OUT in readme


def cited_run_ids(text: str) -> list[str]:
    """The runs that a page of any report names."""
    return list(dict.fromkeys(_RUN_ID.findall(text)))


@dataclass(frozen=True)
class UnmarkedReport:
    """A report of ours without a mark."""

    grid_name: str
    files: tuple[str, ...]
    """What it wrote, as its README names it."""


def unmarked_report(out: Path) -> UnmarkedReport | None:
    """The report in `out`; None where none is surely ours and unchanged. Raises OSError."""
    readme = _own_text(out / "README.md")
    shown = _own_text(out / "report.html")
    trials = _own_text(out / "trials.csv")
    if readme is None or shown is None or trials is None:
        return None
    study = cited_study(readme) if _OWN_SOURCE.search(readme) else None
    if study is None or not set(_RUN.findall(readme)) <= _trial_ids(trials):
        return None
    if _words(page(readme, defaultdict(bytes))) != _words(shown):
        return None
    return UnmarkedReport(study.grid_name, _named_files(readme))


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
    tables: list[str] = []
    for line in readme.splitlines():
        if line.startswith("As tables: "):
            tables = _TABLE.findall(line)
            break
    # The champion's card is a copy of an arm's, and no README links to it.
    champion = ["cards/champion.md"] if links else []
    return tuple(dict.fromkeys(["README.md", "report.html", *tables, *links, *drawn, *champion]))


class _Words(HTMLParser):
    """Gathers what a reader of a page sees."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._is_unseen = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._is_unseen = tag in ("style", "script")
        self.parts += [value or "" for name, value in attrs if name == "alt"]

    def handle_endtag(self, _tag: str) -> None:
        self._is_unseen = False

    def handle_data(self, data: str) -> None:
        if not self._is_unseen:
            self.parts.append(data)


def _words(shown: str) -> str:
    reader = _Words()
    reader.feed(shown)
    return "".join("".join(reader.parts).split())
