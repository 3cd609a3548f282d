"""What training leaves out at random.

Residual branches: stochastic depth (Huang et al., "Deep Networks with Stochastic Depth", 2016).
Features of the head: dropout (Srivastava et al., "Dropout", 2014).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from timm.layers import DropPath
from torch import Tensor, nn
from torch.nn import functional as F

from ablate.errors import SpecError
from ablate.model.backbone import classifier_names
from ablate.recipe.recipe import Recipe
from ablate.recipe.strategy import frees_trunk


def drop_path_of(recipe: Recipe) -> float:
    """Return the rate of stochastic depth that a network is built with, in [0, 1).

    It is 0 where every unit is frozen, since frozen units keep their branches.
    """
    return recipe.drop_path if frees_trunk(recipe) else 0.0


def check_drop_path(
    module: nn.Module, recipe: Recipe, *, resting: Sequence[nn.Module], run_order: Sequence[str]
) -> None:
    """Make sure that stochastic depth reaches a free residual branch.

    Raises SpecError where it would do nothing: frozen units rest, and timm gives blocks without a
    shortcut a DropPath that never runs.
    """
    held = set(map(id, resting))
    called = frozenset(run_order)
    for name, child in module.named_modules():
        is_drop_path = isinstance(child, DropPath) and child.drop_prob > 0
        # one that drops is enough for the rate to mean something
        if is_drop_path and name in called and id(child) not in held:
            return
    raise SpecError(
        f"drop_path must find a residual branch in the free units of {recipe.backbone}, and at "
        f"freeze_depth {recipe.freeze_depth} there is none; free more units, or leave the "
        "combination out"
    )


def drop_features(module: nn.Module, *, p: float) -> None:
    """Let every classifier of a timm model see its features with dropout, in training.

    Of the features, (B, D) or (B, D, H, W), a share `p` in [0, 1) is set to 0 and the others are
    divided by 1 - p. timm's own `drop_rate` stands in a module between trunk and head in some
    families and inside `forward` in others; a hook is the same in all.
    """

    def drop(head: nn.Module, inputs: tuple[Any, ...]) -> tuple[Tensor, ...]:
        # only the features: whatever else a head is called with goes on as it is
        return (F.dropout(inputs[0], p, training=head.training), *inputs[1:])

    # a pre-hook sees what goes into the classifier, after the pooling
    for name in classifier_names(module):
        module.get_submodule(name).register_forward_pre_hook(drop)
