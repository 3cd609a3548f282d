"""L2-SP: fine-tuned weights are pulled towards where they started, instead of towards zero.

Li, Grandvalet and Davoine, "Explicit Inductive Bias for Transfer Learning", ICML 2018.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ablate.model.network import Network
from ablate.model.param_groups import pulled_parameters
from ablate.recipe.recipe import Recipe


def l2_sp_of(network: Network, recipe: Recipe) -> L2SP | None:
    """Return the starting point as it is now, where the recipe asks for it."""
    # Made before the first phase: all phases pull to the pretrained weights.
    return L2SP(network) if recipe.l2_sp > 0 else None


class L2SP:
    """The starting point: the trunk's weights before training; see `pulled_parameters`."""

    def __init__(self, network: Network) -> None:
        # By id, as the parameters are the same objects in every phase's network.
        self._start: dict[int, Tensor] = {}
        for parameter in pulled_parameters(network):
            self._start[id(parameter)] = parameter.detach().clone()

    @torch.no_grad()
    def add_gradient(self, network: Network, *, weight: float) -> None:
        """Add the gradient of `weight / 2 * |w - start|^2` to what the loss has left in `.grad`.

        Once a step, however many micro-batches it had.
        """
        pulled = []
        gradients = []
        for parameter in pulled_parameters(network):
            # Without a gradient the optimizer leaves it alone, and the pull must, too.
            if parameter.grad is not None:
                pulled.append(parameter)
                gradients.append(parameter.grad)
        # torch's foreach functions refuse an empty list
        if gradients:
            torch._foreach_add_(gradients, self._offsets(pulled), alpha=weight)

    @torch.no_grad()
    def penalty(self, network: Network, *, weight: float) -> float:
        """Return `weight / 2 * |w - start|^2` as it stands."""
        offsets = self._offsets(pulled_parameters(network))
        if not offsets:
            return 0.0
        # in float64: millions of small squares are summed
        squares = []
        for offset in offsets:
            squares.append(offset.double().square().sum())
        return 0.5 * weight * float(torch.stack(squares).sum())

    def _offsets(self, parameters: Sequence[nn.Parameter]) -> list[Tensor]:
        """How far each parameter is from its start."""
        if not parameters:
            return []
        weights = []
        start = []
        for parameter in parameters:
            weights.append(parameter.detach())
            start.append(self._start[id(parameter)])
        # one call for all of them: a loop would launch a kernel for each parameter
        return list(torch._foreach_sub(weights, start))
