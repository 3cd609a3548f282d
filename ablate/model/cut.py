"""The cut at the freeze boundary: prefix (frozen, computed once for many trials) and suffix (trained).

A network is cut without knowing its family. The *door* is the first module that is called and learns, or the smallest module around it for which the cut is
right; what goes into the door is the activation to keep. The prefix is the forward pass up to the door. The suffix is the same forward pass with every module
before the door replaced by a stub that returns zeros of the recorded shape, so that the network's own glue (position embeddings, rotary tables, reshapes) runs
as it always does, and with the kept activation handed to the door in place of what came of the zeros. Whether suffix(prefix(x)) is network(x) is checked on
real images; a network that fails runs uncut.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ablate.model.network import Network

TOLERANCE = 1e-4
"""Largest difference of logits, relative to the largest logit, that counts as the same network. It is 0 in practice: the arithmetic is the same."""


@dataclass(frozen=True, slots=True)
class Uncut:
    """The network cannot be cut, and why."""

    reason: str


class _AtDoorError(Exception):
    """Ends a forward pass at the door; never leaves this module."""


@dataclass(slots=True)
class _State:
    """What the hooks look at: nothing, stop at the door, or go on from a kept activation."""

    is_prefix: bool = False
    kept: Tensor | None = None
    seen: Tensor | None = None
    shapes: dict[str, torch.Size] = field(default_factory=dict)
    dtypes: dict[str, torch.dtype] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cut:
    """A network that can run in two parts; whole calls of its module work as before."""

    module: nn.Module
    door: str
    """Name of the first module of the suffix."""
    image_shape: torch.Size
    """(3, S, S)."""
    _state: _State

    def prefix(self, images: Tensor) -> Tensor:
        """Normalised images (B, 3, S, S) -> activations (B, ...) at the door, detached. Call it in eval mode of the prefix, under the autocast of training."""
        self._state.is_prefix = True
        try:
            with torch.no_grad(), suppress(_AtDoorError):
                self.module(images)
        finally:
            self._state.is_prefix = False
        seen, self._state.seen = self._state.seen, None
        assert seen is not None  # the door is called in every forward pass: `cut_network` checked it
        return seen

    def suffix(self, activations: Tensor) -> Tensor:
        """Activations (B, ...) -> logits (B, n_classes), with gradients for what trains."""
        self._state.kept = activations
        try:
            dummy = torch.zeros((), device=activations.device).expand(len(activations), *self.image_shape)
            logits: Tensor = self.module(dummy)
            return logits
        finally:
            self._state.kept = None


def cut_network(network: Network, images: Tensor, *, autocast: Callable[[], AbstractContextManager[None]]) -> Cut | Uncut:
    """Cut a network at its boundary, in place (its module keeps working as a whole), checked on real normalised `images` (B >= 2, 3, S, S) on its device.

    `autocast` gives the context that training computes in. The network is left in eval mode. The deepest door that passes the check is taken.
    """
    module = network.module.eval()
    calls = _calls(module, images, autocast=autocast)
    learners = _learners(network)
    first = next((name for name in calls if name in learners), None)
    if first is None:
        return Uncut("no called module learns")
    problem = "nothing is frozen before the first module that learns"
    for door in sorted((name for name in set(calls) if _is_within(first, name)), key=len, reverse=True):
        before = _stubbable(calls, door)
        if any(owner != door and _is_within(door, owner) for owner in learners) or not before or learners & set(before):
            continue
        cut = Cut(module, door, images.shape[1:], _State())
        undo = _install(cut, before)
        found = _difference(cut, images, autocast=autocast)
        if found is None:
            return cut
        problem = found
        for step in undo:
            step()
    return Uncut(problem)


def _learners(network: Network) -> set[str]:
    """Modules that own a parameter that learns, or BatchNorm statistics that move."""
    at_rest = {id(module) for module in network.boundary.resting}
    owners = {name.rpartition(".")[0] for name, parameter in network.module.named_parameters() if parameter.requires_grad}
    moving = {name for name, child in network.module.named_modules() if getattr(child, "running_mean", None) is not None and id(child) not in at_rest}
    return owners | moving


def _stubbable(calls: list[str], door: str) -> list[str]:
    """The outermost modules that are called before the door and never after it."""
    at_door = calls.index(door)
    late = set(calls[at_door:])
    early = [name for name in dict.fromkeys(calls[:at_door]) if name not in late and not _is_within(door, name)]
    return [name for name in early if not any(other != name and _is_within(name, other) for other in early)]


def _is_within(name: str, ancestor: str) -> bool:
    return name == ancestor or ancestor == "" or name.startswith(ancestor + ".")


def _calls(module: nn.Module, images: Tensor, *, autocast: Callable[[], AbstractContextManager[None]]) -> list[str]:
    """Names of the modules in the order of their calls."""
    calls: list[str] = []
    handles = [child.register_forward_pre_hook(lambda _m, _i, name=name: calls.append(name)) for name, child in module.named_modules() if name]
    try:
        with torch.no_grad(), autocast():
            module(images[:2])
    finally:
        for handle in handles:
            handle.remove()
    return calls


def _install(cut: Cut, before: list[str]) -> list[Callable[[], None]]:
    """Stub the modules before the door and guard the door; returns what undoes it."""
    state = cut._state
    undo: list[Callable[[], None]] = []
    for name in before:
        child = cut.module.get_submodule(name)
        child.forward = _stubbed(child.forward, name, state)
        undo.append(partial(delattr, child, "forward"))
    handle = cut.module.get_submodule(cut.door).register_forward_pre_hook(_guard(state))
    return [*undo, handle.remove]


def _stubbed(forward: Callable[..., Any], name: str, state: _State) -> Callable[..., Any]:
    def stub(*args: Any, **kwargs: Any) -> Any:
        if state.kept is not None:
            shape = state.shapes[name]
            return torch.zeros((), device=state.kept.device, dtype=state.dtypes[name]).expand(len(state.kept), *shape[1:])
        output = forward(*args, **kwargs)
        if state.is_prefix:
            if not isinstance(output, Tensor):
                raise TypeError(f"{name} returns {type(output).__name__}")
            state.shapes[name], state.dtypes[name] = output.shape, output.dtype
        return output

    return stub


def _guard(state: _State) -> Callable[[nn.Module, tuple[Any, ...]], tuple[Any, ...] | None]:
    def guard(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if state.is_prefix:
            state.seen = inputs[0].detach()
            raise _AtDoorError
        if state.kept is not None:
            return (state.kept, *inputs[1:])
        return None

    return guard


def _difference(cut: Cut, images: Tensor, *, autocast: Callable[[], AbstractContextManager[None]]) -> str | None:
    """Say how suffix(prefix(x)) differs from network(x), or return None. Two batch sizes: a stub that forgets the batch would pass on one."""
    with torch.no_grad(), autocast():
        for batch in (images, images[: max(1, len(images) // 2)]):
            whole = cut.module(batch).float()
            try:
                parts = cut.suffix(cut.prefix(batch)).float()
            except (TypeError, RuntimeError, AttributeError, KeyError, IndexError, AssertionError) as error:
                return f"its forward pass cannot be cut: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            if parts.shape != whole.shape or not (parts - whole).abs().max() <= TOLERANCE * whole.abs().max().clamp(min=1e-6):
                return "suffix(prefix(x)) differs from network(x)"
    return None
