"""What a report says is true, in short; `scripts/simulate_statistics.py` is the long form.

Simulated studies in the designs of all example grids are judged by the package's own functions. The
draws are fixed, so the tests are not flaky. Each bound is what a share that is as promised passes
with 99.9 %, by the binomial distribution: a promise broken by little needs the long form.
"""

from __future__ import annotations

from collections import Counter
from functools import cache

import pytest
from scipy.stats import binom
from support.promises import Design, Scenario, count, example_designs, power_design

WRONG_AT_MOST = 0.055
TRUE_AT_LEAST = 0.95
N_STUDIES = 25
"""Of each design in each scenario."""
N_OF_POWER = 120
SCENARIOS = {
    "no effect": Scenario(),
    "level x seed": Scenario(level_by_seed=0.5),
    "noisy level": Scenario(noisy_level=5.0),
    "failed": Scenario(failed=0.1),
}
POWER = [(2.0, 0.40), (3.0, 0.88)]
"""SDs of the planted effect, and the promised share that finds it with three seeds."""

pytestmark = pytest.mark.slow


def most_by_chance(share: float, n_studies: int) -> int:
    """Events that are not exceeded with 99.9 %, where each study has one with `share`."""
    return int(binom.ppf(0.999, n_studies, share))


@cache
def designs() -> tuple[Design, ...]:
    return tuple(example_designs())


@cache
def counted(scenario: str) -> Counter[str]:
    """What happened in all designs together."""
    total: Counter[str] = Counter()
    for design in designs():
        total += count(design, SCENARIOS[scenario], n_studies=N_STUDIES, seed=1)
    return total


def test_every_example_grid_is_simulated() -> None:
    names = [design.name for design in designs()]
    assert len(names) >= 17
    assert len(set(names)) == len(names)
    assert sum(name.endswith("as it asks") for name in names) >= 8


@cache
def counted_large(effect: float) -> Counter[str]:
    """What happened in the design with the most comparisons, where an effect is planted."""
    return count(power_design(), Scenario(effect=effect), n_studies=N_OF_POWER, seed=1)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_few_studies_have_any_wrong_verdict(scenario: str) -> None:
    counts = counted(scenario)
    assert counts["wrong"] <= most_by_chance(WRONG_AT_MOST, counts["studies"])


def test_few_studies_of_all_scenarios_have_any_wrong_verdict() -> None:
    """All together, where chance is smaller and so is the bound."""
    total: Counter[str] = Counter()
    for scenario in SCENARIOS:
        total += counted(scenario)
    assert total["wrong"] <= most_by_chance(WRONG_AT_MOST, total["studies"])
    assert total["missed"] <= most_by_chance(1 - TRUE_AT_LEAST, total["studies"])


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_all_intervals_of_a_study_hold_together(scenario: str) -> None:
    counts = counted(scenario)
    assert counts["missed"] <= most_by_chance(1 - TRUE_AT_LEAST, counts["studies"])


@pytest.mark.parametrize(("effect", "promised"), POWER)
def test_large_effects_are_found_with_three_seeds(effect: float, promised: float) -> None:
    counts = counted_large(effect)
    assert N_OF_POWER - counts["found"] <= most_by_chance(1 - promised, N_OF_POWER)


def test_many_comparisons_pay_for_each_other() -> None:
    """Seven main effects, ten interactions and twenty arms, beside one true effect."""
    total: Counter[str] = Counter()
    for effect, _ in POWER:
        total += counted_large(effect)
    assert total["wrong"] <= most_by_chance(WRONG_AT_MOST, total["studies"])
    assert total["missed"] <= most_by_chance(1 - TRUE_AT_LEAST, total["studies"])


def test_images_are_part_of_the_error() -> None:
    """Seeds share the test images, so without that part every interval would be too narrow."""
    (design,) = (design for design in designs() if design.name == "textile, main effects")
    counts = count(design, Scenario(images=0.7), n_studies=60, seed=1)
    assert counts["missed"] <= most_by_chance(1 - TRUE_AT_LEAST, 60)
