"""How the LR moves: a factor of the peak for each optimizer step."""

from __future__ import annotations

import math
from typing import Literal


def lr_factor(step: int, *, n_steps: int, warmup_steps: int, schedule: Literal["cosine", "constant"]) -> float:
    """Return the factor in [0, 1] for a 0-based step: linear warm-up over `warmup_steps`, then constant, or half a cosine that would reach 0 at `n_steps`."""
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    if schedule == "constant":
        return 1.0
    progress = (step - warmup_steps) / max(1, n_steps - warmup_steps)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
