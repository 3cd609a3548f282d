"""Strategies become phases: pure functions from a recipe to what is trained when.

The expanded phases are what identifies an arm.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Literal

from ablate.recipe.phase import Depth, Phase, Strategy
from ablate.recipe.recipe import Recipe

PHASE_FIELDS = (
    "strategy",
    "probe_epochs",
    "n_phases",
    "phases",
    "epochs",
    "freeze_depth",
    "head_lr",
    "lr_ratio",
    "patience",
)
"""Fields of a recipe that say what its phases are."""


def phases_of(recipe: Recipe) -> tuple[Phase, ...]:
    """The phases of training, first to last, with every field of each filled in.

    `single` is one phase, `lp_ft` a linear probe and then `freeze_depth`, `gradual` a linear probe,
    then -1, -2, ..., and `freeze_depth` last; the epochs of all phases together are
    `recipe.epochs`. `phases` takes the place of these where it is given.
    """
    # Phases that are written out take the place of any strategy.
    if recipe.phases:
        return tuple(_filled(phase, recipe) for phase in recipe.phases)
    if recipe.strategy == "lp_ft":
        return _probe_then_finetune(recipe)
    if recipe.strategy == "gradual":
        return _unfrozen_step_by_step(recipe)
    return (_phase(recipe, recipe.epochs, recipe.freeze_depth),)


def _probe_then_finetune(recipe: Recipe) -> tuple[Phase, ...]:
    """LP-FT (Kumar et al. 2022): a head that fits first spares the trunk its first gradients."""
    n_probe = probe_epochs(recipe)
    # At least one epoch, so that a contradiction can be named instead of a phase of none.
    n_finetune = max(1, recipe.epochs - n_probe)
    probe = _phase(recipe, n_probe, "all")
    finetune = _phase(recipe, n_finetune, recipe.freeze_depth)
    return (probe, finetune)


def _unfrozen_step_by_step(recipe: Recipe) -> tuple[Phase, ...]:
    """Gradual unfreezing (ULMFiT, Howard and Ruder 2018): from the head down, a unit a phase."""
    depths: list[Depth | Literal["all"]] = ["all"]
    for n_free in range(1, recipe.n_phases - 1):
        depths.append(-n_free)
    # The last phase may thaw many units at once: as many as the recipe asks for.
    depths.append(recipe.freeze_depth)
    # A share may round down to no epoch: at least one, and a contradiction says what is wrong.
    phases = []
    for epochs, depth in zip(_shares(recipe.epochs, recipe.n_phases), depths, strict=True):
        phases.append(_phase(recipe, max(1, epochs), depth))
    return tuple(phases)


def n_epochs(recipe: Recipe) -> int:
    """Return the epochs of all phases together; a plateau may end a phase earlier.

    A fitted classifier sees the images once.
    """
    if recipe.is_fitted:
        return 1
    return sum(phase.epochs for phase in phases_of(recipe))


def at_phase(recipe: Recipe, phase: Phase) -> Recipe:
    """The recipe as it is while `phase` lasts: one phase with its depth, rates and epochs."""
    # model_copy does not validate: some values of `phase` are None until `phases_of` fills them in.
    of_phase = {
        "freeze_depth": phase.freeze_depth,
        "head_lr": phase.head_lr,
        "lr_ratio": phase.lr_ratio,
        "epochs": phase.epochs,
        "patience": phase.patience,
    }
    return recipe.model_copy(update={**of_phase, "strategy": "single", "phases": ()})


def is_single(recipe: Recipe) -> bool:
    """Whether a recipe is its own only phase."""
    return recipe.strategy == "single" and not recipe.phases


def frees_trunk(recipe: Recipe) -> bool:
    """Whether some phase may leave a unit of the trunk free."""
    if is_single(recipe):
        return recipe.freeze_depth != "all"
    return any(phase.freeze_depth != "all" for phase in phases_of(recipe))


def probe_epochs(recipe: Recipe) -> int:
    """Return the epochs of LP-FT's probe: a third of all where the recipe does not say."""
    if recipe.probe_epochs is None:
        return max(1, recipe.epochs // 3)
    return recipe.probe_epochs


def _phase(recipe: Recipe, epochs: int, freeze_depth: object) -> Phase:
    # A recipe's patience holds in every phase of its strategy.
    until = "epochs" if recipe.patience is None else "plateau"
    # Unchecked: a recipe's fields were validated already, and a grid has up to 50,000 cells.
    return Phase.model_construct(
        epochs=epochs,
        freeze_depth=freeze_depth,
        head_lr=float(recipe.head_lr),
        lr_ratio=float(recipe.lr_ratio),
        until=until,
        patience=recipe.patience,
    )


def _filled(phase: Phase, recipe: Recipe) -> Phase:
    """The phase with the recipe's value for each field that it leaves out."""
    inherited: dict[str, Any] = {"patience": None}
    for name in ("freeze_depth", "head_lr", "lr_ratio"):
        if getattr(phase, name) is None:
            inherited[name] = getattr(recipe, name)
    if phase.until == "plateau":
        inherited["patience"] = phase.patience or recipe.patience
    return phase.model_copy(update=inherited)


def _shares(total: int, n_parts: int) -> list[int]:
    """Cut `total` into parts that differ by one at most; the later ones are the longer."""
    # Cutting at rounded-down positions: the remainder never piles up in a single part.
    cuts = [total * n // n_parts for n in range(n_parts + 1)]
    shares = []
    for start, end in pairwise(cuts):
        shares.append(end - start)
    return shares


def _follows(recipe: Recipe, strategy: Strategy) -> bool:
    # Phases that are given replace a strategy; that both are given is a mistake of its own.
    return recipe.strategy == strategy and not recipe.phases


def _lacks_patience(recipe: Recipe) -> bool:
    for phase in recipe.phases:
        if phase.until == "plateau" and phase.patience is None and recipe.patience is None:
            return True
    return False


def _thaws_too_little(recipe: Recipe) -> bool:
    depth = recipe.freeze_depth
    # The phases before it free up to n_phases - 2 units: the last must free one more at least.
    return depth == "all" or (depth < 0 and -depth < recipe.n_phases - 1)


CONTRADICTIONS: tuple[tuple[str, Callable[[Recipe], bool]], ...] = (
    (
        "phases replace a strategy: give one of the two",
        lambda recipe: bool(recipe.phases) and recipe.strategy != "single",
    ),
    (
        "LP-FT unfreezes the trunk after a probe, and freeze_depth all unfreezes nothing",
        lambda recipe: _follows(recipe, "lp_ft") and recipe.freeze_depth == "all",
    ),
    (
        "LP-FT needs at least one epoch more than its probe_epochs",
        lambda recipe: _follows(recipe, "lp_ft") and probe_epochs(recipe) >= recipe.epochs,
    ),
    (
        "gradual unfreezing frees a unit in each phase after the probe, "
        "and freeze_depth leaves fewer than n_phases - 1 to free",
        lambda recipe: _follows(recipe, "gradual") and _thaws_too_little(recipe),
    ),
    (
        "gradual unfreezing needs at least one epoch for each of its n_phases",
        lambda recipe: _follows(recipe, "gradual") and recipe.epochs < recipe.n_phases,
    ),
    (
        "a phase until: plateau needs a patience, its own or the recipe's",
        _lacks_patience,
    ),
    (
        "adapters belong to frozen units, and phases unfreeze units",
        lambda recipe: recipe.adapter_kind != "none" and len(phases_of(recipe)) > 1,
    ),
)
"""Reasons and the recipes that they exclude; the first that holds is reported."""
