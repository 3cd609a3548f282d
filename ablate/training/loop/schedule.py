"""How the LR moves: a factor of the peak for each optimizer step of a phase."""

from __future__ import annotations

import math
from typing import Literal

from ablate.recipe.recipe import Recipe

START_DIVISOR, END_DIVISOR = 25.0, 1e4
"""Of one_cycle: it starts at 1 / START_DIVISOR of the peak and ends at 1 / END_DIVISOR of that (torch's OneCycleLR)."""


def recipe_factor(step: int, recipe: Recipe, *, n_steps: int) -> float:
    """Return the factor for a 0-based step of a phase of `n_steps` under the recipe's schedule."""
    warmup_steps = round(recipe.warmup * n_steps)
    if recipe.schedule == "one_cycle":
        return one_cycle_factor(step, n_steps=n_steps, warmup=recipe.warmup)
    if recipe.schedule == "step" and step >= warmup_steps:
        return recipe.step_factor ** (step // max(1, round(recipe.step_every * n_steps)))
    return lr_factor(
        step,
        n_steps=n_steps,
        warmup_steps=warmup_steps,
        schedule="cosine" if recipe.schedule == "cosine" else "constant",
    )


def lr_factor(
    step: int, *, n_steps: int, warmup_steps: int, schedule: Literal["cosine", "constant"]
) -> float:
    """Return the factor in [0, 1] for a 0-based step: linear warm-up over `warmup_steps`, then constant, or half a cosine that would reach 0 at `n_steps`."""
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    if schedule == "constant":
        return 1.0
    progress = (step - warmup_steps) / max(1, n_steps - warmup_steps)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


def one_cycle_factor(step: int, *, n_steps: int, warmup: float) -> float:
    """Return the factor of Smith's one cycle as torch's OneCycleLR has it: a cosine up to the peak within the share `warmup`, a cosine down to almost 0.

    The momentum stays as it is (`cycle_momentum=False`).
    """
    top, last = warmup * n_steps - 1, n_steps - 1
    if step <= top:
        return _between(1 / START_DIVISOR, 1.0, step / top if top > 0 else 1.0)
    return _between(
        1.0,
        1 / (START_DIVISOR * END_DIVISOR),
        min(1.0, (step - max(top, 0)) / max(1.0, last - max(top, 0))),
    )


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2.0 * (1.0 + math.cos(math.pi * share))
