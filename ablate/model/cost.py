"""What a frozen prefix costs to compute and to keep, counted on torch's meta device: no weights, no memory, and the same answer on every machine."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from ablate.model.backbone import classifier_names, create_backbone
from ablate.model.facts import PrefixCost
from ablate.model.units import find_units

_Call = tuple[str, int, int]
"""Module, values that go in (a call), multiply-adds that it took (its end)."""


def cost_of_depth(backbone: str, image_size: int, depth: int) -> PrefixCost:
    """Return the cost of the `depth` leading units, in [0, n_units]: of all that is called before the first module behind them."""
    calls, owners = _pass(backbone, image_size)
    learners = set().union(*owners[depth:])
    return next(_before(name, calls) for name, _, _ in calls if name in learners)


def cost_before(backbone: str, image_size: int, door: str) -> PrefixCost:
    """Return the cost of all that is called before a module. Raises KeyError for one that is not called."""
    calls, _ = _pass(backbone, image_size)
    return _before(door, calls)


def is_worth_keeping(backbone: str, image_size: int, door: str, *, device: str) -> bool:
    """Whether what goes into a module is cheaper to keep than to compute again. True for a module that the bare backbone does not have: all of it is before."""
    try:
        return cost_before(backbone, image_size, door).is_worth_keeping(device)
    except KeyError:
        return True


def _before(door: str, calls: tuple[_Call, ...]) -> PrefixCost:
    spent = 0
    for name, n_values, multiply_adds in calls:
        if name == door:
            return PrefixCost(n_values, spent)
        spent += multiply_adds
    raise KeyError(door)


@lru_cache(maxsize=64)
def _pass(backbone: str, image_size: int) -> tuple[tuple[_Call, ...], tuple[frozenset[str], ...]]:
    """One image's way through a backbone: what is called, and the modules of each unit and of the head."""
    calls: list[_Call] = []
    with torch.device("meta"), torch.no_grad():
        module = create_backbone(backbone, n_classes=2, image_size=image_size).eval()
        for name, child in module.named_modules():
            child.register_forward_pre_hook(
                lambda _module, inputs, name=name: calls.append((name, _n_values(inputs), 0))
            )
            if isinstance(child, nn.Linear | nn.modules.conv._ConvNd):
                child.register_forward_hook(
                    lambda layer, _inputs, output, name=name: calls.append(
                        (name, 0, _multiply_adds(layer, output))
                    )
                )
        module(torch.empty(1, 3, image_size, image_size))
    prefixes = tuple(f"{name}." for name in classifier_names(module))
    heads = tuple(name for name, _ in module.named_parameters() if name.startswith(prefixes))
    groups = [unit.parameter_names for unit in find_units(module, heads)] + [heads]
    return tuple(calls), tuple(
        frozenset(name.rpartition(".")[0] for name in group) for group in groups
    )


def _n_values(inputs: tuple[Any, ...]) -> int:
    return inputs[0].numel() if inputs and isinstance(inputs[0], Tensor) else 0


def _multiply_adds(layer: nn.Module, output: Tensor) -> int:
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return output.numel() * weight[0].numel()
