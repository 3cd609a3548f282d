"""The table of adapters in the report."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.reports import no_figures

from ablate.recipe.recipe import Recipe
from ablate.reporting.compute import compute_results
from ablate.reporting.pages.sections.adapters import adapters_section, size_of
from ablate.study.trial_facts import Merge, TrialFacts, facts_to_tags
from ablate.tracking.records import PublishedRun


def _with_merge(run: PublishedRun, merge: Merge) -> PublishedRun:
    tags = facts_to_tags(TrialFacts(adapter_merge=merge), longest=4000)
    return replace(run, tags={**run.tags, **tags})


def test_a_row_an_arm_with_its_share_and_what_merging_changed(published) -> None:
    told = published.with_runs(lambda run: _with_merge(run, Merge(why_not="no weight can hold it")))
    results = compute_results(told.study, told.predictions)
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in adapters_section(results, no_figures).splitlines()
        if line.startswith("| `")
    ]
    arms = {arm.arm_id: arm for arm in results.record.arms}
    wanted = [
        arms[arm_id]
        for arm_id in results.arms["arm_id"]
        if arms[arm_id].recipe.lora_rank or arms[arm_id] == results.baseline
    ]
    assert 2 <= len(wanted) < len(arms)
    for row, arm in zip(rows, wanted, strict=True):
        arm_id = arm.arm_id
        assert row[0] == f"`{results.name(arm_id)}`"
        assert row[1:3] == (["lora", "rank 8"] if arm.recipe.lora_rank else ["none", "-"])
        share = (
            100
            * results.number(arm_id, "cost/n_trainable/mean")
            / results.number(arm_id, "cost/n_parameters/mean")
        )
        assert row[5] == f"{share:.2f} %"
        merged = "not merged: no weight can hold it" if arm.recipe.lora_rank else "-"
        assert row[3] == merged


def test_the_largest_difference_of_an_arms_runs_is_told(published) -> None:
    seen: dict[str, list[float]] = {}

    def tell(run):
        differences = seen.setdefault(run.arm_id, [9.5e-07, 2.0e-06, 1.5e-06])
        return _with_merge(run, Merge(difference=differences.pop(0), n_images=8))

    told = published.with_runs(tell)
    rows = [
        line
        for line in adapters_section(
            compute_results(told.study, told.predictions), no_figures
        ).splitlines()
        if "`lora_rank=8" in line or "rank 8" in line
    ]
    assert rows
    assert all(row.count("differ by at most") == 1 and "at most 2.0e-06" in row for row in rows)


def test_no_table_where_no_field_of_adapters_varies(published) -> None:
    axes = {
        axis: levels for axis, levels in published.study.record.axes.items() if axis != "lora_rank"
    }
    changed = published.with_record(axes=axes)
    assert adapters_section(compute_results(changed.study, changed.predictions), no_figures) == ""


@pytest.mark.parametrize(
    ("recipe", "size"),
    [
        (Recipe(adapter="dora", lora_rank=4), "rank 4"),
        (Recipe(adapter="bottleneck", bottleneck_width=16), "width 16"),
        (Recipe(adapter="vpt", prompt_tokens=5), "5 tokens"),
        (Recipe(adapter="ssf"), "-"),
    ],
)
def test_what_makes_an_adapter_large(recipe: Recipe, size: str) -> None:
    assert size_of(recipe) == size
