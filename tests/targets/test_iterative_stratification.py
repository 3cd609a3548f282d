"""Splits of images with several labels: exact sizes, and every label in its proportion."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.targets.iterative_stratification import stratify


@settings(deadline=None, max_examples=50)
@given(
    n=st.integers(1, 80),
    n_classes=st.integers(1, 6),
    seed=st.integers(0, 1000),
    share=st.floats(0.05, 0.9),
)
def test_parts_have_exactly_their_sizes_and_every_image_once(
    n: int, n_classes: int, seed: int, share: float
) -> None:
    labels = (np.random.default_rng(seed).random((n, n_classes)) < share).astype(np.int64)
    sizes = np.diff(np.rint(np.array([0, 0.6, 0.8, 1]) * n)).astype(np.int64)
    part_of = stratify(labels, sizes)
    assert np.bincount(part_of, minlength=3).tolist() == sizes.tolist()


def test_every_labels_share_is_kept_better_than_by_chance() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((400, 12)) < np.geomspace(0.02, 0.5, 12)).astype(np.int64)
    sizes = np.array([240, 80, 80])

    def astray(part_of: np.ndarray) -> float:
        counts = np.array([labels[part_of == part].sum(axis=0) for part in range(3)])
        return float(np.abs(counts - labels.sum(axis=0) * (sizes / 400)[:, None]).mean())

    by_chance = np.mean(
        [astray(rng.permutation(np.repeat(np.arange(3), sizes))) for _ in range(20)]
    )
    dealt = stratify(labels, sizes)
    assert astray(dealt) < 0.5 < 0.3 * by_chance
    rare = labels[:, 0] == 1
    assert {int((rare & (dealt == part)).sum()) for part in (1, 2)} <= {
        int(rare.sum() * 0.2),
        int(np.ceil(rare.sum() * 0.2)),
    }
