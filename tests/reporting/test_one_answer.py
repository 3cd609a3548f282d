"""One comparison has one estimate, one interval and one verdict, wherever a report shows it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.one_answer import contradictions

from ablate.reporting.compute import compute_results
from ablate.reporting.figures.choose import draw_gallery
from ablate.reporting.pages.html import page
from ablate.reporting.pages.write import render_texts
from ablate.reporting.report_record import report_json
from ablate.reporting.summarise import report_record

REPORTS = Path(__file__).parents[2] / "reports"
COMMITTED = sorted(path.parent for path in REPORTS.glob("*/report.json"))


class _NoPictures(dict[str, bytes]):
    def __missing__(self, _name: str) -> bytes:
        return b""


def texts_of(published) -> dict[str, str]:
    """Every file of a report with words in it; figures are there by their alt texts."""
    results = compute_results(published.study, published.predictions)
    texts = render_texts(results, draw_gallery(results))
    texts["report.html"] = page(texts["README.md"], _NoPictures())
    return {**texts, "report.json": report_json(report_record(results, files={}))}


def winning(published, arm_id: str):
    """The study in which an arm is the best on val."""

    def change(run):
        score = 0.99 if run.arm_id == arm_id else 0.3
        return replace(run, metrics={**run.metrics, "val/macro_f1": score})

    return published.with_runs(change)


@pytest.mark.parametrize("case", ["as it is", "the baseline wins", "a neighbour of it wins"])
def test_all_files_of_a_report_say_the_same(published, case: str) -> None:
    record = published.study.record
    study = {
        "as it is": published,
        "the baseline wins": winning(published, record.baseline_arm_id),
        "a neighbour of it wins": winning(published, record.arms[1].arm_id),
    }[case]
    found, n_read = contradictions(texts_of(study))
    assert found == []
    assert n_read > 100


def test_a_contradiction_is_found_in_each_kind_of_file(published) -> None:
    texts = texts_of(published)
    for name in ("README.md", "report.html", "effects.csv", "choices.csv", "cards/champion.md"):
        number = {"effects.csv": "0.", "choices.csv": "0."}.get(name, "+")
        changed = {**texts, name: _with_another(texts[name], number)}
        found, _ = contradictions(changed)
        assert found, name


def _with_another(text: str, mark: str) -> str:
    """The text with another number in one of its answers."""
    if mark == "0.":
        lines = text.splitlines()
        cells = lines[1].split(",")
        place = lines[0].split(",").index("difference")
        cells[place] = str(float(cells[place]) + 0.01)
        return "\n".join([lines[0], ",".join(cells), *lines[2:]]) + "\n"
    start = text.index("(interval ") + len("(interval ")
    return f"{text[:start]}+98.7{text[start:][text[start:].index(' to') :]}"


def test_committed_reports_say_the_same_everywhere() -> None:
    if not COMMITTED:
        pytest.skip("no committed report has a report.json yet")
    for folder in COMMITTED:
        files = {}
        for path in folder.rglob("*"):
            if path.suffix in {".md", ".html", ".csv", ".json"} and path.name[0] != ".":
                files[path.relative_to(folder).as_posix()] = path.read_text()
        found, n_read = contradictions(files)
        assert found == [], folder.name
        assert n_read > 20, folder.name
