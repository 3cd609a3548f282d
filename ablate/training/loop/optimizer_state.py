"""The state of an optimizer as tensors and plain values by name, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

_SET_EACH_TIME = {"params", "lr", "name"}
"""Of an optimizer's groups: made with it, or set by the schedule before every step."""


def optimizer_state(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of a state, on the CPU, and what is no tensor.

    State of parameters is named `<index>.<name>`, that of groups `group<index>.<name>`.
    """
    tensors: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    for owner, state in _states_by_owner(optimizer).items():
        for name, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"{owner}.{name}"] = value.detach().cpu().contiguous().clone()
            # What is neither, such as AdamW's pair of betas, is made with the optimizer.
            elif value is None or isinstance(value, bool | int | float | str):
                values[f"{owner}.{name}"] = value
    return tensors, values


def _states_by_owner(optimizer: torch.optim.Optimizer) -> dict[object, dict[str, Any]]:
    """Index of a parameter, or `group<index>` -> its state by name."""
    described = optimizer.state_dict()
    owners: dict[object, dict[str, Any]] = {**described["state"]}
    for index, group in enumerate(described["param_groups"]):
        kept = dict(group)
        for name in _SET_EACH_TIME:
            kept.pop(name, None)
        # some optimizers count steps in their groups
        owners[f"group{index}"] = kept
    return owners


def load_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], values: Mapping[str, Any]
) -> None:
    """Put back what `optimizer_state` returned.

    Learning rates stay: the schedule sets them before every step.
    """
    # torch numbers parameters through all groups, in their order
    parameters: list[Tensor] = []
    for group in optimizer.param_groups:
        parameters += group["params"]
    state: dict[int, dict[str, Any]] = {}
    for key, value in [*tensors.items(), *values.items()]:
        owner, _, name = key.partition(".")
        if owner.startswith("group"):
            optimizer.param_groups[int(owner.removeprefix("group"))][name] = value
        else:
            index = int(owner)
            state.setdefault(index, {})[name] = _like(parameters[index], value)
    # torch casts the state to each parameter's device
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _like(parameter: Tensor, value: Any) -> Any:
    """The state of a parameter in the parameter's own memory layout.

    Fused optimizers walk both as flat memory, and channels_last is not contiguous.
    """
    if isinstance(value, Tensor) and value.shape == parameter.shape and value.ndim:
        return torch.empty_like(parameter, dtype=value.dtype).copy_(value)
    return value
