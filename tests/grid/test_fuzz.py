"""Whatever is in a grid file, it is refused in a whole message or planned; see `grid_fuzz`."""

from __future__ import annotations

import random

import pytest
from support.grid_fuzz import GRIDS, TEXTS, mutant, outcome

N_MUTANTS = 2_000


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_mutated_grid_files_are_refused_or_planned() -> None:
    outcomes = [outcome(mutant(random.Random(f"ci {number}"))) for number in range(N_MUTANTS)]
    assert outcomes.count("refused") > N_MUTANTS / 2
    assert outcomes.count("grid") > N_MUTANTS / 20


def test_the_grids_that_are_mutated_are_planned_as_they_are() -> None:
    assert len(GRIDS) >= 11
    assert [outcome(text) for text in TEXTS] == ["grid"] * len(TEXTS)
