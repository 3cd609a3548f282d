"""The exponential moving average of weights (Polyak averaging; Tarvainen & Valpola 2017).

It is scored and kept where a recipe asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor

from ablate.model.delta import movable
from ablate.model.network import Network
from ablate.recipe.recipe import Recipe


def ema_of(network: Network, recipe: Recipe) -> EMA | None:
    """Return a mean that begins with the weights as they are, where the recipe asks for it."""
    return EMA(network, decay=recipe.ema_decay) if recipe.ema_decay > 0 else None


class EMA:
    """mean <- decay * mean + (1 - decay) * weights after every step, from a phase's start on.

    Over all that training may move, BatchNorm's running statistics too, as in timm's ModelEmaV3;
    whole numbers (BatchNorm's counters) are the network's own.
    """

    def __init__(self, network: Network, *, decay: float) -> None:
        self._decay = decay
        # The network's own tensors, not copies: they show the weights after every step.
        self._live = movable(network)
        self.tensors = copies(self._live)

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after a step."""
        means = []
        weights = []
        for name, tensor in self._live.items():
            if tensor.is_floating_point():
                means.append(self.tensors[name])
                weights.append(tensor)
            else:
                self.tensors[name].copy_(tensor)
        # one call for all tensors instead of one for each
        torch._foreach_lerp_(means, weights, 1.0 - self._decay)

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from a mean that was kept."""
        # Into the tensors that are there, which may lie on a GPU.
        for name, tensor in self.tensors.items():
            tensor.copy_(tensors[name])

    def in_place(self) -> AbstractContextManager[None]:
        """Put the mean into the network; the weights come back at the end, bit for bit."""
        return in_place(self._live, self.tensors)


@contextmanager
def in_place(live: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> Iterator[None]:
    """Put the values of `others` into `live`; those that were there come back, bit for bit."""
    # Copied out and back in: undoing by arithmetic would round.
    weights = copies(live)
    _fill(live, others)
    try:
        yield
    finally:
        _fill(live, weights)


@torch.no_grad()
def _fill(live: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    for name, tensor in live.items():
        tensor.copy_(values[name])


def copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Clones of tensors by name, detached."""
    copies = {}
    for name, tensor in tensors.items():
        copies[name] = tensor.detach().clone()
    return copies
