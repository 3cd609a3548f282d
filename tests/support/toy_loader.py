"""A loader module for MLflow: a model whose probabilities are the number in its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np


class _Constant:
    def __init__(self, share: float) -> None:
        self.share = share

    def predict(self, images: np.ndarray) -> np.ndarray:
        assert images.dtype == np.uint8
        return np.full((len(images), 3), self.share, dtype=np.float32)


def _load_pyfunc(data_path: str) -> _Constant:
    return _Constant(float(Path(data_path, "share.txt").read_text()))
