"""A whole report in which every word that people choose is hostile.

Pages, cards, notes and tables have the form of a harmless one.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from typing import cast

import pytest
from huggingface_hub import ModelCard

from ablate.quoting import one_line
from ablate.reporting.evidence.two_studies import compare_studies
from ablate.reporting.pages.html import page
from ablate.reporting.pages.readme import FOLDED
from ablate.reporting.pages.write import write_report
from ablate.reporting.text.layout import CARDS, COLUMNS, PAIRS
from ablate.reporting.text.two_studies_text import comparison_text
from ablate.reporting.verify_report import verify_report
from ablate.study.record import NearDuplicate, NearDuplicates
from ablate.study.trial import Trial
from ablate.tracking import mlflow_fields
from ablate.tracking.events import TrialOutcome

HARMLESS = ["a", "b", "c"]
HOSTILE = {
    "elements": ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</details>"],
    "links": ["[x](javascript:alert(1))", "![x](http://a/b.png)", "<http://a.b>"],
    "tables": ["a|b", "\"'>|--|", "| x | y |"],
    "lines": ["a\n\n# b", "a\n</details>\n", "\n| a |\n|---|\n"],
    "marks": ["``` `a", "# $x$ **b** __c__", "---"],
    "formulas": ["=1+1", "@SUM(A1)", "\t=cmd|'/c calc'!A0"],
    "unseen": ["\u202egnp.exe", "\u05d0\u05d1", "\x1b[31m&lt;b&gt;"],
}


def renamed(build, names: list[str]):
    """A small study in which classes, images, arms, levels, facts and failures are called so."""
    made = build(
        axes={"augment": ("none", "light"), "freeze_depth": (-1,)}, n_classes=3, n_images=30
    )
    first, second, third = names
    record = made.study.record
    pair = {
        "first_split": "val",
        "first_id": f"{first}0",
        "first_label": 0,
        "second_split": "test",
        "second_id": f"{second}1",
        "second_label": 1,
    }
    duplicates = NearDuplicates(
        n_pairs=1, pairs=(NearDuplicate(**pair, likeness=0.99, is_mirrored=False),)
    )
    data = record.data.model_copy(
        update={
            "class_names": tuple(names),
            "title": first,
            "version": second,
            "licence": third,
            "origin": first,
            "split_rule": second,
            "requested_source": third,
            "source": first,
            "regrouped": {first: (second, third)},
            "near_duplicates": duplicates,
        }
    )
    arms = tuple(
        arm.model_copy(update={"name": f"{name} {number}"})
        for number, (arm, name) in enumerate(zip(record.arms, names, strict=False))
    )
    excluded = tuple(one.model_copy(update={"why": third}) for one in record.excluded)
    changed = made.with_record(
        question=first,
        data=data,
        arms=arms,
        excluded=excluded,
        command=f"make ablation GRID={second}",
        image_size=third,
    )
    tags = dict.fromkeys(
        (
            "weights_source",
            "commit",
            "torch",
            "versions",
            "device",
            "precision",
            "freeze_depth",
            "weights_digest",
            "family",
        ),
        second,
    )
    failed = changed.study.runs[-1].run_id

    def told(run):
        if run.run_id == failed:
            return replace(run, status="FAILED", failure=f"DataError: {first}", metrics={})
        return replace(run, tags={**run.tags, **tags})

    frames = {
        run_id: frame.assign(image_id=[f"{names[i % 3]}{i}" for i in range(len(frame))])
        for run_id, frame in made.frames.items()
    }
    return replace(changed.with_runs(told), frames=frames)


def elements(shown: str) -> list[str]:
    return [re.sub(r'="[^"]*"', "", tag) for tag in re.findall(r"<[^>]*>", shown)]


def written(study, out):
    paths = write_report(study.study, predictions=study.predictions, out=out)
    assert [
        str(one)
        for one in verify_report(study.study, predictions=study.predictions, folder=out)
        if "run000" not in one.place
    ] == []
    return paths


def pages_of(paths) -> list[list[str]]:
    """The elements of the page, and of every Markdown file as the page's reader reads it."""
    markdown = [
        path.read_text()
        for path in (paths.readme, *sorted(paths.cards, key=lambda path: len(path.name)))
    ]
    bodies = [re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL) for text in markdown]
    return [elements(paths.page.read_text()), *(elements(page(body, _Images())) for body in bodies)]


class _Images(dict):
    def __missing__(self, _name: str) -> bytes:
        return b""


@pytest.fixture(scope="module")
def harmless(build, tmp_path_factory) -> list[list[str]]:
    return pages_of(
        written(renamed(build, HARMLESS), tmp_path_factory.mktemp("harmless") / "report")
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_report_keeps_its_form_whatever_things_are_called(
    build, harmless, tmp_path, kind: str
) -> None:
    names = HOSTILE[kind]
    study = renamed(build, names)
    paths = written(study, tmp_path / "report")
    assert sorted(pages_of(paths)) == sorted(harmless)
    for card in paths.cards:
        (dataset,) = {result.dataset_name for result in ModelCard.load(card).data.eval_results}
        assert dataset == one_line(names[0])
    for table in paths.tables:
        rows = list(csv.reader(io.StringIO(table.read_bytes().decode(), newline="")))
        assert len({len(row) for row in rows}) == 1, table
        assert not [
            value for row in rows for value in row if value.lstrip().startswith(("=", "@", "+"))
        ]
    raw = [
        line
        for path in (paths.readme, *paths.cards)
        for line in path.read_text().splitlines()
        if line.startswith("<")
    ]
    questions = []
    for question, _ in FOLDED:
        # the study has no fresh seeds, and a question that nothing answers is not asked
        if "fresh seeds" not in question:
            questions.append(f"<details><summary>{question}</summary>")
    marks = [line for line in raw if line.startswith("<!--")]
    assert marks[:5] == [*CARDS, *COLUMNS] and set(marks[5:]) <= set(PAIRS)
    opened = [line for line in raw if line.startswith("<details>")]
    lists = [line for line in opened if line not in questions]
    assert [line for line in opened if line in questions] == questions
    assert lists[-1] == "<details><summary>4 runs</summary>"
    assert raw.count("</details>") == len(opened)
    assert len(raw) == len(marks) + 2 * len(opened)


@pytest.mark.parametrize("kind", HOSTILE)
def test_notes_in_mlflow_and_comparisons_keep_their_form(build, kind: str) -> None:
    forms = []
    for names in (HARMLESS, HOSTILE[kind]):
        study = renamed(build, names)
        record, run = study.study.record, study.study.runs[0]
        trial = _Trial(record.arms[0].recipe, "classification", record.arms[0].arm_id, 0)
        outcome = TrialOutcome(best_epoch=0, metrics=dict(run.metrics), facts=run.facts, files=())
        compared = comparison_text(
            compare_studies(study.study, study.study), first=names[0], second=names[1]
        )
        notes = [
            mlflow_fields.study_tags(record)[mlflow_fields.NOTE],
            mlflow_fields.trial_note(cast(Trial, trial), outcome, record),
            compared,
        ]
        forms.append([elements(page(note, {})) for note in notes])
    assert forms[0] == forms[1]


class _Trial:
    """What a note asks of a trial."""

    def __init__(self, recipe, task, arm_id, seed) -> None:
        self.recipe, self.task, self.arm_id, self.seed = recipe, task, arm_id, seed
