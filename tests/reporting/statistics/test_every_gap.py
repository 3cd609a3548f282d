"""The fast path over all pairs of arms, against `estimates` of each pair."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.reporting.statistics.best_arm import coarse_df, dunnett_quantile, may_be_best
from ablate.reporting.statistics.contrast import gap
from ablate.reporting.statistics.estimate import Estimate, estimates
from ablate.reporting.statistics.every_gap import gap_blocks
from ablate.reporting.statistics.seed_variance import Span

ALPHA = 0.05


def a_study(
    seed: int, *, n_arms: int, n_seeds: int, share_lost: float
) -> tuple[np.ndarray, np.ndarray]:
    """Scores (arms, seeds) with holes, and replicates (arms, seeds, draws); two are not known."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(n_arms, n_seeds)) + rng.normal(size=(n_arms, 1))
    scores[rng.random(scores.shape) < share_lost] = np.nan
    noise = rng.normal(size=(n_arms, n_seeds, 40)) + rng.normal(size=(n_arms, 1, 40))
    replicates = (scores[:, :, None] + 0.3 * noise).astype(np.float32)
    replicates[-1, 0] = np.nan
    return scores, replicates


def span_of(scores: np.ndarray) -> Span:
    return Span.of([gap(arm, 0) for arm in range(1, len(scores))], scores)


def one_by_one(
    scores: np.ndarray, replicates: np.ndarray | None
) -> dict[tuple[int, int], Estimate]:
    pairs = [(arm, other) for arm in range(len(scores)) for other in range(len(scores))]
    contrasts = [gap(arm, other) for arm, other in pairs if arm != other]
    found = estimates(contrasts, scores, replicates, span=span_of(scores))
    by_pair = {}
    for contrast, answer in zip(contrasts, found, strict=True):
        arm, other = contrast.cells[0]
        by_pair[arm, other] = answer
    return by_pair


def may_be_best_one_by_one(scores: np.ndarray, replicates: np.ndarray | None) -> list[bool]:
    """The definition, as `may_be_best` says it."""
    pairs = one_by_one(scores, replicates)
    means = np.nan_to_num(np.nanmean(scores, axis=1), nan=-np.inf)
    is_in = [True] * len(scores)
    for (better, arm), estimate in pairs.items():
        if not means[better] > means[arm] or math.isnan(estimate.half_width(ALPHA)):
            continue
        df = coarse_df(estimate.df)
        quantile = dunnett_quantile(len(scores) - 1, df, alpha=ALPHA, is_two_sided=False)
        if estimate.value > quantile * estimate.se:
            is_in[arm] = False
    return is_in


studies = st.builds(
    a_study,
    st.integers(0, 10_000),
    n_arms=st.integers(2, 7),
    n_seeds=st.integers(1, 5),
    share_lost=st.sampled_from([0.0, 0.1, 0.4]),
)


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
@settings(max_examples=60, deadline=None)
@given(studies, st.booleans())
def test_all_pairs_at_once_equal_pairs_one_by_one(
    study: tuple[np.ndarray, np.ndarray], has_predictions: bool
) -> None:
    scores, replicates = study
    known = replicates if has_predictions else None
    wanted = one_by_one(scores, known)
    seen = set()
    for block in gap_blocks(scores, known, span_of(scores)):
        for row, arm in enumerate(block.arms):
            for column, other in enumerate(block.others):
                if arm == other:
                    continue
                estimate = wanted[arm, other]
                got = [part[row, column] for part in (block.value, block.se, block.df)]
                assert got == pytest.approx([estimate.value, estimate.se, estimate.df], rel=1e-6)
                seen.add((int(arm), int(other)))
    # what no block holds has no error, so nothing follows from it
    assert all(math.isnan(wanted[pair].se) for pair in wanted.keys() - seen)
    assert may_be_best(scores, known, alpha=ALPHA).tolist() == may_be_best_one_by_one(scores, known)


def test_arms_that_gain_alike_in_every_seed_have_no_error_of_their_own() -> None:
    scores = np.array([[0.5, 0.75, 0.25], [0.25, 0.5, 0.0], [0.5, 0.5, 0.5]])
    (block,) = gap_blocks(scores, None, Span.of([gap(1, 0)], scores))
    assert block.se[0, 1] == 0 and not block.is_known[0, 1]
    assert may_be_best(scores, None, alpha=ALPHA).tolist() == may_be_best_one_by_one(scores, None)
