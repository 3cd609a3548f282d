"""The reports in the repository, as a colleague gets them.

Cards load, links lead somewhere, nothing is left to be filled in.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest
from huggingface_hub import ModelCard

from ablate.reporting.evidence.frames import csv_text
from ablate.reporting.pages.folder import MARK, read_mark

REPORTS = Path(__file__).parents[2] / "reports"
PAGES = sorted(REPORTS.rglob("*.md"))
CARDS = sorted(REPORTS.glob("*/cards/*.md"))
BLANK = re.compile(
    r"More Information Needed|TODO|TBD|[Ll]orem ipsum|\[optional\]|\bnan\b|\bNaN\b|\bNone\b(?!:)"
)


def _name(path: Path) -> str:
    return path.relative_to(REPORTS).as_posix()


def test_there_are_reports_with_cards() -> None:
    assert {path.name for path in REPORTS.iterdir()} >= {"flowers", "textile", "flowers102"}
    assert len(CARDS) >= 25


@pytest.mark.parametrize("path", CARDS, ids=_name)
def test_a_card_loads_with_its_scores(path: Path) -> None:
    metrics = {result.metric_type for result in ModelCard.load(path).data.eval_results}
    assert {"f1", "roc_auc"} <= metrics


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_a_page_leads_somewhere_and_leaves_nothing_blank(path: Path) -> None:
    text = path.read_text()
    links = [
        unquote(link)
        for link in re.findall(r"\]\(([^)#\s]+)\)", text)
        if not link.startswith("http")
    ]
    assert [link for link in links if not (path.parent / link).exists()] == []
    assert BLANK.findall(text) == []


FOLDERS = sorted(path for path in REPORTS.iterdir() if path.is_dir())
TABLES = sorted(REPORTS.glob("*/*.csv"))


@pytest.mark.parametrize("folder", FOLDERS, ids=_name)
def test_a_report_is_known_as_ours_with_all_its_files(folder: Path) -> None:
    """Its page holds the very words of its README, as the reader of today reads it.

    A report in a clone is written again by `make ablation`.
    """
    mark = read_mark(folder)
    assert mark is not None
    assert mark.grid == folder.name
    assert set(mark.files) == {
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    } - {MARK}


def test_tables_are_written_as_they_were() -> None:
    """The cells of every committed table, printed again, are the same bytes.

    No number became a word, none was quoted anew.
    """
    assert len(TABLES) > 60
    for path in TABLES:
        whole = path.read_bytes().decode()
        frame = pd.read_csv(io.StringIO(whole), dtype=str, keep_default_na=False)
        assert csv_text(frame) == whole, path
