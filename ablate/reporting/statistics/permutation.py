"""Permutation tests of contrasts, and the correction for many of them.

Under the null a block's arms score alike but for noise, and noise is exchangeable between the arms
of a seed. So scores may change places inside a block and a seed, never between seeds (those share
their draws of initial weights, order and views) and never between blocks. For a pair this flips the
sign of its difference. Where the study shows that blocks of a seed move together, the seed is the
unit: all its blocks are flipped at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ablate.reporting.statistics.contrast import Block, BlockValues
from ablate.streams import stream

MOST_EXACT = 8192
"""Up to so many rearrangements all are tried; beyond, `N_DRAWS` are drawn."""
N_DRAWS = 9999
_MOST_OF_A_BLOCK = 5000
_TINY = 1e-9


@dataclass(frozen=True)
class PermutationTest:
    """A two-sided p, and the smallest that the design could have given."""

    p: float
    """NaN where nothing could be exchanged."""
    smallest_p: float


def permutation_test(
    found: BlockValues, scores: NDArray[np.float64], *, flips_only: bool, is_seed_the_unit: bool
) -> PermutationTest:
    """Test that a contrast is 0. `scores` (arms, seeds) as for `block_values`.

    The statistic is the estimate over its standard error by seeds, so that an effect that differs
    between blocks, yet is alike in every seed, is no noise. `flips_only` is for interactions: under
    their null arms differ, yet the contrast is as often positive as negative.
    """
    if not len(found.blocks) or (~np.isnan(found.values)).any(axis=0).sum() < 2:
        return PermutationTest(math.nan, math.nan)
    ways = (
        [_whole_seeds(found.values)]
        if is_seed_the_unit
        else _ways(found, scores, flips_only=flips_only)
    )
    n_of_unit = tuple(len(unit) for block in ways for unit in block)
    if not any(len(block) > 1 for block in ways):
        return PermutationTest(math.nan, math.nan)
    n_all = math.prod(n_of_unit)
    least = 2 if set(n_of_unit) == {2} else 1
    statistics = _statistics(
        ways, _every_choice(n_of_unit) if n_all <= MOST_EXACT else _drawn_choices(n_of_unit)
    )
    extreme = statistics >= statistics[0] * (1 - _TINY)
    return PermutationTest(
        float(extreme.mean()), least / n_all if n_all <= MOST_EXACT else 1 / (1 + N_DRAWS)
    )


def smallest_p(blocks: Sequence[Block], *, n_seeds: int, flips_only: bool) -> float:
    """The smallest two-sided p that `blocks` could give with `n_seeds` seeds each."""
    ways = [2 if flips_only else min(n_arrangements(block), _MOST_OF_A_BLOCK) for block in blocks]
    log_ways = n_seeds * sum(map(math.log, ways))
    least = 2 if all(way == 2 for way in ways) else 1
    return 1 / (1 + N_DRAWS) if log_ways > math.log(MOST_EXACT) else least * math.exp(-log_ways)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction, in the order given; NaNs stay NaN and are not counted."""
    known = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    corrected, highest = [math.nan] * len(p_values), 0.0
    for rank, (p, place) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - rank) * p))
        corrected[place] = highest
    return corrected


def n_arrangements(block: Block) -> int:
    """In how many different ways the block's weights can be dealt to its arms."""
    counts = np.unique(np.round(block.weights, 9), return_counts=True)[1]
    return math.factorial(len(block.weights)) // math.prod(
        math.factorial(int(count)) for count in counts
    )


def _ways(
    found: BlockValues, scores: NDArray[np.float64], *, flips_only: bool
) -> list[list[NDArray[np.float64]]]:
    """For each block and each of its seeds the values that it can take, the one seen first."""
    n_cells = sum(block.n_cells for block in found.blocks)
    ways = []
    for block, row in zip(found.blocks, found.values, strict=True):
        dealt = None if flips_only or len(block.arms) == 2 else _arrangements(block) / n_cells
        seeds = np.flatnonzero(~np.isnan(row))
        ways.append(
            [
                np.array([row[seed], -row[seed]])
                if dealt is None
                else dealt @ scores[list(block.arms), seed]
                for seed in seeds
            ]
        )
    return ways


def _whole_seeds(values: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """One block: all blocks of a seed together."""
    return [
        np.array([value, -value]) for value in values[:, ~np.isnan(values).any(axis=0)].sum(axis=0)
    ]


def _arrangements(block: Block) -> NDArray[np.float64]:
    """(ways, arms) every different dealing of the weights, the block's own first.

    A sample of them where there are too many.
    """
    weights = tuple(np.round(block.weights, 9))
    if n_arrangements(block) <= _MOST_OF_A_BLOCK:
        others = sorted(_distinct(weights) - {weights})
        return np.array([weights, *others])
    rng = np.random.default_rng(stream(0, "permute", "block", len(weights)))
    return np.concatenate(
        [[weights], rng.permuted(np.tile(weights, (_MOST_OF_A_BLOCK - 1, 1)), axis=1)]
    )


def _distinct(weights: tuple[float, ...]) -> set[tuple[float, ...]]:
    """All different orders of `weights`, place by place, without walking through equal ones."""
    if len(weights) == 1:
        return {weights}
    return {
        (first, *rest)
        for first in set(weights)
        for index in [weights.index(first)]
        for rest in _distinct((*weights[:index], *weights[index + 1 :]))
    }


def _statistics(
    ways: Sequence[Sequence[NDArray[np.float64]]], choices: NDArray[np.int16]
) -> NDArray[np.float64]:
    """(n,) squared estimate over its variance by seeds, for each row of `choices` (n, units)."""
    estimate, variance = np.zeros(len(choices)), np.full(len(choices), 1e-30)
    place = 0
    for block in ways:
        taken = [unit[choices[:, place + index]] for index, unit in enumerate(block)]
        place += len(block)
        mean = sum(taken) / len(taken)
        estimate += mean
        if len(taken) > 1:
            variance += sum((value - mean) ** 2 for value in taken) / (
                len(taken) * (len(taken) - 1)
            )
    return np.asarray(estimate**2 / variance)


def _every_choice(n_of_unit: tuple[int, ...]) -> NDArray[np.int16]:
    """(product, units) all combinations; the first row is what was seen."""
    return np.stack(np.unravel_index(np.arange(math.prod(n_of_unit)), n_of_unit), axis=1).astype(
        np.int16
    )


@lru_cache(maxsize=16)
def _drawn_choices(n_of_unit: tuple[int, ...]) -> NDArray[np.int16]:
    """(1 + N_DRAWS, units): what was seen, then random combinations.

    The same for every contrast with units like these.
    """
    rng = np.random.default_rng(stream(0, "permute", *n_of_unit))
    drawn = rng.integers(0, np.array(n_of_unit), size=(N_DRAWS, len(n_of_unit)))
    return np.asfortranarray(
        np.concatenate([np.zeros((1, len(n_of_unit)), dtype=np.int64), drawn]).astype(np.int16)
    )
