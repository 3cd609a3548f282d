"""The delta: what a trial changed. Backbone + delta rebuilds the network."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ablate.errors import WeightsError
from ablate.model.network import Network


def delta(network: Network) -> dict[str, Tensor]:
    """Return copies on the CPU of every parameter that the network's boundary leaves free and every persistent buffer that training may have moved, by name."""
    return {
        name: tensor.detach().cpu().clone().contiguous()
        for name, tensor in movable(network).items()
    }


def load_delta(network: Network, state: Mapping[str, Tensor]) -> None:
    """Copy a delta into a network built from the same recipe. Raises WeightsError, changing nothing, unless names and shapes are exactly those of its own."""
    own = movable(network)
    strays = sorted(own.keys() ^ state.keys())
    misshapen = [
        name for name, tensor in own.items() if name in state and state[name].shape != tensor.shape
    ]
    if strays or misshapen:
        raise WeightsError(
            f"a delta must hold exactly the tensors that the recipe trains, it differs in {strays + misshapen}; was it saved by another recipe?"
        )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(state[name])


def movable(network: Network) -> dict[str, Tensor]:
    """Return the tensors themselves that training may move, by name."""
    module = network.module
    frozen = frozenset(
        network.boundary.frozen_names
    )  # not requires_grad: an earlier phase of training may still hold what a later one thaws
    trainable = {
        name: parameter for name, parameter in module.named_parameters() if name not in frozen
    }
    at_rest = {id(resting) for resting in network.boundary.resting}
    owners = {name: child for name, child in module.named_modules() if id(child) not in at_rest}
    persistent = module.state_dict(keep_vars=True)
    moving = {
        name: tensor
        for name, tensor in module.named_buffers()
        if name in persistent and name.rpartition(".")[0] in owners
    }
    return {**trainable, **moving}
