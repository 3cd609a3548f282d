"""The best arm: every arm against a reference at once, and the arms that may be the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr
from scipy.stats import chi, norm, t

from ablate.reporting.statistics.contrast import gap
from ablate.reporting.statistics.estimate import Estimate
from ablate.reporting.statistics.every_gap import gap_blocks
from ablate.reporting.statistics.seed_variance import Span
from ablate.reporting.statistics.verdict import ALPHA, Judged, judge


def judge_gaps(
    gaps: Sequence[Estimate],
    *,
    alpha: float,
    margin: float | None = None,
    is_lower_better: bool = False,
) -> tuple[Judged, ...]:
    """Judge all arms against one reference together: by Dunnett's quantile.

    `margin` as in `judge`.
    """
    n_known = len(_known(gaps))
    each = error_of_each(gaps, alpha=alpha)
    # `judge` divides by the number of known gaps, as Bonferroni does: multiplied here, so that each
    # gap has exactly the error that Dunnett's quantile leaves it
    return judge(gaps, alpha=each * n_known, margin=margin, is_lower_better=is_lower_better)


def error_of_each(gaps: Sequence[Estimate], *, alpha: float) -> float:
    """Return the error that a single gap may have, for all of them to have `alpha` together.

    By Dunnett's quantile, which assumes that all gaps are equally well known. Where trials failed
    they are not, and Bonferroni's, which assumes nothing, takes its place.
    """
    known = _known(gaps)
    # also where no gap is known at all, and nothing can err
    if len({coarse_df(gap.df) for gap in known}) != 1:
        return alpha / max(len(known), 1)
    df = coarse_df(known[0].df)
    quantile = dunnett_quantile(len(known), df, alpha=alpha, is_two_sided=True)
    # the error of one two-sided t test that ends at Dunnett's quantile
    return 2 * float(t.sf(quantile, df))


def _known(gaps: Sequence[Estimate]) -> list[Estimate]:
    """Those that can err: a gap without an interval claims nothing."""
    known = []
    for gap_to_judge in gaps:
        if not math.isnan(gap_to_judge.half_width(ALPHA)):
            known.append(gap_to_judge)
    return known


# a solved double integral takes milliseconds, and a study asks for the same few again and again
@lru_cache(maxsize=4096)
def dunnett_quantile(n_arms: int, df: float, *, alpha: float, is_two_sided: bool) -> float:
    """Return c with P(max of n_arms t's > c) = alpha, for arms against one shared reference.

    The t's share the reference, so they correlate by 0.5, and their variance (Dunnett, 1955). The
    probability is integrated over both, and solved between one t's quantile and Bonferroni's.
    """
    share = alpha / 2 if is_two_sided else alpha
    low = _t_quantile(share, df)
    high = _t_quantile(share / n_arms, df)
    # a single comparison needs no correction
    if n_arms < 2:
        return low

    def excess(c: float) -> float:
        return _exceedance(c, n_arms, df, is_two_sided=is_two_sided) - alpha

    # the integral may err by a hair at the ends, where one t or Bonferroni is all but exact
    if excess(low) <= 0:
        return low
    if excess(high) >= 0:
        return high
    return float(brentq(excess, low, high, xtol=1e-10))


def may_be_best(
    scores: NDArray[np.float64],
    replicates: NDArray[np.floating] | None,
    *,
    alpha: float,
    is_lower_better: bool = False,
) -> NDArray[np.bool_]:
    """Return (arms,) whether an arm may be the best: the truly best is among them in 1 - alpha.

    An arm is out when some other is better by more than Dunnett's one-sided quantile times their
    standard error (Gupta, 1965; Hsu, 1996). The truly best arm is wrongly out only if one of its
    own differences is that far off, so only those have to hold together. An arm without a score,
    or with one seed, is never out.
    """
    # from here on high is good. The replicates need no sign: only their variance is asked for
    sign = -1.0 if is_lower_better else 1.0
    values = sign * scores
    n_arms = len(scores)
    # gaps to one arm span those between all arms: which arm it is changes nothing
    span = Span.of([gap(arm, 0) for arm in range(1, n_arms)], values)
    is_out = np.zeros(n_arms, dtype=np.bool_)
    means = _means(values)
    for block in gap_blocks(values, replicates, span):
        # (arms, others): rows challenge, columns are out where they lose
        is_better = means[block.arms][:, None] > means[block.others][None, :]
        is_asked = is_better & block.is_known
        # what is not asked beats nobody, and costs no quantile
        limits = np.full(block.value.shape, np.inf)
        quantiles = _quantiles(n_arms, block.df[is_asked], alpha=alpha)
        limits[is_asked] = quantiles * block.se[is_asked]
        is_beaten = (block.value > limits).any(axis=0)
        is_out[block.others[is_beaten]] = True
    return ~is_out


def _means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(arms,) mean over the seeds that an arm has; -inf without any."""
    n_scores = (~np.isnan(values)).sum(axis=1)
    means = np.nansum(values, axis=1) / np.maximum(n_scores, 1)
    # an arm without a score never challenges another
    means[n_scores == 0] = -np.inf
    return np.asarray(means)


def _quantiles(n_arms: int, df: NDArray[np.float64], *, alpha: float) -> NDArray[np.float64]:
    """Dunnett's one-sided quantile for each of `df`, a list of them."""
    # rounded down to a coarse grid, they are few: a quantile takes some milliseconds
    coarse = np.array([coarse_df(value) for value in df.tolist()])
    quantiles = np.empty(len(coarse))
    for value in np.unique(coarse).tolist():
        quantile = dunnett_quantile(n_arms - 1, value, alpha=alpha, is_two_sided=False)
        quantiles[coarse == value] = quantile
    return quantiles


def coarse_df(df: float) -> float:
    """Return the degrees of freedom rounded down, so that few quantiles are computed.

    On the safe side: by a tenth of the quantile at 3, by a percent from 12 on.
    """
    # the quantiles of t with 400 df and of the normal differ in the third digit
    if math.isinf(df) or df > 400:
        return 400.0
    if df > 20:
        return float(math.floor(df / 4) * 4)
    return math.floor(df * 4) / 4


def _t_quantile(share: float, df: float) -> float:
    """The one-sided quantile of t, of the normal where df is infinite."""
    if math.isinf(df):
        return float(norm.isf(share))
    return float(t.isf(share, df))


def _exceedance(c: float, n_arms: int, df: float, *, is_two_sided: bool) -> float:
    """P(max > c), integrated over the reference's error z and, where df is finite, the scale."""
    # the reference's error z in units of a mean's SD: beyond 7 of them lies a share of 3e-12
    nodes, weights = _gauss_legendre(64)
    z = 7 * nodes
    density_of_z = norm.pdf(z) * 7 * weights
    scales, density_of_scale = _scales(df)
    # c is in units of the SD of a difference of two means, root 2 of a single mean's
    bound = math.sqrt(2) * c * scales[:, None]  # (scales, 1)
    # `ndtr` is what norm.cdf calls after checks that take ten times as long
    one_arm = ndtr(bound + z)
    if is_two_sided:
        one_arm = one_arm - ndtr(-bound + z)
    # once z and the scale are given, the arms are independent: the reason for integrating over both
    within = (one_arm**n_arms) @ density_of_z  # (scales,)
    return 1 - float(within @ density_of_scale)


@lru_cache(maxsize=8)
def _gauss_legendre(n_nodes: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nodes in [-1, 1] and their weights: an eigenvalue problem, which took most of a quantile."""
    nodes, weights = np.polynomial.legendre.leggauss(n_nodes)
    return nodes, weights


@lru_cache(maxsize=512)
def _scales(df: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nodes and weights over the estimated SD in units of the true one: chi / sqrt(df)."""
    if math.isinf(df):
        return np.ones(1), np.ones(1)
    root = math.sqrt(df)
    # all but 1e-9 of the distribution, by Gauss and Legendre
    low, high = chi.ppf([1e-9, 1 - 1e-9], df) / root
    nodes, weights = _gauss_legendre(80)
    scales = (high - low) / 2 * nodes + (high + low) / 2
    density = chi.pdf(scales * root, df) * root * weights * (high - low) / 2
    # to a sum of 1: what is cut off, and the quadrature's own error, would bias every quantile
    return scales, np.asarray(density / density.sum())
