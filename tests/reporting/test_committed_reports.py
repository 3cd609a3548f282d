"""The reports in the repository, as a colleague gets them: cards load, links lead somewhere, nothing is left to be filled in."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from huggingface_hub import ModelCard

REPORTS = Path(__file__).parents[2] / "reports"
PAGES = sorted(REPORTS.rglob("*.md"))
CARDS = sorted(REPORTS.glob("*/cards/*.md"))
BLANK = re.compile(r"More Information Needed|TODO|TBD|[Ll]orem ipsum|\[optional\]|\bnan\b|\bNaN\b|\bNone\b(?!:)")


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
    links = [unquote(link) for link in re.findall(r"\]\(([^)#\s]+)\)", text) if not link.startswith("http")]
    assert [link for link in links if not (path.parent / link).exists()] == []
    assert BLANK.findall(text) == []
