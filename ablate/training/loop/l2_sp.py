"""L2-SP: fine-tuned weights are pulled towards where they started, instead of towards zero (Li, Grandvalet and Davoine, ICML 2018)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ablate.model.network import Network
from ablate.model.param_groups import pulled_parameters


class StartingPoint:
    """The trunk's weights before training, those that L2-SP holds: see `pulled_parameters`."""

    def __init__(self, network: Network) -> None:
        self._start = {
            id(parameter): parameter.detach().clone() for parameter in pulled_parameters(network)
        }

    @torch.no_grad()
    def add_gradient(self, network: Network, *, weight: float) -> None:
        """Add the gradient of `weight / 2 * |w - start|^2` to what the loss has left in `.grad`; once a step, however many micro-batches it had."""
        pulled = [
            parameter for parameter in pulled_parameters(network) if parameter.grad is not None
        ]
        gradients = [parameter.grad for parameter in pulled if parameter.grad is not None]
        if gradients:
            torch._foreach_add_(gradients, self._away(pulled), alpha=weight)

    @torch.no_grad()
    def penalty(self, network: Network, *, weight: float) -> float:
        """Return `weight / 2 * |w - start|^2` as it stands."""
        away = self._away(pulled_parameters(network))
        return (
            0.5 * weight * float(torch.stack([one.double().square().sum() for one in away]).sum())
            if away
            else 0.0
        )

    def _away(self, parameters: Sequence[nn.Parameter]) -> list[Tensor]:
        start = [self._start[id(parameter)] for parameter in parameters]
        return (
            list(torch._foreach_sub([parameter.detach() for parameter in parameters], start))
            if parameters
            else []
        )
