"""The delta: what a trial changed. Backbone + delta rebuilds the network."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ablate.errors import WeightsError
from ablate.model.network import Network


def delta(network: Network) -> dict[str, Tensor]:
    """Return copies on the CPU of every tensor that training may have moved, by name.

    Those are the parameters that the network's boundary leaves free, and persistent buffers.
    """
    copies = {}
    for name, tensor in movable(network).items():
        # a clone: on the CPU `cpu()` is the tensor itself, which goes on being trained
        copy = tensor.detach().cpu().clone()
        # safetensors writes contiguous tensors alone
        copies[name] = copy.contiguous()
    return copies


def load_delta(network: Network, state: Mapping[str, Tensor]) -> None:
    """Copy a delta into a network built from the same recipe.

    Raises WeightsError, changing nothing, unless names and shapes are exactly those that it has.
    """
    tensors = movable(network)
    # names on one side only: of another recipe, or of another version of the code
    strays = sorted(tensors.keys() ^ state.keys())
    misshapen = []
    # all is checked before anything is copied
    for name, tensor in tensors.items():
        if name in state and state[name].shape != tensor.shape:
            misshapen.append(name)
    if strays or misshapen:
        raise WeightsError(
            "a delta must hold exactly the tensors that the recipe trains, it differs in "
            f"{strays + misshapen}; was it saved by another recipe?"
        )
    with torch.no_grad():
        for name, tensor in tensors.items():
            # in place: optimizer and averages hold the same tensors
            tensor.copy_(state[name])


def movable(network: Network) -> dict[str, Tensor]:
    """Return the tensors themselves that training may move, by name."""
    # not requires_grad: an earlier phase of training may still hold what a later one thaws
    frozen = frozenset(network.boundary.frozen_names)
    resting = set(map(id, network.boundary.resting))
    parameters: dict[str, Tensor] = {}
    buffers: dict[str, Tensor] = {}
    # one walk through the modules: a trial asks at every epoch that is its best so far
    for prefix, child in network.module.named_modules():
        start = f"{prefix}." if prefix else ""
        for leaf, parameter in child._parameters.items():
            if parameter is not None and start + leaf not in frozen:
                parameters[start + leaf] = parameter
        if id(child) in resting:
            continue
        for leaf, buffer in child._buffers.items():
            # buffers that are computed at construction (relative positions) are in no state dict
            if buffer is not None and leaf not in child._non_persistent_buffers_set:
                buffers[start + leaf] = buffer
    return _distinct(parameters) | _distinct(buffers)


def _distinct(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors without those that come again under another name, as torch counts them."""
    names: dict[int, str] = {}
    for name, tensor in tensors.items():
        names.setdefault(id(tensor), name)
    return {name: tensors[name] for name in names.values()}
