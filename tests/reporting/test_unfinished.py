"""Studies of which something is missing: trials, scores, predictions, classes.

They have a report, and nothing in it flatters.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from ablate.errors import StoreError
from ablate.reporting.compute import compute_results
from ablate.reporting.evidence.frames import best_run, run_of_trial
from ablate.reporting.evidence.two_studies import compare_studies
from ablate.reporting.figures.choose import choose_pictures
from ablate.reporting.pages.cards.card import card_text
from ablate.reporting.pages.readme import report_text
from ablate.reporting.pages.write import render_texts
from ablate.reporting.text.two_studies_text import comparison_text
from ablate.study.choosing import best_of, is_score
from ablate.workflow.after.reports import arms_overview

AXES = {"augment": ("none", "light"), "freeze_depth": (-1,)}
NOT_SCORES = [math.nan, math.inf, -math.inf, 1.7976931348623157e308, -1.7976931348623157e308]
METRICS = [
    "val/macro_f1",
    "test/macro_f1",
    "test/auroc_ovr_macro",
    "val/nll",
    "test/ece",
    "cost/n_trainable",
    "time/train_s",
    "best_epoch",
]
BLANK = re.compile(r"\b(nan|inf|None(?!:))\b")
NOT_SCORED = "not covered by any test score below"
NOTHING_TO_SEPARATE = "its scores cannot show whether a model separates the classes"
ENDS = st.sampled_from(
    [
        "COMPLETE",
        "COMPLETE",
        "COMPLETE",
        "FAILED",
        "PRUNED",
        "KILLED",
        "RUNNING",
        "NOT RUN",
        "UNREADABLE",
    ]
)
CHANGES = st.none() | st.tuples(st.sampled_from(METRICS), st.sampled_from([*NOT_SCORES, None]))


@pytest.fixture(scope="module")
def study(build):
    return build(axes=AXES, n_classes=3, n_images=24)


def ended(study, ends, changes):
    """The study whose runs ended so.

    A change is a metric with its value, or None where the run has it not.
    """
    unreadable = {
        run.run_id for run, end in zip(study.study.runs, ends, strict=True) if end == "UNREADABLE"
    }
    fate = {
        run.run_id: (end, change)
        for run, end, change in zip(study.study.runs, ends, changes, strict=True)
    }

    def told(run):
        end, change = fate[run.run_id]
        metrics = dict(run.metrics) if end in ("COMPLETE", "UNREADABLE") else {}
        if change is not None:
            metrics.pop(change[0], None)
            metrics |= {} if change[1] is None else {change[0]: change[1]}
        status = "COMPLETE" if end == "UNREADABLE" else end
        return (
            None
            if end == "NOT RUN"
            else replace(
                run, status=status, metrics=metrics, failure="Boom: x" if end == "FAILED" else ""
            )
        )

    def predictions(run):
        if run.run_id in unreadable:
            raise StoreError("gone")
        return study.frames[run.run_id]

    return study.with_runs(told), predictions


@pytest.mark.slow
@settings(max_examples=15, deadline=None, phases=[Phase.generate])
@given(data=st.data())
def test_whatever_is_missing_there_is_a_report_without_blanks(study, data) -> None:
    n_runs = len(study.study.runs)
    ends = data.draw(
        st.lists(ENDS, min_size=n_runs, max_size=n_runs) | ENDS.map(lambda end: [end] * n_runs)
    )
    changes = data.draw(st.lists(CHANGES, min_size=n_runs, max_size=n_runs))
    changed, predictions = ended(study, ends, changes)
    results = compute_results(changed.study, predictions)
    texts = [report_text(results, {}), *(card_text(results, arm) for arm in results.record.arms)]
    assert [BLANK.findall(re.sub(r"`[^`]*`", "", text)) for text in texts] == [[]] * len(texts)
    overview = arms_overview(changed.study)
    assert len(overview) == len(results.record.arms)
    assert not overview.map(lambda cell: BLANK.search(str(cell))).any().any()
    comparison_text(compare_studies(changed.study, study.study), first="a", second="b")
    if results.champion is not None:
        run = best_run(changed.study, results.champion.arm_id)
        assert run is not None
        assert is_score(run.metrics["val/macro_f1"])


@pytest.mark.parametrize(
    "ends",
    [
        ["FAILED"] * 4,
        ["NOT RUN"] * 4,
        ["PRUNED"] * 4,
        ["COMPLETE", *["FAILED"] * 3],
        ["COMPLETE", "COMPLETE", *["NOT RUN"] * 2],
    ],
)
def test_the_figures_of_a_study_that_is_hardly_there(study, ends) -> None:
    changed, predictions = ended(study, ends, [None] * 4)
    results = compute_results(changed.study, predictions)
    assert "README.md" in render_texts(results, choose_pictures(results))


@pytest.mark.parametrize("value", NOT_SCORES)
def test_a_score_that_is_not_finite_never_chooses(study, value: float) -> None:
    worst = min(study.study.runs, key=lambda run: run.metrics["val/macro_f1"])
    changed = study.with_runs(
        lambda run: (
            replace(run, metrics={**run.metrics, "val/macro_f1": value})
            if run.run_id == worst.run_id
            else run
        )
    )
    judged = run_of_trial(changed.study)[worst.arm_id, worst.seed]
    assert (judged.status, judged.failure) == (
        "FAILED",
        f"NoScore: val/macro_f1 must be a finite number, got {value:g}",
    )
    results = compute_results(changed.study, changed.predictions)
    assert results.champion is not None
    assert results.champion.arm_id != worst.arm_id
    assert (
        f"| {worst.seed} | FAILED | `NoScore: val/macro_f1 must be a finite number, got "
        f"{value:g}` |" in report_text(results, {})
    )


@pytest.mark.parametrize(("metric", "values", "best"), [
    ("val/macro_f1", [0.5, math.nan, 0.7, math.inf, 0.7], 2),
    ("val/macro_f1", [math.nan, 0.1], 1),
    ("val/nll", [math.nan, -math.inf, 2.0, 1.0, math.inf], 3),
    ("val/nll", [math.inf, math.nan], None),
    ("val/macro_f1", [], None),
])  # fmt: skip
def test_the_best_of_some(metric: str, values: list[float], best: int | None) -> None:
    assert best_of(metric, range(len(values)), lambda place: values[place]) == best


def counted(study, **counts: tuple[int, ...]):
    data = study.study.record.data
    names = tuple(f"class {number}" for number in range(len(next(iter(counts.values())))))
    return study.with_record(
        data=data.model_copy(
            update={"class_counts": counts, "class_names": names, "requested_source": data.source}
        )
    )


def report_of(study) -> str:
    results = replace(compute_results(study.study, study.predictions), champion=None)
    return report_text(results, {})


def data_lines(study) -> list[str]:
    """What stands under the question which data were used."""
    text = report_of(study).partition("<details><summary>Which data were used?</summary>")[2]
    return text.partition("\n## ")[0].splitlines()


def absent_lines(lines: list[str]) -> list[str]:
    """Those of classes that a split lacks, without their bullets."""
    absent = []
    for line in lines:
        if "without images in" in line or "images of one class only" in line:
            absent.append(line.lstrip("->* "))
    return absent


def test_the_lines_on_data_name_the_first_ten_classes_and_count_the_rest(build) -> None:
    study = build(axes={"augment": ("none", "light")}, n_classes=14, n_images=28)
    lines = data_lines(
        study.with_record(
            data=study.study.record.data.model_copy(
                update={"class_names": ("x" * 60, *"abcdefghijklm")}
            )
        )
    )
    named = ", ".join(f"`{name}` 2 / 2 / 2" for name in "abcdefghi")
    assert (
        f"- Classes, images in train / val / test: `{'x' * 39}…` 2 / 2 / 2, {named} and 4 more."
        in lines
    )


@pytest.mark.parametrize(
    ("absent", "warnings"),
    [
        ({"val": (4, 4, 4), "test": (4, 4, 4)}, []),
        (
            {"val": (4, 4, 4), "test": (4, 0, 4)},
            [f"- **1 class without images in test: {NOT_SCORED}.** `class 1`."],
        ),
        (
            {"val": (4, 0, 0), "test": (4, 0, 4)},
            [
                "- **2 classes without images in val: not considered when the best epoch "
                "and the best arm were chosen.** `class 1`, `class 2`.",
                f"- **val holds images of one class only: {NOTHING_TO_SEPARATE}.**",
                f"- **1 class without images in test: {NOT_SCORED}.** `class 1`.",
            ],
        ),
        (
            {"val": (4, 4, 4), "test": (0, 0, 9)},
            [
                f"- **2 classes without images in test: {NOT_SCORED}.** `class 0`, `class 1`.",
                f"- **test holds images of one class only: {NOTHING_TO_SEPARATE}.**",
            ],
        ),
    ],
)
def test_classes_that_a_split_lacks_stand_in_the_bar_of_the_report_and_atop_cards(
    build, absent, warnings
) -> None:
    study = counted(
        build(axes={"augment": ("none", "light")}, n_classes=3), train=(4, 4, 4), **absent
    )
    wanted = absent_lines(warnings)
    assert len(wanted) == len(warnings)
    bar = [line for line in report_of(study).splitlines() if line.startswith("> ")]
    assert absent_lines(bar) == wanted
    assert absent_lines(data_lines(study)) == wanted
    results = compute_results(study.study, study.predictions)
    opening = card_text(results, results.record.arms[0]).partition("\n## ")[0]
    assert [line for line in opening.splitlines() if line.startswith("- **")] == warnings
