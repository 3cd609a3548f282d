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

# as `reproduce_section` writes it, and wrote it before
_SOURCE = re.compile(
    r"MLflow: experiment `(?P<grid>[^`\n]+)`, parent run `(?P<parent>[^`\n]+)`, "
    r"study `(?P<study>[^`\n]+)`"
)
# stricter: a whole line with whole ids, as only a report writes it
_OWN_SOURCE = re.compile(
    r"^- MLflow: experiment `[^`\n]+`, parent run `[0-9a-f]{32}`, study `[0-9a-f]{12}`$",
    re.MULTILINE,
)
_RUN_ID = re.compile(r"`([0-9a-f]{32})`")
# a row of the table of runs, whose last cell is the trial
_RUN = re.compile(r"^\| .* \| \d+ \| `[0-9a-f]{32}` \| `([0-9a-f]{16})` \|$", re.MULTILINE)
# what a README links to lies in its own two folders
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
    study = cited_study(readme)
    if study is None or not _OWN_SOURCE.search(readme):
        return None
    if not set(_RUN.findall(readme)) <= _trial_ids(trials):
        return None
    # the page is made again from the README: an edit of either shows; pictures have no words
    if _words(page(readme, defaultdict(bytes))) != _words(shown):
        return None
    return UnmarkedReport(study.grid_name, _named_files(readme))


def _own_text(path: Path) -> str | None:
    """The text of a file that is no link; None where there is none."""
    if path.is_symlink() or not path.is_file():
        return None
    try:
        # not `errors="replace"`: what is no text is nothing that we wrote
        return path.read_text()
    except UnicodeDecodeError:
        return None


def _trial_ids(trials: str) -> set[str]:
    rows = csv.reader(trials.splitlines())
    # as `frames.trial_frame` begins: another table may have the same name
    if next(rows, [])[: len(_TRIALS)] != _TRIALS:
        return set()
    trial_ids = set()
    for row in rows:
        # a table that was cut off, or edited, may have shorter rows
        if len(row) > 2:
            trial_ids.add(row[2])
    return trial_ids


def _named_files(readme: str) -> tuple[str, ...]:
    links = _LINK.findall(readme)
    drawn = []
    for link in links:
        # each figure was written twice, and the README shows the SVG
        if link.endswith(".svg"):
            drawn.append(f"{link.removesuffix('.svg')}.png")
    tables: list[str] = []
    for line in readme.splitlines():
        if line.startswith("As tables: "):
            tables = _TABLE.findall(line)
            break
    # The champion's card is a copy of an arm's, and no README links to it.
    champion = []
    if links:
        champion.append("cards/champion.md")
    return tuple(dict.fromkeys(["README.md", "report.html", *tables, *links, *drawn, *champion]))


class _Words(HTMLParser):
    """Gathers what a reader of a page sees."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._is_unseen = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # style and script hold text that nobody sees
        self._is_unseen = tag in ("style", "script")
        for name, value in attrs:
            # alt texts count as words; the pictures themselves may be drawn otherwise by now
            if name == "alt":
                self.parts.append(value or "")

    def handle_endtag(self, _tag: str) -> None:
        self._is_unseen = False

    def handle_data(self, data: str) -> None:
        if not self._is_unseen:
            self.parts.append(data)


def _words(shown: str) -> str:
    """All words of a page without the spaces between them, which styles may change."""
    reader = _Words()
    reader.feed(shown)
    return "".join("".join(reader.parts).split())
