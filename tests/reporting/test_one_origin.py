"""Runs that started from different tensors under one name of weights are never averaged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ablate.errors import WeightsError
from ablate.reporting.one_origin import check_one_origin, origins_of
from ablate.reporting.pages.write import write_report
from ablate.reporting.verify_report import verify_report
from ablate.tracking.records import PublishedRun


def _started_from(run: PublishedRun, digest: str, content: str = "") -> PublishedRun:
    facts = {
        "weights_source": f"file {digest}.pth",
        "weights_digest": digest * 32,
        **({"weights_content": content} if content else {}),
    }
    return replace(run, tags={**run.tags, **facts})


def test_a_study_of_two_kinds_of_weights_has_no_report(published: Any, tmp_path: Path) -> None:
    """One seed of one arm is enough, and so is one arm of several."""
    for odd in (
        {"run003"},
        {
            run.run_id
            for run in published.study.runs
            if run.arm_id == published.study.runs[0].arm_id
        },
    ):
        mixed = published.with_runs(
            lambda run, odd=odd: _started_from(run, "cd") if run.run_id in odd else run
        )
        with pytest.raises(WeightsError) as caught:
            write_report(mixed.study, predictions=mixed.predictions, out=tmp_path)
        assert list(tmp_path.iterdir()) == []
        findings = verify_report(mixed.study, predictions=mixed.predictions, folder=tmp_path)
        assert [str(one) for one in findings][
            -1
        ] == f"the study: says a report, the store gives none: {caught.value}"
    mixed = published.with_runs(
        lambda run: _started_from(run, "cd") if run.run_id == "run003" else run
    )
    with pytest.raises(WeightsError) as caught:
        check_one_origin(mixed.study)
    others = [run.run_id for run in published.study.runs if run.run_id != "run003"]
    assert str(caught.value) == (
        "runs of tf_efficientnet_lite0 with weights auto must have started from the same "
        "tensors, they started from 2 kinds "
        "(package, digest abababababab: "
        f"{', '.join(others)[:30]} and "
        f"{len(published.study.runs) - 5} more; file cd.pth, digest cdcdcdcdcdcd: run003); a "
        "mean over them would mix networks. "
        "Way out: give one of the weights a path of its own, and the grid file another name, "
        "and run it again"
    )


def test_either_digest_makes_runs_equal(published: Any) -> None:
    """A conversion may differ between machines; the same tensors may be packed in other files.

    Older runs tell one digest alone.
    """
    runs = list(published.study.runs[:4])
    assert (
        len(
            origins_of(
                [
                    _started_from(runs[0], "ab", "x"),
                    _started_from(runs[1], "cd", "x"),
                    _started_from(runs[2], "cd", "y"),
                    runs[3],
                ]
            )
        )
        == 1
    )
    assert (
        len(origins_of([_started_from(runs[0], "ab", "x"), _started_from(runs[1], "cd", "y")])) == 2
    )
    assert (
        len(
            origins_of(
                [
                    _started_from(runs[0], "cd", "x"),
                    _started_from(runs[1], "ef", "y"),
                    _started_from(runs[2], "ef", "x"),
                ]
            )
        )
        == 1
    )
    assert origins_of([replace(runs[0], tags={})]) == []


def test_random_weights_differ_by_seed_and_may(published: Any) -> None:
    arms = tuple(
        arm.model_copy(update={"recipe": arm.recipe.model_copy(update={"weights": "none"})})
        for arm in published.study.record.arms
    )
    random = published.with_record(arms=arms).with_runs(
        lambda run: _started_from(run, f"{run.seed}a")
    )
    check_one_origin(random.study)
