"""Smaller splits than there are images for: what `data.sizes` of a grid file asks for."""

from __future__ import annotations

from collections.abc import Mapping

from ablate.data.dealing import Parts, deal
from ablate.data.split_shares import a_stratified
from ablate.errors import DataError
from ablate.study.trial import DataSpec


def subset_items(parts: Parts, spec: DataSpec, *, n_classes: int) -> tuple[Parts, str]:
    """Cut splits down to `spec.sizes`, stratified; return them and the rule in words.

    The rule is empty where nothing is cut. A smaller size draws a subset of a larger size's
    images, up to rounding; not so where images have several labels. Raises DataError without
    `split_seed`, or with fewer images than classes.
    """
    sizes = _smaller_sizes(parts, spec)
    if not sizes:
        return parts, ""
    seed = _seed_of(spec)
    _check_sizes(sizes, n_classes)
    smaller = dict(parts)
    words = []
    for split, n in sizes.items():
        pool = parts[split]
        # Image by image even where there are groups: cutting one down puts it on no second side.
        (smaller[split],) = deal(
            pool, [n / len(pool)], seed=seed, purpose=f"size of {split}", total=n
        )
        words.append(f"{split} {n} of {len(pool)}")
    rule = f"; {a_stratified(parts['train'])} subset with split_seed {seed}: {', '.join(words)}"
    return smaller, rule


def _seed_of(spec: DataSpec) -> int:
    if spec.split_seed is None:
        raise DataError(
            "data.split_seed must be set where data.sizes draws a subset, got null; "
            "any whole number will do."
        )
    return spec.split_seed


def _smaller_sizes(parts: Parts, spec: DataSpec) -> dict[str, int]:
    """Split -> images asked for, of those splits that have more."""
    if spec.sizes is None:
        return {}
    sizes = {}
    for split, n in spec.sizes.model_dump().items():
        # a size above what there is asks for all of it, and is no mistake
        if n is not None and n < len(parts[split]):
            sizes[split] = n
    return sizes


def _check_sizes(sizes: Mapping[str, int], n_classes: int) -> None:
    for split, n in sizes.items():
        # Below it, no stratified draw can give every class an image.
        if n < n_classes:
            raise DataError(
                f"data.sizes.{split} must be at least the number of classes, {n_classes}, got {n}."
            )
