"""Two studies beside each other, recomputed from their runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ablate.reporting.evidence.two_studies import compare_studies
from ablate.reporting.text.two_studies_text import comparison_text

METRIC = "test/macro_f1"


@pytest.fixture(scope="module")
def pair(build):
    """The same grid, and a part of it in which every trial scores 0.02 higher.

    The second has one more level.
    """
    first = build(axes={"augment": ("none", "light"), "lora_rank": (0, 8)}, seeds=(0, 1, 2))
    second = build(
        axes={"augment": ("none", "light", "medium"), "lora_rank": (0,)}, seeds=(1, 2, 3)
    )
    return first.study, second.with_runs(
        lambda run: replace(run, metrics={**run.metrics, METRIC: run.metrics[METRIC] + 0.02})
    ).study


def test_shared_arms_are_those_with_equal_levels(pair) -> None:
    compared = compare_studies(*pair)
    augments = [(arm.first.recipe.augment, arm.second.recipe.augment) for arm in compared.shared]
    assert augments == [("none", "none"), ("light", "light")]
    assert [arm.second.recipe.lora_rank for arm in compared.shared] == [0, 0]


def test_differences_are_paired_by_shared_seeds(pair) -> None:
    compared = compare_studies(*pair)
    for arm, row in zip(compared.shared, compared.table.to_dict("records"), strict=True):
        first, second = (
            {run.seed: run.metrics[METRIC] for run in study.runs if run.arm_id == own.arm_id}
            for study, own in zip(pair, (arm.first, arm.second), strict=True)
        )
        assert row[f"{METRIC} first"] == pytest.approx(np.mean(list(first.values())))
        assert (
            row[f"{METRIC} low"]
            <= np.mean([second[seed] - first[seed] for seed in (1, 2)])
            <= row[f"{METRIC} high"]
        )


def test_other_data_makes_no_pairs(pair) -> None:
    first, second = pair
    data = second.record.data.model_copy(update={"fingerprint": "e" * 64, "title": "Other flowers"})
    compared = compare_studies(
        first, replace(second, record=second.record.model_copy(update={"data": data}))
    )
    assert not compared.is_paired and compared.table[f"{METRIC} low"].isna().all()
    text = comparison_text(compared, first="one", second="two")
    assert "- data: `Rendered flowers` in one, `Other flowers` in two" in text
    assert "The data differ, so seeds make no pairs" in text


def test_text_names_champions_and_arms(pair) -> None:
    text = comparison_text(compare_studies(*pair), first="one", second="two")
    assert text.startswith("# one and two\n\n- 2 arms in both.\n- Best on val: `")
    assert "| `augment=none lora_rank=0` |" in text or "| `augment=none` |" in text
    assert "nan" not in text


def test_nothing_shared_is_said(build) -> None:
    first, second = (
        build(axes={"augment": ("none", "light")}),
        build(axes={"augment": ("medium", "strong")}),
    )
    text = comparison_text(compare_studies(first.study, second.study), first="one", second="two")
    assert "- 0 arms in both." in text and "Shared arms" not in text
