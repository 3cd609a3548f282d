"""How the LR moves: a factor of the peak for each optimizer step of a phase."""

from __future__ import annotations

import math
from typing import Literal

from ablate.recipe.recipe import Recipe

# of one_cycle, as in torch's OneCycleLR: it starts at 1 / START_DIVISOR of the peak and ends at
# 1 / END_DIVISOR of that
START_DIVISOR = 25.0
END_DIVISOR = 1e4


def recipe_factor(step: int, recipe: Recipe, *, n_steps: int) -> float:
    """Return the factor for a 0-based step of a phase of `n_steps` under the recipe's schedule."""
    warmup_steps = round(recipe.warmup * n_steps)
    if recipe.schedule == "one_cycle":
        return one_cycle_factor(step, n_steps=n_steps, warmup=recipe.warmup)
    if recipe.schedule == "step" and step >= warmup_steps:
        steps_per_drop = max(1, round(recipe.step_every * n_steps))
        # Counted from the phase's first step, the warm-up included, so drops come at round shares.
        return recipe.step_factor ** (step // steps_per_drop)
    # "step" comes here during its warm-up alone, where the shape does not matter
    shape: Literal["cosine", "constant"] = "constant"
    if recipe.schedule == "cosine":
        shape = "cosine"
    return lr_factor(step, n_steps=n_steps, warmup_steps=warmup_steps, schedule=shape)


def lr_factor(
    step: int, *, n_steps: int, warmup_steps: int, schedule: Literal["cosine", "constant"]
) -> float:
    """Return the factor in [0, 1] for a 0-based step.

    Linear warm-up over `warmup_steps`, then constant, or half a cosine that would reach 0 at
    `n_steps` (SGDR without restarts: Loshchilov & Hutter 2017).
    """
    if step < warmup_steps:
        # the first step already moves, and the first one after the warm-up is at the peak
        return (step + 1) / (warmup_steps + 1)
    if schedule == "constant":
        return 1.0
    progress = (step - warmup_steps) / max(1, n_steps - warmup_steps)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


def one_cycle_factor(step: int, *, n_steps: int, warmup: float) -> float:
    """Return the factor of the one-cycle policy (Smith & Topin 2018) as torch's OneCycleLR has it.

    A cosine up to the peak within the share `warmup`, a cosine down to almost 0. The momentum stays
    as it is (`cycle_momentum=False`).
    """
    # torch's own positions, with a fraction of a step: OneCycleLR gives these numbers exactly.
    top = warmup * n_steps - 1
    if step <= top:
        share = step / top if top > 0 else 1.0
        return _between(1 / START_DIVISOR, 1.0, share)
    # without warm-up the peak is at step 0
    peak_step = max(top, 0)
    last_step = n_steps - 1
    share = (step - peak_step) / max(1.0, last_step - peak_step)
    return _between(1.0, 1 / (START_DIVISOR * END_DIVISOR), min(1.0, share))


def _between(start: float, end: float, share: float) -> float:
    """Half a cosine from `start` (share 0) to `end` (share 1)."""
    return end + (start - end) / 2.0 * (1.0 + math.cos(math.pi * share))
