"""Strategies become phases: pure functions from a recipe to what is trained when.

The expanded phases are what identifies an arm.
"""

from __future__ import annotations

from collections.abc import Callable

from ablate.recipe.phase import Phase
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
    if recipe.phases:
        return tuple(_filled(phase, recipe) for phase in recipe.phases)
    if recipe.strategy == "lp_ft":
        n_probe = probe_epochs(recipe)
        return (
            _phase(recipe, n_probe, "all"),
            _phase(recipe, max(1, recipe.epochs - n_probe), recipe.freeze_depth),
        )
    if recipe.strategy == "gradual":
        depths = ("all", *(-i for i in range(1, recipe.n_phases - 1)), recipe.freeze_depth)
        return tuple(
            _phase(recipe, max(1, n_epochs), depth)
            for n_epochs, depth in zip(_shares(recipe.epochs, recipe.n_phases), depths, strict=True)
        )
    return (_phase(recipe, recipe.epochs, recipe.freeze_depth),)


def n_epochs(recipe: Recipe) -> int:
    """Return the epochs of all phases together; a plateau may end a phase earlier.

    A fitted classifier sees the images once.
    """
    return 1 if recipe.is_fitted else sum(phase.epochs for phase in phases_of(recipe))


def at_phase(recipe: Recipe, phase: Phase) -> Recipe:
    """The recipe as it is while `phase` lasts: one phase with its depth, rates and epochs."""
    own = {
        "freeze_depth": phase.freeze_depth,
        "head_lr": phase.head_lr,
        "lr_ratio": phase.lr_ratio,
        "epochs": phase.epochs,
        "patience": phase.patience,
    }
    return recipe.model_copy(update={**own, "strategy": "single", "phases": ()})


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
    return max(1, recipe.epochs // 3) if recipe.probe_epochs is None else recipe.probe_epochs


def _phase(recipe: Recipe, epochs: int, freeze_depth: object) -> Phase:
    until = "epochs" if recipe.patience is None else "plateau"
    return Phase.model_construct(  # a recipe's fields were checked, and a phase's are theirs
        epochs=epochs,
        freeze_depth=freeze_depth,
        head_lr=float(recipe.head_lr),
        lr_ratio=float(recipe.lr_ratio),
        until=until,
        patience=recipe.patience,
    )


def _filled(phase: Phase, recipe: Recipe) -> Phase:
    own = {
        name: getattr(recipe, name)
        for name in ("freeze_depth", "head_lr", "lr_ratio")
        if getattr(phase, name) is None
    }
    patience = phase.patience or recipe.patience if phase.until == "plateau" else None
    return phase.model_copy(update={**own, "patience": patience})


def _shares(total: int, n_parts: int) -> list[int]:
    """Cut `total` into parts that differ by one at most; the later ones are the longer."""
    return [total * (i + 1) // n_parts - total * i // n_parts for i in range(n_parts)]


CONTRADICTIONS: tuple[tuple[str, Callable[[Recipe], bool]], ...] = (
    (
        "phases say themselves what a strategy would",
        lambda recipe: bool(recipe.phases) and recipe.strategy != "single",
    ),
    (
        "LP-FT thaws the trunk after a probe, and freeze_depth all thaws nothing",
        lambda recipe: (
            recipe.strategy == "lp_ft" and not recipe.phases and recipe.freeze_depth == "all"
        ),
    ),
    (
        "LP-FT takes at least one epoch more than its probe_epochs",
        lambda recipe: (
            recipe.strategy == "lp_ft"
            and not recipe.phases
            and probe_epochs(recipe) >= recipe.epochs
        ),
    ),
    (
        "gradual unfreezing thaws a unit in each phase after the probe, "
        "and freeze_depth leaves fewer than n_phases - 1 to thaw",
        lambda recipe: (
            recipe.strategy == "gradual" and not recipe.phases and _thaws_too_little(recipe)
        ),
    ),
    (
        "gradual unfreezing takes an epoch for each of its n_phases at least",
        lambda recipe: (
            recipe.strategy == "gradual" and not recipe.phases and recipe.epochs < recipe.n_phases
        ),
    ),
    (
        "a phase until: plateau needs a patience, its own or the recipe's",
        lambda recipe: any(
            phase.until == "plateau" and (phase.patience or recipe.patience) is None
            for phase in recipe.phases
        ),
    ),
    (
        "adapters stand in frozen units, and phases thaw units",
        lambda recipe: recipe.adapter_kind != "none" and len(phases_of(recipe)) > 1,
    ),
)
"""Reasons and the recipes that they exclude; the first that holds is told."""


def _thaws_too_little(recipe: Recipe) -> bool:
    depth = recipe.freeze_depth
    return depth == "all" or (depth < 0 and -depth < recipe.n_phases - 1)
