"""Grids are counted before they are built: what would take minutes is refused in one sentence.

Small designs of huge grids are built directly.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.errors import SpecError
from ablate.grid.design import N_POOL, RandomDesign, design_cells
from ablate.grid.expand import expand, study_trials
from ablate.grid.grid_file import Grid
from ablate.grid.parse import parse_grid
from ablate.grid.pilot_arms import candidates
from ablate.grid.size import check_trials

FIELDS = (
    "head_lr",
    "lr_ratio",
    "weight_decay",
    "l2_sp",
    "label_smoothing",
    "dropout",
    "warmup",
    "ema_decay",
    "mixup",
    "cutmix",
)


def grid_of(
    n_axes: int, n_levels: int, *, design: str = "full", seeds: str = "[0]", more: str = ""
) -> Grid:
    levels = ", ".join(f"{number / 2000 + 0.0005:.4f}" for number in range(n_levels))
    axes = "\n".join(f"  {field}: [{levels}]" for field in FIELDS[:n_axes])
    text = (
        "# q?\ntask: classification\ndata: {source: rendered_flowers}\nbase: "
        f"{{freeze_depth: -1}}\naxes:\n{axes}\ndesign: {design}\n"
        f"seeds: {seeds}\nbaseline: {{}}\nselect_by: val/macro_f1\n{more}"
    )
    return parse_grid(text, name="g", shown_as="g.yaml")


def refused(*asked: int, **named: Any) -> str:
    with pytest.raises(SpecError) as caught:
        grid_of(*asked, **named)
    return str(caught.value).split("\n  ", 1)[1]


WAY_OUT = "take fewer levels, design {random: n} or a search"


def test_too_many_cells_are_refused_with_their_count() -> None:
    assert refused(5, 9) == (
        "line 5: axes: must be at most 50,000 cells in design full, got 59,049 (9 x 9 x 9 x "
        f"9 x 9 levels); {WAY_OUT}"
    )
    assert refused(10, 1000) == (
        "line 5: axes: must be at most 50,000 cells in design full, got about 10^30 "
        f"(1000 x 1000 x 1000 x 1000 x 1000 x 1000 x 1000 x 1000 x ... levels); {WAY_OUT}"
    )
    assert refused(1, 1001) == (
        "line 6: axes.head_lr: must have at most 1000 levels, got 1001; a search takes a "
        "range of them"
    )


@pytest.mark.parametrize("design", ["one_factor", "leave_one_out"])
def test_neighbours_of_the_baseline_are_built_directly(design: str) -> None:
    n_levels = 200 if design == "one_factor" else 2
    grid = grid_of(10, n_levels, design=design)
    expansion = expand(grid, data=grid.data, fingerprint="f")
    assert len(expansion.arms) + len(expansion.excluded) == 1 + 10 * (n_levels - 1)


def _walked(axes: dict[str, list[int]], baseline: dict[str, int]) -> list[dict[str, int]]:
    """The slow way: every combination is looked at."""
    cells = [dict(zip(axes, levels, strict=True)) for levels in itertools.product(*axes.values())]
    return [cell for cell in cells if sum(cell[axis] != baseline[axis] for axis in axes) <= 1]


@given(
    st.dictionaries(
        st.sampled_from("abcd"),
        st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True),
        min_size=1,
    ),
    st.data(),
)
def test_the_direct_way_is_the_slow_one(axes: dict[str, list[int]], data: st.DataObject) -> None:
    baseline: dict[str, Any] = {
        axis: data.draw(st.sampled_from(levels)) for axis, levels in axes.items()
    }
    assert list(design_cells(axes, baseline, "one_factor")) == _walked(axes, baseline)


@pytest.mark.slow
def test_a_random_design_draws_from_a_huge_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ablate.grid.design.N_POOL", 300)
    few, many = (grid_of(10, 900, design=f"{{random: {n}}}") for n in (5, 30))
    arms = [
        {arm.arm_id for arm in expand(grid, data=grid.data, fingerprint="f").arms}
        for grid in (few, many)
    ]
    assert [len(ids) for ids in arms] == [5, 30]
    assert arms[0] < arms[1]
    other = grid_of(10, 900, design="{random: 30}", seeds="[1]")
    assert (
        len(arms[1] & {arm.arm_id for arm in expand(other, data=other.data, fingerprint="f").arms})
        == 1
    )  # the baseline


def test_draws_from_a_huge_grid_are_even() -> None:
    """Each of 10 levels of 6 axes is in a tenth of the cells: within 5 standard deviations."""
    axes = {axis: tuple(range(10)) for axis in "abcdef"}
    cells = list(design_cells(axes, dict.fromkeys(axes, 0), RandomDesign(random=3), seed=0))
    assert 0.98 * N_POOL < len(cells) <= N_POOL + 1
    for axis, level in itertools.product(axes, range(10)):
        n_cells = sum(cell[axis] == level for cell in cells)
        assert abs(n_cells - len(cells) / 10) < 5 * math.sqrt(len(cells) * 0.1 * 0.9)


def test_too_many_trials_are_refused_with_their_count() -> None:
    grid = grid_of(2, 40)
    expansion = expand(grid, data=grid.data, fingerprint="f")
    asked: dict[str, Any] = {"data": grid.data, "fingerprint": "f"}
    assert len(study_trials(grid, expansion, **asked, seeds=range(3))) == 4800
    with pytest.raises(SpecError) as caught:
        study_trials(grid, expansion, **asked, seeds=range(63))
    assert str(caught.value) == (
        "a study must have at most 100,000 trials, got 100,800 (1,600 arms x 63 seeds); take "
        "fewer levels or seeds, design {random: n} or a search"
    )


def test_a_tuning_is_counted_too() -> None:
    levels = ", ".join(str(number) for number in range(4, 304))
    grid = grid_of(2, 20, more=f"tune: {{batch_size: [{levels}], epochs: [1, 2]}}\n")
    with pytest.raises(SpecError) as caught:
        candidates(
            grid, expand(grid, data=grid.data, fingerprint="f"), data=grid.data, fingerprint="f"
        )
    assert str(caught.value) == (
        "a tuning must have at most 100,000 trials, got 240,000 (400 arms x 300 levels of "
        "batch_size x 2 levels of epochs); "
        "take fewer levels or seeds, design {random: n} or a search"
    )


def test_other_lists_and_counts_are_bounded() -> None:
    assert refused(1, 2, seeds=str(list(range(10_001)))).startswith(
        "line 8: seeds: must be a list of at most 10,000, got [0, 1, "
    )
    rules = ", ".join("{when: {head_lr: 0.001}, why: x}" for _ in range(1_001))
    assert refused(1, 3, more=f"exclude: [{rules}]\n").startswith(
        "line 11: exclude: must be a list of at most 1,000, got ["
    )
    search = "{search: {sampler: tpe, n_trials: 1000000000, confirm: 1}}"
    assert "design.search.n_trials: must be less than or equal to 10000, got 1000000000" in refused(
        1, 2, design=search
    )


def test_the_bound_on_trials_is_exact() -> None:
    check_trials([(1_000, "arms"), (100, "seeds")])
    with pytest.raises(SpecError, match="got 100,001"):
        check_trials([(1_000, "arms"), (100, "seeds")], n_more=1)
