"""The order in which a network calls its modules, and which of them a split point leaves behind.

Everything after `record_calls` is about names alone: `calls` is the list of module names in the
order of their calls, in which a module that is called twice stands twice.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from ablate.model.network import Network
from ablate.model.units import owner_of

Autocast = Callable[[], AbstractContextManager[None]]
"""Gives the context that training computes in."""
N_SHORTLY_BEFORE = 4
"""Frozen modules before the first that learns which are tried as the split point."""


def record_calls(module: nn.Module, images: Tensor, *, autocast: Autocast) -> list[str]:
    """Run `images` (B, 3, S, S) through a module and return the names that it called, in order."""
    calls: list[str] = []
    handles = []
    for name, child in module.named_modules():
        if name:
            # `name=name` binds now; a plain closure would see the last name of the loop
            hook = child.register_forward_pre_hook(lambda _m, _i, name=name: calls.append(name))
            handles.append(hook)
    try:
        with torch.no_grad(), autocast():
            # the order of calls does not depend on how many images there are, and two are cheap
            module(images[:2])
    finally:
        for handle in handles:
            handle.remove()
    return calls


def learning_modules(network: Network) -> set[str]:
    """Return the modules that own a parameter that learns, or BatchNorm statistics that move."""
    learning = set()
    for name, parameter in network.module.named_parameters():
        if parameter.requires_grad:
            learning.add(owner_of(name))
    # in training mode a BatchNorm moves its statistics without any gradient
    resting = set(map(id, network.boundary.resting))
    for name, child in network.module.named_modules():
        has_statistics = getattr(child, "running_mean", None) is not None
        if has_statistics and id(child) not in resting:
            learning.add(name)
    return learning


def first_called(calls: Sequence[str], modules: Collection[str]) -> str | None:
    """Return the first call of one of `modules`, or None."""
    return next((name for name in calls if name in modules), None)


def modules_around(first: str, calls: Sequence[str]) -> list[str]:
    """Return the module and the called modules that contain it, the innermost first."""
    around = {name for name in calls if is_within(first, name)}
    return sorted(around, key=len, reverse=True)


def modules_shortly_before(first: str, calls: Sequence[str]) -> list[str]:
    """Return the modules that run just before, the last one first, at most `N_SHORTLY_BEFORE`.

    What two heads share (distilled transformers) goes through the last of them. The suffix then
    begins with a few frozen modules.
    """
    before = [name for name in calls[: calls.index(first)] if not is_within(first, name)]
    # a module that is called several times counts once, where it is called last
    without_repeats = list(dict.fromkeys(reversed(before)))
    return without_repeats[:N_SHORTLY_BEFORE]


def skippable_before(point: str, calls: Sequence[str]) -> list[str]:
    """Return the outermost modules that are called before the split point and never after it."""
    start = calls.index(point)
    # a module that is called again behind the split point must run there
    late = set(calls[start:])
    early = []
    for name in dict.fromkeys(calls[:start]):
        if name not in late and not is_within(point, name):
            early.append(name)
    return [name for name in early if not is_inside_another(name, early)]


def is_within(name: str, ancestor: str) -> bool:
    """Whether a module is `ancestor` or below it; "" is the whole network."""
    return name == ancestor or ancestor == "" or name.startswith(ancestor + ".")


def is_inside_another(name: str, others: Collection[str]) -> bool:
    """Whether a module is below one of the others; being one of them does not count."""
    return any(other != name and is_within(name, other) for other in others)
