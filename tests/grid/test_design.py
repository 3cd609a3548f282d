"""Designs choose the cells that they promise, and always the baseline."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.errors import SpecError
from ablate.grid.design import RandomDesign, design_cells, design_name, draw_arms
from ablate.grid.expand import expand, study_record
from ablate.grid.parse import parse_grid
from ablate.study.record import DataFacts
from ablate.study.trial import DataSpec

DATA = DataSpec(source="rendered_flowers")
TEXT = """\
task: classification
data: {source: rendered_flowers}
base: {freeze_depth: all}
axes:
  freeze_depth: [all, -1, 0]
  augment: [none, light]
  label_smoothing: [0.0, 0.1]
design: DESIGN
seeds: [0, 1]
baseline: {augment: light, label_smoothing: 0.1}
select_by: val/macro_f1
"""
axes = st.dictionaries(
    st.sampled_from("abcd"),
    st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True).map(tuple),
    min_size=1,
)


def grid_of(design: str, *changes: tuple[str, str]):
    text = TEXT.replace("DESIGN", design)
    for old, new in changes:
        text = text.replace(old, new)
    return parse_grid(text, name="g", shown_as="g.yaml")


def arms_of(design: str, *changes: tuple[str, str]) -> list[str]:
    return [arm.name for arm in expand(grid_of(design, *changes), data=DATA, fingerprint="f").arms]


@given(axes=axes, data=st.data())
def test_one_factor_is_the_baseline_and_its_neighbours(axes, data):
    baseline = {axis: data.draw(st.sampled_from(levels)) for axis, levels in axes.items()}
    full = list(design_cells(axes, baseline, "full"))
    assert len(full) == math.prod(map(len, axes.values()))
    cells = list(design_cells(axes, baseline, "one_factor"))
    assert baseline in cells
    assert len(cells) == 1 + sum(len(levels) - 1 for levels in axes.values())
    assert cells == [cell for cell in full if cell in cells]
    assert all(sum(cell[axis] != baseline[axis] for axis in axes) <= 1 for cell in cells)


def test_the_default_is_the_full_grid():
    assert len(arms_of("full")) == 12
    assert arms_of("full") == arms_of("full", ("design: full\n", ""))


def test_one_factor_of_a_grid():
    assert arms_of("one_factor") == [
        "freeze_depth=all augment=none label_smoothing=0.1",
        "freeze_depth=all augment=light label_smoothing=0.0",
        "freeze_depth=all augment=light label_smoothing=0.1",
        "freeze_depth=-1 augment=light label_smoothing=0.1",
        "freeze_depth=0 augment=light label_smoothing=0.1",
    ]


def test_leave_one_out_drops_one_component_at_a_time():
    assert arms_of("leave_one_out", ("[all, -1, 0]", "[all, 0]")) == [
        "freeze_depth=all augment=none label_smoothing=0.1",
        "freeze_depth=all augment=light label_smoothing=0.0",
        "freeze_depth=all augment=light label_smoothing=0.1",
        "freeze_depth=0 augment=light label_smoothing=0.1",
    ]


def test_leave_one_out_needs_two_levels():
    with pytest.raises(SpecError) as caught:
        grid_of("leave_one_out")
    assert str(caught.value) == (
        "g.yaml: 1 mistake, nothing was started\n"
        "  line 5: axes.freeze_depth: must have two levels in a leave_one_out design, with "
        "and without the component, got 3; or take one_factor"
    )


@pytest.mark.parametrize("n", [2, 5, 12, 99])
def test_a_random_design_draws_different_arms_and_the_baseline(n):
    arms = arms_of(f"{{random: {n}}}")
    full = arms_of("full")
    assert len(arms) == len(set(arms)) == min(n, 12)
    assert "freeze_depth=all augment=light label_smoothing=0.1" in arms
    assert arms == [arm for arm in full if arm in arms] == arms_of(f"{{random: {n}}}")


def test_a_larger_draw_with_the_same_seed_keeps_the_smaller_one():
    """So that a study can grow."""
    assert set(arms_of("{random: 4}")) < set(arms_of("{random: 7}"))
    assert arms_of("{random: 4}") != arms_of("{random: 4}", ("seeds: [0, 1]", "seeds: [1, 0]"))


def test_draws_are_even():
    """Each of 9 others is in about a third of 300 draws of 4 arms with the baseline."""
    ids = [f"{index}" for index in range(10)]
    counts = {
        arm_id: sum(
            arm_id in draw_arms(ids, "0", RandomDesign(random=4), seed=seed) for seed in range(300)
        )
        for arm_id in ids
    }
    assert counts.pop("0") == 300
    assert all(70 <= count <= 130 for count in counts.values())


@pytest.mark.parametrize(
    ("design", "sentence"),
    [
        (
            "one_facter",
            (
                "  line 8: design: must be 'full', 'one_factor' or 'leave_one_out', got "
                "'one_facter'; did you mean 'one_factor'?"
            ),
        ),
        ("{random: 1}", "  line 8: design.random: must be greater than or equal to 2, got 1"),
        ("{random: 3, seed: 1}", "  line 8: design.seed: is not a field here"),
    ],
)
def test_what_is_no_design(design, sentence):
    with pytest.raises(SpecError) as caught:
        grid_of(design)
    assert str(caught.value) == f"g.yaml: 1 mistake, nothing was started\n{sentence}"


@pytest.mark.parametrize(
    ("design", "name"),
    [("full", "full"), ("one_factor", "one_factor"), ("{random: 5}", "random 5")],
)
def test_the_record_says_the_design(design, name):
    grid = grid_of(design)
    facts = DataFacts(
        source="a", title="A", version="1", licence="l", origin="o", is_synthetic=True,
        requested_source="a", class_names=("x", "y"),
        class_counts={}, fingerprint="f", split_rule="official",
    )  # fmt: skip
    record = study_record(
        grid, expand(grid, data=DATA, fingerprint="f"), facts=facts, seeds=(0,), command="c"
    )
    assert record.design == design_name(grid.design) == name
