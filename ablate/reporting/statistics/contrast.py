"""A contrast: a weighted difference of arms, block by block, and its sampling error.

A block holds the arms that a comparison ties together, with weights that sum to 0. Blocks share no
arm, so that given a seed their values are independent: a pair of arms is the simplest block; a
merged arm that stands in two cells joins the pairs of both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Block:
    """Arms that stand together."""

    arms: tuple[int, ...]
    """Places of the arms in the arrays of scores."""
    weights: tuple[float, ...]
    """One an arm: how often it stands on the side of the level, less how often on the other.

    They sum to 0.
    """
    n_cells: int
    """Matched cells that it comes from: its share in the mean."""


@dataclass(frozen=True)
class BlockValues:
    """The blocks that were scored, with a value for each seed."""

    blocks: tuple[Block, ...]
    values: NDArray[np.float64]
    """(blocks, seeds): the contrast of a block in a seed, already times its share.

    NaN where one of its arms has no score. The mean over the seeds of each row, summed over the
    rows, is the estimate.
    """

    @property
    def estimate(self) -> float:
        """The contrast: each matched cell weighs the same, whichever seeds failed.

        NaN without a block.
        """
        return float(np.nanmean(self.values, axis=1).sum()) if len(self.blocks) else math.nan


@dataclass(frozen=True)
class Interval:
    """An estimate with its sampling error."""

    estimate: float
    low: float
    """NaN where one seed leaves the error unknown."""
    high: float
    se_seeds: float
    """Standard error that more seeds would shrink."""
    se_images: float
    """Standard error that more test images would shrink; NaN where predictions are missing."""
    df: float
    df_seeds: float
    """Degrees of freedom of `se_seeds` alone, if all blocks are equally noisy."""

    @property
    def leaves_out_zero(self) -> bool:
        return self.low > 0 or self.high < 0


def block_values(blocks: Sequence[Block], scores: NDArray[np.float64]) -> BlockValues:
    """Evaluate `blocks` on `scores` (arms, seeds; NaN where a trial has none).

    Blocks without a complete seed are left out, the others share their weight.
    """
    raw = [np.asarray(block.weights) @ scores[list(block.arms)] for block in blocks]
    kept = [index for index, row in enumerate(raw) if not np.isnan(row).all()]
    n_cells = sum(blocks[index].n_cells for index in kept)
    values = np.array([raw[index] / n_cells for index in kept]).reshape(len(kept), scores.shape[1])
    return BlockValues(tuple(blocks[index] for index in kept), values)


def contrast_interval(
    found: BlockValues, replicates: NDArray[np.floating] | None, *, is_seed_the_unit: bool
) -> Interval:
    """Two-level bootstrap interval: seeds and images.

    The level of the seeds is taken in closed form, with n - 1: it is what endless resamples would
    give, without their bias at 3 seeds. The level of the images is that of `replicates` (arms,
    seeds, draws), the scores on resampled images. What both levels count, the noise of one image in
    one run, is taken off once (crossed random effects). With `is_seed_the_unit` the blocks of a
    seed are not taken as independent.
    """
    variance, df, spare = _seed_variance(found.values, is_seed_the_unit=is_seed_the_unit)
    images = (
        math.nan
        if replicates is None or not len(found.blocks)
        else image_variance(found, replicates)
    )
    total = variance + (0.0 if math.isnan(images) else images)
    df_total = total**2 * df / variance**2 if not math.isnan(images) and variance > 0 else df
    half = float(t.ppf((1 + CONFIDENCE) / 2, df_total)) * math.sqrt(total) if df > 0 else math.nan
    return Interval(
        found.estimate,
        found.estimate - half,
        found.estimate + half,
        math.sqrt(variance),
        math.sqrt(images),
        df_total,
        spare,
    )


def _seed_variance(
    values: NDArray[np.float64], *, is_seed_the_unit: bool
) -> tuple[float, float, float]:
    """Variance of the estimate by seeds, its degrees of freedom, and those of equal blocks.

    (NaN, 0, 0) where no block has two seeds.
    """
    if is_seed_the_unit:
        whole = (
            values[:, ~np.isnan(values).any(axis=0)].sum(axis=0, keepdims=True)
            if len(values)
            else np.empty((1, 0))
        )
        values = whole
    n = (~np.isnan(values)).sum(axis=1)
    if not (n > 1).any():
        return math.nan, 0.0, 0.0
    with np.errstate(invalid="ignore"):
        means = np.nansum(values, axis=1, keepdims=True) / n[:, None]
        squares = np.nansum((values - means) ** 2, axis=1)
        each = np.where(n > 1, squares / np.maximum(n - 1, 1) / n, np.nan)
    each = np.where(
        np.isnan(each), np.nanmean(each), each
    )  # a block with one seed borrows the others' mean
    spare = np.maximum(n - 1, 0)
    return float(each.sum()), _welch(each[spare > 0], spare[spare > 0]), float(spare.sum())


def _welch(variances: NDArray[np.float64], spare: NDArray[np.int64]) -> float:
    """Welch-Satterthwaite degrees of freedom of a sum of variances.

    Corrected for their own noise, between those of one block and all together.
    """
    if len(variances) == 1 or variances.sum() == 0:
        return float(spare.sum())
    plain = variances.sum() ** 2 / (variances**2 / (spare + 2)).sum() - 2
    return float(np.clip(plain, spare.min(), spare.sum()))


def image_variance(found: BlockValues, replicates: NDArray[np.floating]) -> float:
    """Variance of the estimate by the draw of images alone.

    The part that one run does not share with the block's other seeds is the seeds' already.
    """
    mean = np.zeros(replicates.shape[2])
    own_part = 0.0
    n_cells = sum(block.n_cells for block in found.blocks)
    for block, row in zip(found.blocks, found.values, strict=True):
        drawn = np.tensordot(
            np.asarray(block.weights) / n_cells, replicates[list(block.arms)], axes=1
        )[~np.isnan(row)]  # (seeds, draws)
        own = drawn - drawn.mean(axis=0)
        mean += drawn.mean(axis=0)
        if len(drawn) > 1:
            own_part += own.var(axis=1, ddof=1).sum() / (len(drawn) - 1) / len(drawn)
    return max(float(mean.var(ddof=1)) - own_part, 0.0)
