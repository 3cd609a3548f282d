"""One comparison has one estimate, one interval and one verdict, wherever a report shows it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.one_answer import contradictions

from ablate.reporting.compute import compute_results
from ablate.reporting.figures.choose import choose_pictures
from ablate.reporting.pages.html import page
from ablate.reporting.pages.write import render_texts
from ablate.reporting.report_record import report_json
from ablate.reporting.summarise import report_record
from ablate.reporting.text.note import study_note
from ablate.reporting.text.paper_table import as_markdown, paper_table
from ablate.study.question import Question

REPORTS = Path(__file__).parents[2] / "reports"
COMMITTED = sorted(path for path in REPORTS.iterdir() if path.is_dir())
PRIMARY = "test/macro_f1"
SUFFIXES = {".md", ".html", ".csv", ".json"}


class _NoPictures(dict[str, bytes]):
    def __missing__(self, _name: str) -> bytes:
        return b""


def texts_of(published) -> dict[str, str]:
    """Every file of a report with words in it; figures are there by their alt texts."""
    results = compute_results(published.study, published.predictions)
    texts = render_texts(results, choose_pictures(results))
    record = report_record(results, files={})
    return {
        **texts,
        "report.html": page(texts["README.md"], _NoPictures()),
        "report.json": report_json(record),
        # beside the report: what `ablate table` prints, and the description in MLflow
        "table.md": as_markdown(paper_table(results)),
        "note.md": study_note(record),
    }


def winning(published, arm_id: str):
    """The study in which an arm is the best on val."""

    def change(run):
        score = 0.99 if run.arm_id == arm_id else 0.3
        return replace(run, metrics={**run.metrics, "val/macro_f1": score})

    return published.with_runs(change)


def with_cells(published, design: str, is_kept):
    """The study with those cells alone whose number of levels beside the baseline's `is_kept`."""
    record = published.study.record
    base = next(arm for arm in record.arms if arm.arm_id == record.baseline_arm_id).cells[0]

    def kept(cell) -> bool:
        return is_kept(sum(cell[axis] != base[axis] for axis in record.axes))

    arms = []
    for arm in record.arms:
        cells = tuple(cell for cell in arm.cells if kept(cell))
        if cells:
            arms.append(arm.model_copy(update={"cells": cells}))
    arm_ids = {arm.arm_id for arm in arms}
    study = published.with_runs(lambda run: run if run.arm_id in arm_ids else None)
    return study.with_record(arms=tuple(arms), design=design, excluded=())


def one_factor(published):
    return with_cells(published, "one_factor", lambda n_changed: n_changed <= 1)


def full_recipe(published):
    """The baseline is the arm with the last level of each axis that was trained with the others."""
    record = published.study.record
    last = {axis: levels[-1] for axis, levels in record.axes.items()} | {"lora_rank": 0}
    baseline = next(arm for arm in record.arms if last in arm.cells)
    return published.with_record(baseline_arm_id=baseline.arm_id)


def asking(published):
    """Two arms, a level the other way round, and a level that is only asked for."""
    record = published.study.record
    cells = [arm.cells[0] for arm in record.arms]
    base = next(arm for arm in record.arms if arm.arm_id == record.baseline_arm_id).cells[0]
    light = {**base, "augment": "light"}
    adapted = {**base, "lora_rank": 8}
    assert light in cells and adapted in cells
    questions = (
        Question(name="light or not", levels={"augment": "none"}, against={"augment": "light"}),
        Question(name="light or adapted", levels=light, against=adapted),
    )
    return published.with_record(questions=questions, margin=3.0)


CASES = {
    "as it is": lambda study: study,
    "a margin": lambda study: study.with_record(margin=5.0),
    "the baseline wins": lambda study: winning(study, study.study.record.baseline_arm_id),
    "a neighbour of it wins": lambda study: winning(study, study.study.record.arms[1].arm_id),
    "questions": asking,
    "one factor": one_factor,
    "one factor, the baseline wins": lambda study: winning(
        one_factor(study), study.study.record.baseline_arm_id
    ),
    "one factor, a margin": lambda study: one_factor(study).with_record(margin=5.0),
    "one factor, questions": lambda study: asking(one_factor(study)),
    "leave one out": lambda study: one_factor(full_recipe(study)).with_record(
        design="leave_one_out"
    ),
    "a part of the cells": lambda study: with_cells(
        study, "random 6", lambda n_changed: n_changed in (0, 2)
    ),
    "a trial failed": lambda study: one_factor(study).with_runs(
        lambda run: run if (run.seed, run.arm_id) != (1, run.arm_id[:-1] + "1") else None
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_all_files_of_a_report_say_the_same(build, case: str) -> None:
    found, n_read = contradictions(texts_of(CASES[case](build(seeds=(0, 1, 2)))))
    assert found == []
    assert n_read > 40


PHASES = (
    [{"epochs": 4, "freeze_depth": "all", "head_lr": 0.01}, {"epochs": 4}],
    [{"epochs": 2, "freeze_depth": "all"}, {"epochs": 6, "freeze_depth": 0}],
)


def test_a_level_of_phases_has_one_name_in_all_files(build) -> None:
    study = build(seeds=(0, 1, 2), axes={"phases": PHASES, "augment": ("none", "light")})
    texts = texts_of(study)
    found, n_read = contradictions(texts)
    assert found == []
    assert n_read > 40
    for name, text in texts.items():
        if name != "report.json":
            assert "epochs&quot;" not in text and '"epochs"' not in text, name
    assert "### `phases`" in texts["README.md"]
    assert "- `2xall+6x0` against `4xall(head_lr=0.01)+4`: " in texts["README.md"]


def test_in_a_design_of_one_factor_arms_effects_and_choices_are_compared(build) -> None:
    """Else the walk of this file would find nothing where there is nothing to find."""
    study = one_factor(build(seeds=(0, 1, 2)))
    results = compute_results(study.study, study.predictions)
    assert {gap.effect is not None for gap in results.to_baseline} == {True}
    record = study.study.record
    for effect in results.effects.mains:
        # under a probe the ratio of the rates changes nothing
        if effect.metric == PRIMARY and effect.comparison.axes != ("lr_ratio",):
            ((place, _),) = effect.comparison.contrast.cells
            gap = results.gap_to_baseline(record.arms[place].arm_id)
            assert gap is not None and gap.judged == effect.judged


def test_explored_levels_beside_questions_have_the_answer_of_their_arm(build) -> None:
    study = asking(one_factor(build(seeds=(0, 1, 2))))
    effects = compute_results(study.study, study.predictions).effects
    main = {effect.comparison.name: effect for effect in effects.mains}
    # what arms gain over the baseline is promised together with the answers
    assert not any(effect.is_exploratory for effect in main.values() if effect.metric == PRIMARY)


def test_a_contradiction_is_found_in_each_kind_of_file(published) -> None:
    texts = texts_of(published)
    for name in ("README.md", "report.html", "effects.csv", "choices.csv", "cards/champion.md"):
        number = {"effects.csv": "0.", "choices.csv": "0."}.get(name, "+")
        changed = {**texts, name: _with_another(texts[name], number)}
        found, _ = contradictions(changed)
        assert found, name


def test_two_answers_to_one_comparison_are_found(build) -> None:
    texts = texts_of(one_factor(build(seeds=(0, 1, 2))))
    record = texts["report.json"]
    start = record.index('"against_baseline": {')
    place = record.index('"low": ', start) + len('"low": ')
    end = record.index(",", place)
    texts["report.json"] = f"{record[:place]}-0.777{record[end:]}"
    found, _ = contradictions(texts)
    assert any(" as " in line for line in found)


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


def test_there_are_committed_reports() -> None:
    assert len(COMMITTED) >= 9


@pytest.mark.parametrize("folder", COMMITTED, ids=lambda folder: folder.name)
def test_a_committed_report_says_the_same_everywhere(folder: Path) -> None:
    if not (folder / "report.json").is_file():
        pytest.skip(f"{folder.name} was written before there was a report.json")
    files = {}
    for path in folder.rglob("*"):
        if path.suffix in SUFFIXES and path.name[0] != ".":
            files[path.relative_to(folder).as_posix()] = path.read_text()
    found, n_read = contradictions(files)
    assert found == []
    # a search has no baseline, and so fewer comparisons than other studies
    assert n_read > 10
