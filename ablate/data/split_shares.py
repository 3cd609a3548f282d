"""What a grid file says of drawn splits, `data.split_seed` and `data.fractions`, and in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ablate.data.sources._base import Item, targets_of
from ablate.errors import DataError
from ablate.study.trial import SPLITS, DataSpec, Fractions


def seed_and_fractions(spec: DataSpec, why: str) -> tuple[int, Fractions]:
    """What a split is drawn by; `why` is the reason that one has to be drawn.

    Raises DataError where one of the two is missing, or the fractions do not sum to 1.
    """
    missing = [name for name in ("split_seed", "fractions") if getattr(spec, name) is None]
    # No default for either: both change every score, so whoever runs the study chooses them.
    if spec.split_seed is None or spec.fractions is None:
        raise DataError(
            f"data.{' and data.'.join(missing)} must be set for source {spec.source}, "
            f"because {why}."
        )
    return spec.split_seed, fractions_of(spec, why)


def fractions_of(spec: DataSpec, why: str) -> Fractions:
    """The shares of the splits. Raises DataError where they are missing or do not sum to 1."""
    if spec.fractions is None:
        raise DataError(f"data.fractions must be set for source {spec.source}, because {why}.")
    total = spec.fractions.train + spec.fractions.val + spec.fractions.test
    # not ==: 0.7 + 0.1 + 0.2 is below 1 in floats
    if not math.isclose(total, 1.0, abs_tol=1e-6):
        raise DataError(f"data.fractions must sum to 1, got {total:g}.")
    return spec.fractions


def shares_in_words(shares: Sequence[float]) -> str:
    """`train 0.6, val 0.2, test 0.2`."""
    words = []
    for split, share in zip(SPLITS, shares, strict=True):
        words.append(f"{split} {share:g}")
    return ", ".join(words)


def a_stratified(items: Sequence[Item]) -> str:
    """The adjective with its article: "a stratified"."""
    adjective = targets_of(items).stratification
    article = "a"
    if adjective[0] in "aeiou":  # "iteratively stratified", where images have several labels
        article = "an"
    return f"{article} {adjective}"
