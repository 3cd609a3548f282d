"""Drawings of models: the interval of each bin of a reliability diagram."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.container import ErrorbarContainer
from matplotlib.patches import Rectangle

from ablate.metrics.calibration import N_BINS, Reliability
from ablate.reporting.figures.models import draw_reliability


def wilson(share: float, n: int) -> tuple[float, float]:
    """The 95 % score interval by its formula (Wilson 1927)."""
    z = 1.959964
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return middle - half, middle + half


def test_each_bin_has_its_wilson_interval_and_an_empty_bin_has_none() -> None:
    n_right = {3: 2, 7: 1, 10: 0, 14: 40}
    count = np.zeros(N_BINS, dtype=np.int64)
    count[[3, 7, 10, 14]] = [9, 3, 5, 40]
    accuracy = np.full(N_BINS, np.nan)
    confidence = np.full(N_BINS, np.nan)
    for place, right in n_right.items():
        accuracy[place] = right / count[place]
        confidence[place] = (place + 0.5) / N_BINS
    upper, lower = draw_reliability(Reliability(count, confidence, accuracy)).axes
    (container,) = upper.containers
    assert isinstance(container, ErrorbarContainer)
    segments = container.lines[2][0].get_segments()
    assert len(segments) == len(n_right)
    for segment, place in zip(segments, n_right, strict=True):
        low, high = wilson(accuracy[place], int(count[place]))
        # scipy knows the normal quantile to more digits than the formula above
        assert segment[0][1] == pytest.approx(min(low, accuracy[place]), abs=1e-7)
        assert segment[1][1] == pytest.approx(max(high, accuracy[place]), abs=1e-7)
    # outside the panel: an interval may fill its whole height
    assert upper.get_legend() is None
    heights = [bar.get_height() for bar in lower.patches if isinstance(bar, Rectangle)]
    assert heights == count.tolist()
