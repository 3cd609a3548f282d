"""How many seeds an open comparison needs."""

from __future__ import annotations

from dataclasses import replace

from scipy import stats

from ablate.reporting.statistics.estimate import Estimate
from ablate.reporting.statistics.power import Design
from ablate.reporting.statistics.settling import seeds_until_settled
from ablate.reporting.statistics.verdict import judge

PAIR = Design(square=2.0, rank=1, alpha=0.05)


def judged_of(value: float, *, se_images: float = 0.0, margin: float | None = None):
    found = Estimate(value, 0.012, se_images, df=2.0, df_seeds=2.0, n_seeds=3, n_cells_left_out=0)
    (judged,) = judge([found], margin=margin)
    return judged


def test_after_so_many_seeds_the_interval_excludes_zero() -> None:
    """Were the difference and its noise what they are: against the t interval's own formula."""
    judged = judged_of(0.02)
    assert judged.low < 0
    n_seeds = seeds_until_settled(judged, PAIR, margin=None, n_planned=3)
    assert n_seeds is not None
    for n, is_enough in ((n_seeds, True), (n_seeds - 1, False)):
        half = stats.t.ppf(0.975, n - 1) * 0.012 * (3 / n) ** 0.5
        assert (half <= 0.02) == is_enough


def test_within_a_margin_fewer_may_do() -> None:
    without = seeds_until_settled(judged_of(0.004), PAIR, margin=None, n_planned=3)
    within = seeds_until_settled(judged_of(0.004, margin=0.02), PAIR, margin=0.02, n_planned=3)
    assert within is not None and (without is None or within < without)


def test_too_few_test_images_are_no_matter_of_seeds() -> None:
    judged = judged_of(0.02, se_images=0.03)
    assert seeds_until_settled(judged, PAIR, margin=None, n_planned=3) is None


def test_more_seeds_that_test_the_same_images_do_not_shrink_the_images_part() -> None:
    """With splits of the seeds' own, which images a seed tested is in the spread of the seeds."""
    (judged,) = judge([replace(judged_of(0.02).estimate, se_own=0.0115)])
    own_splits = replace(PAIR, has_own_splits=True)
    plain = seeds_until_settled(judged, PAIR, margin=None, n_planned=3)
    assert plain is not None
    assert seeds_until_settled(judged, own_splits, margin=None, n_planned=3) is None
    (barely,) = judge([replace(judged_of(0.02).estimate, se_own=0.004)])
    later = seeds_until_settled(barely, own_splits, margin=None, n_planned=3)
    assert later is not None
    assert later >= plain


def test_what_is_settled_needs_none_and_what_is_open_at_least_one_more() -> None:
    assert seeds_until_settled(judged_of(0.9), PAIR, margin=None, n_planned=3) is None
    assert seeds_until_settled(judged_of(0.02), PAIR, margin=None, n_planned=90) == 91


def test_no_difference_at_all_is_never_shown_to_be_one() -> None:
    assert seeds_until_settled(judged_of(0.0), PAIR, margin=None, n_planned=3) is None
