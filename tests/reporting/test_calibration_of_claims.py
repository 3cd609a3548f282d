"""Promise 3 on simulated studies, in short; `scripts/simulate_statistics.py` is the long form."""

from __future__ import annotations

import pytest
from support.simulated import POWER_AXES, Scenario, simulate


@pytest.mark.slow
def test_pure_noise_is_claimed_in_at_most_one_study_of_twenty() -> None:
    found = simulate(
        Scenario({"a": ("0", "1", "2"), "b": ("0", "1"), "c": ("0", "1")}, n_seeds=3),
        n_studies=240,
        seed=0,
    )
    assert found["any claimed"] <= 0.05
    assert 0.93 <= found["covered"] <= 0.97


@pytest.mark.slow
def test_three_seed_sds_are_found_in_36_cells_with_3_seeds() -> None:
    found = simulate(Scenario(POWER_AXES, n_seeds=3, effect=3.0), n_studies=40, seed=0)
    assert found["found"] >= 0.9


@pytest.mark.slow
def test_seeds_that_disagree_about_levels_make_no_claims() -> None:
    """The seed is the unit: pairs of a seed that move together are one piece of evidence."""
    found = simulate(Scenario(POWER_AXES, n_seeds=3, level_by_seed=2.0), n_studies=30, seed=0)
    assert found["any claimed"] <= 0.05


@pytest.mark.slow
def test_intervals_over_seeds_and_images_cover_the_truth() -> None:
    found = simulate(
        Scenario({"a": ("0", "1"), "b": ("0", "1", "2")}, n_seeds=3, n_images=150),
        n_studies=60,
        seed=0,
    )
    assert 0.92 <= found["covered"] <= 0.99  # 180 intervals, correlated in a study
    assert found["any claimed"] <= 0.05
