"""Time left, on a simulated clock: studies whose truth is known, of cheap and costly trials."""

from __future__ import annotations

import heapq
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.recipe.recipe import Recipe
from ablate.scheduling.remaining import Left, StudyClock
from ablate.scheduling.trial_costs import COSTLESS, RATIO_POWER, prior, timed_kind
from ablate.study.trial_facts import TrialFacts
from ablate.tracking.events import (
    EpochEnded,
    Failure,
    TrialEnded,
    TrialOutcome,
    TrialStarted,
    TrialState,
)

RECIPES = (
    Recipe(freeze_depth="all"),
    Recipe(freeze_depth="all", augment="light"),
    Recipe(freeze_depth=-1),
    Recipe(freeze_depth=0, epochs=12),
)
"""From cheap to dear."""
DONE = TrialOutcome(best_epoch=0, metrics={}, facts=TrialFacts(), files=())
START = 1_700_000_000.0


def simulated(
    kinds: list[int], seconds: list[float], *, n_slots: int
) -> tuple[list[tuple[float, Left | None, bool]], float]:
    """Run trials in their order on slots; after each end (time, what the clock says, whether every
    kind has ended); and the time of the last end.
    """
    clock = StudyClock({str(i): RECIPES[kind] for i, kind in enumerate(kinds)}, len(kinds))
    waiting = iter(enumerate(kinds))
    running: list[tuple[float, int, int]] = []
    said: list[tuple[float, Left | None, bool]] = []
    known: set[int] = set()

    def start(slot: int, at: float) -> None:
        for number, kind in itertools.islice(waiting, 1):
            clock.hear(TrialStarted(str(number), 1, slot=f"cpu:{slot}", at=at))
            heapq.heappush(running, (at + seconds[kind], slot, number))

    for slot in range(n_slots):
        start(slot, START)
    while running:
        at, slot, number = heapq.heappop(running)
        clock.hear(TrialEnded(str(number), 1, TrialState.COMPLETE, at=at, outcome=DONE))
        known.add(kinds[number])
        start(slot, at)
        said.append((at, clock.left(at, n_slots=n_slots), known == set(kinds)))
    return said, at


@settings(deadline=None)
@given(
    kinds=st.lists(st.sampled_from(range(4)), min_size=1, max_size=40),
    seconds=st.lists(st.floats(1.0, 600.0), min_size=4, max_size=4),
    n_slots=st.integers(1, 4),
)
def test_once_every_kind_has_ended_the_truth_is_within_the_longest_trial(
    kinds: list[int], seconds: list[float], n_slots: int
) -> None:
    said, end = simulated(kinds, seconds, n_slots=n_slots)
    for at, left, is_all_known in said:
        if left is not None and is_all_known:
            assert left.seconds - 1e-3 <= end - at <= left.seconds + max(seconds) + 1e-3
            assert not left.is_rough
        if left is not None and n_slots == 1 and is_all_known:
            assert left.seconds == pytest.approx(end - at, abs=1e-3)


@settings(deadline=None)
@given(
    kinds=st.lists(st.sampled_from(range(4)), min_size=2, max_size=40), unit=st.floats(0.1, 10.0)
)
def test_before_that_the_guess_is_right_where_kinds_cost_what_is_assumed_of_them(
    kinds: list[int], unit: float
) -> None:
    seconds = [unit * prior(recipe) ** RATIO_POWER for recipe in RECIPES]
    said, end = simulated(kinds, seconds, n_slots=1)
    for number, (at, left, is_all_known) in enumerate(said):
        if left is None:
            continue
        assert left.seconds == pytest.approx(end - at, rel=1e-6, abs=1e-3)
        seen = set(kinds[: number + 1])
        assert left.is_rough == (not seen.issuperset(kinds[number + 1 :]))
        assert is_all_known or seen != set(kinds)


def test_it_counts_down_between_events() -> None:
    """What stood still at 28 seconds for two minutes."""
    clock = StudyClock({str(i): RECIPES[3] for i in range(3)}, 3)
    clock.hear_all(
        [
            TrialStarted("0", 1, "cpu:0", START),
            TrialEnded("0", 1, TrialState.COMPLETE, START + 100, DONE),
            TrialStarted("1", 1, "cpu:0", START + 100),
        ]
    )
    assert [clock.left(START + 100 + s) for s in (0, 30, 99)] == [
        Left(200, False),
        Left(170, False),
        Left(101, False),
    ]
    assert clock.left(START + 100 + 121) == Left(100, True)  # it takes longer than its kind did


def test_an_epoch_tells_of_a_trial_that_is_the_first_of_its_kind() -> None:
    clock = StudyClock({"0": RECIPES[0], "1": RECIPES[3], "2": RECIPES[3]}, 3)
    clock.hear_all(
        [
            TrialStarted("0", 1, "cpu:0", START),
            TrialEnded("0", 1, TrialState.COMPLETE, START + 2, DONE),
            TrialStarted("1", 1, "cpu:0", START + 2),
        ]
    )
    blind = clock.left(START + 2)
    assert blind is not None
    assert blind.is_rough
    guessed_s = 2 * (prior(RECIPES[3]) / prior(RECIPES[0])) ** RATIO_POWER
    assert blind.seconds == pytest.approx(2 * guessed_s)
    clock.hear(EpochEnded("1", 1, epoch=0, n_epochs=12, metrics={}, at=START + 12))
    assert clock.left(START + 12) == Left(110 + 120, True)


def test_nothing_is_said_where_nothing_is_known_or_nothing_runs() -> None:
    clock = StudyClock({"0": RECIPES[0]}, 1)
    assert clock.left(START) is None
    clock.hear(TrialStarted("0", 1, "cpu:0", START))
    assert clock.left(START + 5) is None
    clock.hear(TrialEnded("0", 1, TrialState.COMPLETE, START + 9, DONE))
    assert clock.left(START + 9) is None


def test_trials_that_are_tried_again_and_those_not_proposed_yet_count() -> None:
    clock = StudyClock({}, 4)
    broken = Failure("WorkerDied", "gone", "")
    clock.hear_all(
        [
            *(
                TrialStarted("a", 1, "cpu:0", START),
                TrialEnded("a", 1, TrialState.COMPLETE, START + 10, DONE),
            ),
            *(
                TrialStarted("b", 1, "cpu:0", START + 10),
                TrialEnded("b", 1, TrialState.FAILED, START + 11, failure=broken),
            ),
            TrialStarted("b", 2, "cpu:0", START + 11),
        ]
    )
    assert clock.left(START + 11) == Left(30, False)  # b again, and two more


def test_learning_rates_make_no_kind_and_epochs_do() -> None:
    assert set(Recipe.model_fields) >= COSTLESS
    assert timed_kind(Recipe(head_lr=0.1, lr_ratio=1.0)) == timed_kind(Recipe())
    assert timed_kind(Recipe(epochs=3)) != timed_kind(Recipe())
    assert prior(Recipe(freeze_depth=0)) > prior(Recipe(freeze_depth=-1)) > prior(Recipe())
    assert prior(Recipe(freeze_depth=-1, delta=0.1)) > prior(Recipe(freeze_depth=-1))


def test_imports_and_a_prefix_that_others_share_are_not_taken_for_the_cost_of_a_trial() -> None:
    """The first trial of a slot takes 20 s, 12 of them imports and 6 a prefix; the next one 2."""
    clock = StudyClock({str(i): RECIPES[0] for i in range(10)}, 10)
    outcome = TrialOutcome(
        best_epoch=0, metrics={"time/prefix_s": 6.0}, facts=TrialFacts(), files=()
    )
    clock.hear(TrialStarted("0", 1, "cpu:0", START))
    clock.hear(EpochEnded("0", 1, epoch=0, n_epochs=6, metrics={}, at=START + 18.4))
    clock.hear(EpochEnded("0", 1, epoch=2, n_epochs=6, metrics={}, at=START + 19.0))
    clock.hear(TrialStarted("1", 1, "cpu:1", START + 19.0))
    left = clock.left(START + 19.0)
    assert left is not None
    # 0.3 s an epoch: three more of this trial, and nine trials of six
    assert left.seconds == pytest.approx((0.9 + 9 * 1.8) / 2)
    clock.hear(TrialEnded("0", 1, TrialState.COMPLETE, START + 20.0, outcome))
    clock.hear(TrialEnded("1", 1, TrialState.COMPLETE, START + 21.0, DONE))
    clock.hear(TrialStarted("2", 1, "cpu:0", START + 21.0))
    clock.hear(TrialEnded("2", 1, TrialState.COMPLETE, START + 23.0, DONE))
    clock.hear(TrialStarted("3", 1, "cpu:0", START + 23.0))
    assert clock.left(START + 23.0) == Left(7 * 2.0, is_rough=False)


def test_views_that_each_seed_computes_anew_are_counted_for_the_trials_to_come() -> None:
    recipes = {str(i): RECIPES[1] for i in range(5)}
    clock = StudyClock(recipes, 5)
    built = TrialOutcome(best_epoch=0, metrics={"time/prefix_s": 6.0}, facts=TrialFacts(), files=())
    clock.hear(TrialStarted("0", 1, "cpu:0", START))
    clock.hear(TrialEnded("0", 1, TrialState.COMPLETE, START + 8, built))
    clock.hear(TrialStarted("1", 1, "cpu:0", START + 8))
    clock.hear(TrialEnded("1", 1, TrialState.COMPLETE, START + 10, DONE))
    clock.hear(TrialStarted("2", 1, "cpu:0", START + 10))
    # one of two computed the views: 3 s each beside the 2 s of its own
    assert clock.left(START + 10) == Left(3 * (2.0 + 3.0), is_rough=False)
