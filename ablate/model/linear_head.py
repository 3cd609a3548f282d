"""The head that a fitted classifier can become, and whose inputs are an image's features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ablate.errors import SpecError
from ablate.model.units import owner_of
from ablate.recipe.recipe import Recipe
from ablate.recipe.transfer import penalties_of


def linear_head(module: nn.Module, head_names: Sequence[str], recipe: Recipe) -> nn.Linear:
    """Return the one linear layer with a bias that the head must be.

    Raises SpecError where it is something else.
    """
    # weight and bias of one layer have one owner
    owners = set(map(owner_of, head_names))
    head = module.get_submodule(owners.pop()) if len(owners) == 1 else None
    if not isinstance(head, nn.Linear) or head.bias is None:
        what, way_out = _who_needs(recipe)
        raise SpecError(
            f"{what} needs a head that is one linear layer with a bias, "
            f"that of {recipe.backbone} is not; {way_out}"
        )
    return head


def check_rows(module: nn.Module, head: nn.Linear, recipe: Recipe, *, image_size: int) -> None:
    """Make sure that an image reaches the head once, as one row of features.

    `module` is on torch's meta device. Raises SpecError.
    """
    shapes: list[tuple[int, ...]] = []
    handle = head.register_forward_pre_hook(
        lambda _module, inputs: shapes.append(tuple(inputs[0].shape))
    )
    was_training = module.training
    try:
        with torch.no_grad():
            # two images must reach the head as two rows
            module.eval()(torch.empty(2, 3, image_size, image_size, device="meta"))
    finally:
        handle.remove()
        module.train(was_training)
    # a head that is applied to each place of a map, or twice, sees other shapes or more of them
    if shapes != [(2, head.in_features)]:
        what, way_out = _who_needs(recipe)
        raise SpecError(
            f"{what} needs one row of features per image, the head of "
            f"{recipe.backbone} sees something else; {way_out}"
        )


def _who_needs(recipe: Recipe) -> tuple[str, str]:
    """What of a recipe needs a linear head, and the way out where there is none."""
    if recipe.is_fitted:
        return f"classifier: {recipe.classifier}", "take linear"
    # the first of them is enough to send somebody back
    for name in penalties_of(recipe):
        if name != "delta":
            return name, "take delta or l2_sp"
    raise AssertionError(recipe)
