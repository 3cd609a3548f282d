"""What training leaves out at random: residual branches (stochastic depth, Huang et al. 2016) and features of the head (dropout, Srivastava et al. 2014)."""

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
    """The rate that a network is built with: none where every unit is frozen, since frozen units keep their branches."""
    return recipe.drop_path if frees_trunk(recipe) else 0.0


def check_drop_path(
    module: nn.Module, recipe: Recipe, *, resting: Sequence[nn.Module], run_order: Sequence[str]
) -> None:
    """Make sure that stochastic depth reaches a free residual branch. Raises SpecError where it would do nothing.

    A frozen unit rests, and timm gives blocks without a shortcut a DropPath that never runs.
    """
    held, run = set(map(id, resting)), frozenset(run_order)
    if not any(
        isinstance(child, DropPath)
        and child.drop_prob > 0
        and name in run
        and id(child) not in held
        for name, child in module.named_modules()
    ):
        raise SpecError(
            f"drop_path must find a residual branch in the free units of {recipe.backbone}, and at freeze_depth {recipe.freeze_depth} there is none; "
            f"free more units, or leave the combination out"
        )


def drop_features(module: nn.Module, *, p: float) -> None:
    """Let every classifier of a timm model see its features, (B, D) or (B, D, H, W), with a share `p` in [0, 1) set to 0 and the others / (1 - p), in training.

    timm's own `drop_rate` stands in a module between trunk and head in some families and inside `forward` in others; a hook is the same in all.
    """

    def drop(head: nn.Module, inputs: tuple[Any, ...]) -> tuple[Tensor, ...]:
        return (F.dropout(inputs[0], p, training=head.training), *inputs[1:])

    for name in classifier_names(module):
        module.get_submodule(name).register_forward_pre_hook(drop)
