"""Scores of tiles become those of images: beside an oracle that goes through them one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.recipe.tiling import TilesJoin
from ablate.training.tasks.join_tiles import WHOLE_IMAGES, TileJoin


@given(
    st.integers(1, 6), st.integers(2, 9), st.integers(2, 5), st.booleans(), st.sampled_from([0, 1])
)
def test_joined_scores_are_those_of_an_oracle(
    n_images: int, n_tiles: int, n_classes: int, is_exclusive: bool, which: int
) -> None:
    how: TilesJoin = ("mean", "max")[which]
    rng = np.random.default_rng([n_images, n_tiles, n_classes])
    of_tiles = rng.random((n_images * n_tiles, n_classes)).astype(np.float32)
    if is_exclusive:
        of_tiles /= of_tiles.sum(axis=1, keepdims=True)
    joined = TileJoin(n_tiles, how, is_exclusive).predictions(of_tiles)
    assert joined.dtype == np.float32
    assert joined.shape == (n_images, n_classes)
    for image in range(n_images):
        for label in range(n_classes):
            of_image = [float(of_tiles[image * n_tiles + t, label]) for t in range(n_tiles)]
            expected = sum(of_image) / n_tiles
            if how == "max":
                expected = max(of_image)
                if is_exclusive:
                    block = of_tiles[image * n_tiles : (image + 1) * n_tiles]
                    expected /= sum(float(block[:, c].max()) for c in range(n_classes))
            assert joined[image, label] == pytest.approx(expected, rel=1e-5)
    if is_exclusive:
        np.testing.assert_allclose(joined.sum(axis=1), 1, rtol=1e-5)


def test_whole_images_stay_what_they_are() -> None:
    scores = np.random.default_rng(0).random((4, 3)).astype(np.float32)
    labels = np.arange(4)
    assert WHOLE_IMAGES.predictions(scores) is scores
    np.testing.assert_array_equal(WHOLE_IMAGES.labels(labels), labels)


def test_a_tile_has_its_images_label() -> None:
    join = TileJoin(n_tiles=3)
    np.testing.assert_array_equal(join.labels(np.repeat([2, 0, 1], 3)), [2, 0, 1])
    several = np.repeat(np.array([[1, 0], [1, 1]]), 3, axis=0)
    np.testing.assert_array_equal(join.labels(several), [[1, 0], [1, 1]])
