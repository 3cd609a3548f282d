"""What a frozen prefix costs to compute and to keep.

Counted on torch's meta device: no weights, no memory, and the same answer on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from ablate.model.backbone import create_backbone, head_names_of
from ablate.model.backbone_facts import PrefixCost
from ablate.model.units import find_units, owner_of


@dataclass(frozen=True, slots=True)
class _Event:
    """A module is called, or a layer has computed."""

    module: str
    n_values: int = 0
    """Values that go in, at a call."""
    n_multiply_adds: int = 0
    """What it took, at its end."""


def cost_of_depth(backbone: str, image_size: int, depth: int) -> PrefixCost:
    """Return the cost of the `depth` leading units, in [0, n_units].

    That is the cost of all that is called before the first module behind them.
    """
    events, modules_of_units = _trace(backbone, image_size)
    # never empty: the head is the last group
    behind = set().union(*modules_of_units[depth:])
    first = next(event.module for event in events if event.module in behind)
    return _cost_before(first, events)


def cost_before(backbone: str, image_size: int, split_point: str) -> PrefixCost:
    """Return the cost of all that is called before a module. Raises KeyError if it never is."""
    events, _ = _trace(backbone, image_size)
    return _cost_before(split_point, events)


def is_worth_keeping(backbone: str, image_size: int, split_point: str, *, device: str) -> bool:
    """Whether what goes into a module is cheaper to keep than to compute again."""
    try:
        return cost_before(backbone, image_size, split_point).is_worth_keeping(device)
    except KeyError:
        # a module that the bare backbone does not have, such as an adapter: all of it is before
        return True


def _cost_before(split_point: str, events: Sequence[_Event]) -> PrefixCost:
    n_multiply_adds = 0
    for event in events:
        # a module's call comes before its end, so that its own work is not counted
        if event.module == split_point:
            return PrefixCost(event.n_values, n_multiply_adds)
        n_multiply_adds += event.n_multiply_adds
    raise KeyError(split_point)


@lru_cache(maxsize=64)
def _trace(backbone: str, image_size: int) -> tuple[tuple[_Event, ...], tuple[frozenset[str], ...]]:
    """One image's way through a backbone, and the modules of each unit and of the head."""
    events: list[_Event] = []
    with torch.device("meta"), torch.no_grad():
        # two classes: a prefix ends before the head, whose size is not asked for
        module = create_backbone(backbone, n_classes=2, image_size=image_size).eval()
        for name, child in module.named_modules():
            child.register_forward_pre_hook(partial(_record_call, events, name))
            # 1d to 3d convolutions have this private base alone in common
            if isinstance(child, nn.Linear | nn.modules.conv._ConvNd):
                child.register_forward_hook(partial(_record_end, events, name))
        module(torch.empty(1, 3, image_size, image_size))
    # the head is the last group: what a linear probe begins with
    head_names = head_names_of(module)
    groups = [unit.parameter_names for unit in find_units(module, head_names)]
    groups.append(head_names)
    owners = []
    for names in groups:
        owners.append(frozenset(map(owner_of, names)))
    return tuple(events), tuple(owners)


def _record_call(
    events: list[_Event], name: str, _module: nn.Module, inputs: tuple[Any, ...]
) -> None:
    # containers are called with lists, and some modules with keywords alone
    if inputs and isinstance(inputs[0], Tensor):
        n_values = inputs[0].numel()
    else:
        n_values = 0
    events.append(_Event(name, n_values=n_values))


def _record_end(
    events: list[_Event], name: str, layer: nn.Module, _inputs: object, output: Tensor
) -> None:
    weight = layer.weight
    assert isinstance(weight, Tensor)
    # each value of the output is a sum over one row (Linear) or one kernel (convolution)
    events.append(_Event(name, n_multiply_adds=output.numel() * weight[0].numel()))
