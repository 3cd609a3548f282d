"""Single traps, where a whole folder is not needed to spring them."""

from __future__ import annotations

from dataclasses import replace

from ablate.advice.rough_cost import RoughCost
from ablate.data.layouts._headers import Header
from ablate.workflow.init.facts import lie_and_stand, seen_share
from ablate.workflow.init.traps import time_traps

COST = RoughCost(trial_s=300, study_s=5400, n_arms=6, n_seeds=3, memory_gb=1.0)
LYING = Header(160, 40, is_grey=True)
STANDING = Header(40, 160, is_grey=True)


def test_a_study_that_takes_longer_than_was_asked_for() -> None:
    (trap,) = time_traps(COST, None)
    assert (trap.kind, trap.text) == (
        "longer than asked",
        "the study may take 90 min, and 30 were asked for: `ablate run` takes --budget, trials go "
        "seed by seed, and what is finished stays",
    )
    assert list(time_traps(COST, 90.0)) == []
    assert list(time_traps(replace(COST, study_s=1800), None)) == []


def test_what_is_seen_of_an_image() -> None:
    headers = {"a": LYING, "b": Header(80, 80, is_grey=True)}
    assert seen_share(headers, "crop", 1.0) == (0.25 + 1) / 2
    assert seen_share(headers, None, 0.5) == (0.25 + 1) / 2 * 0.25
    assert seen_share(headers, "pad", 0.5) == 1.0


def test_images_that_lie_and_images_that_stand() -> None:
    assert lie_and_stand({"a": LYING, "b": STANDING})
    assert not lie_and_stand({"a": LYING, "b": LYING})
    assert not lie_and_stand({f"{i}": LYING for i in range(20)} | {"b": STANDING})
