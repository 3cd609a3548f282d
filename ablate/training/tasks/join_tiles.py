"""From the scores of an image's tiles to those of the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ablate.recipe.tiling import USUAL_JOIN, TilesJoin, n_tiles_of
from ablate.study.tasks import task_of
from ablate.study.trial import Trial
from ablate.targets import TARGETS, OneLabel


@dataclass(frozen=True, slots=True)
class TileJoin:
    """Joins rows of tiles, those of one image behind each other; whole images stay as they are."""

    n_tiles: int = 1
    """Of each image."""
    how: TilesJoin = USUAL_JOIN
    is_exclusive: bool = True
    """Whether an image has one class, so that its probabilities sum to 1."""

    @classmethod
    def of(cls, trial: Trial) -> TileJoin:
        """What a trial asks for."""
        shown = trial.shown
        kind = TARGETS[task_of(trial.task).targets]
        return cls(n_tiles_of(shown.tiles), shown.tiles_join, kind is OneLabel)

    def predictions(self, of_tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities of tiles (N * n_tiles, C) -> of images (N, C) float32."""
        if self.n_tiles == 1:
            return of_tiles
        grouped = of_tiles.reshape(-1, self.n_tiles, of_tiles.shape[1])
        if self.how == "mean":
            return np.asarray(grouped.mean(axis=1))
        largest: NDArray[np.float32] = grouped.max(axis=1)
        if not self.is_exclusive:
            return largest
        # Never 0: of each tile's probabilities, which sum to 1, the largest is 1 / C at least.
        return np.asarray(largest / largest.sum(axis=1, keepdims=True), dtype=np.float32)

    def labels(self, of_tiles: NDArray[np.int64]) -> NDArray[np.int64]:
        """Labels of tiles (N * n_tiles, ...) -> of images (N, ...): a tile has its image's."""
        return of_tiles[:: self.n_tiles]


WHOLE_IMAGES = TileJoin()
"""Joins nothing."""
