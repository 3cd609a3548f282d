"""The cut at the freeze boundary: prefix (frozen, computed once for many trials) and suffix (trained).

A network is cut without knowing its family. The *door* is the first module that is called and learns, or the smallest module around it for which the cut is
right, or a frozen module just before it; what goes into the door is the activation to keep. The prefix is the forward pass up to the door. The suffix is the
same forward pass with every module before the door replaced by a stub that returns zeros of the recorded shape, so that the network's own glue (position
embeddings, rotary tables, reshapes) runs as it always does, and with the kept activation handed to the door in place of what came of the zeros. Whether
suffix(prefix(x)) is network(x) is checked on real images; a network that fails runs uncut. Earlier doors, where other trials cut, can be kept in the same pass,
and a later door reached from them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ablate.model.network import Network

TOLERANCE = 1e-4
"""Largest difference of logits, relative to the largest logit, that counts as the same network. It is 0 in practice: the arithmetic is the same."""
N_BEFORE = 4
"""Frozen modules before the first that learns which are tried as the door."""
Autocast = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class Uncut:
    """The network cannot be cut, and why."""

    reason: str


class _AtDoorError(Exception):
    """Ends a forward pass at the last door; never leaves this module."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """Shape without the batch, and dtype, of a tensor."""

    shape: tuple[int, ...]
    dtype: torch.dtype


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where to cut networks of one structure: found once, used for every trial that has it."""

    doors: tuple[str, ...]
    """In the order of their calls; the last one is the trial's own."""
    stubs: dict[str, frozenset[int]]
    """Module -> numbers of the doors before which it can be left out."""
    kinds: dict[str, _Kind] = field(default_factory=dict)
    """What each stub returns."""
    rows: dict[int, _Kind] = field(default_factory=dict)
    """What goes into each door."""


@dataclass(slots=True)
class _State:
    """What stubs and doors look at."""

    start: int | None = None
    """Door from which a kept activation goes on."""
    stop: int | None = None
    """Door at which the pass ends."""
    kept: Tensor | None = None
    seen: dict[int, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cut:
    """A network that can run in parts; whole calls of its module work as before."""

    module: nn.Module
    image_shape: torch.Size
    """(3, S, S)."""
    _plan: _Plan
    _state: _State
    undo: Callable[[], None]
    """Take stubs and guards out again; the parts are of no use afterwards."""

    @property
    def doors(self) -> tuple[str, ...]:
        """Names of the doors in the order of their calls; the suffix begins at the last."""
        return self._plan.doors

    def row_bytes(self, door: int) -> int:
        """Bytes of one image's activation at a door."""
        kind = self._plan.rows[door]
        return torch.Size(kind.shape).numel() * kind.dtype.itemsize

    def row_text(self, door: int) -> str:
        """e.g. `320x7x7 bfloat16`."""
        kind = self._plan.rows[door]
        return f"{'x'.join(map(str, kind.shape))} {str(kind.dtype).removeprefix('torch.')}"

    def prefix(self, images: Tensor) -> tuple[Tensor, ...]:
        """Normalised images (B, 3, S, S) -> activations (B, ...) at every door, detached. Call it under the autocast of training."""
        return self._run(images, start=None)

    def advance(self, activations: Tensor, *, door: int) -> Tensor:
        """Activations at an earlier door -> activations at the last one, detached."""
        return self._run(activations, start=door)[-1]

    def suffix(self, activations: Tensor) -> Tensor:
        """Activations (B, ...) at the last door -> logits (B, n_classes), with gradients for what trains."""
        state = self._state
        state.start, state.kept = len(self.doors) - 1, activations
        try:
            logits: Tensor = self.module(self._dummy(activations))
            return logits
        finally:
            state.start = state.kept = None

    def _run(self, inputs: Tensor, *, start: int | None) -> tuple[Tensor, ...]:
        state = self._state
        state.start, state.stop, state.kept = (
            start,
            len(self.doors) - 1,
            None if start is None else inputs,
        )
        try:
            with torch.no_grad(), suppress(_AtDoorError):
                self.module(inputs if start is None else self._dummy(inputs))
            return tuple(state.seen[door] for door in sorted(state.seen))
        finally:
            state.start = state.stop = state.kept = None
            state.seen = {}

    def _dummy(self, activations: Tensor) -> Tensor:
        return torch.zeros((), device=activations.device).expand(
            len(activations), *self.image_shape
        )


_plans: dict[Hashable, _Plan | Uncut] = {}


def cut_network(
    network: Network,
    images: Tensor,
    *,
    autocast: Autocast,
    waypoints: Sequence[int] = (),
    structure: Hashable = None,
) -> Cut | Uncut:
    """Cut a network at its boundary, in place (its module keeps working as a whole), checked on real normalised `images` (B >= 2, 3, S, S) on its device.

    `autocast` gives the context that training computes in. `waypoints` are freeze depths of other trials whose doors are kept on the way. Networks of equal
    `structure` (anything hashable that names all that decides the pass: backbone, weights, what computes) are searched and checked once a process. The network
    is left in eval mode. The deepest door that passes the check is taken.
    """
    learners = _learners(network)
    module = network.module.eval()
    names = tuple(
        name for name, _ in module.named_modules()
    )  # stochastic depth adds some that the pass does not depend on
    key = (structure, names, tuple(sorted(learners)), tuple(waypoints), images.shape[1:])
    plan = _plans.get(key) if structure is not None else None
    if plan is None:
        plan = _find_plan(network, learners, images, autocast=autocast, waypoints=waypoints)
        if structure is not None:
            _plans[key] = plan
    return plan if isinstance(plan, Uncut) else _install(module, images.shape[1:], plan)


def _find_plan(
    network: Network,
    learners: set[str],
    images: Tensor,
    *,
    autocast: Autocast,
    waypoints: Sequence[int],
) -> _Plan | Uncut:
    """The deepest door around the first learner for which the two parts are the whole, and the waypoints from which it can be reached."""
    calls = _calls(network.module, images, autocast=autocast)
    first = next((name for name in calls if name in learners), None)
    if first is None:
        return Uncut("no called module learns")
    problem = "nothing is frozen before the first module that learns"
    for door in [*_around(first, calls), *_shortly_before(first, calls)]:
        before = _stubbable(calls, door)
        if (
            any(owner != door and _is_within(door, owner) for owner in learners)
            or not before
            or learners & set(before)
        ):
            continue
        plan = _Plan((door,), dict.fromkeys(before, frozenset({0})))
        found = _problem(network.module, plan, images, autocast=autocast)
        if found is None:
            return _with_waypoints(
                network, plan, calls, images, autocast=autocast, waypoints=waypoints
            )
        problem = found
    return Uncut(problem)


def _with_waypoints(
    network: Network,
    plan: _Plan,
    calls: list[str],
    images: Tensor,
    *,
    autocast: Autocast,
    waypoints: Sequence[int],
) -> _Plan:
    """The same plan with earlier doors where trials of other freeze depths have theirs, as far as the last door can be reached from them."""
    for depth in sorted(set(waypoints) - {0}, reverse=True):
        owners = {
            name.rpartition(".")[0]
            for unit in network.units[depth:]
            for name in unit.parameter_names
        }
        first = next((name for name in calls if name in owners), None)
        if first is None:
            continue
        for door in _around(first, calls):
            before = _stubbable(calls, door)
            if (
                not before
                or calls.index(door) >= calls.index(plan.doors[0])
                or any(_is_within(later, door) for later in plan.doors)
            ):
                continue
            candidate = _Plan((door, *plan.doors), _merged(before, plan.stubs))
            if _problem(network.module, candidate, images, autocast=autocast) is None:
                plan = candidate
                break
    return plan


def _merged(
    before: Sequence[str], stubs: Mapping[str, frozenset[int]]
) -> dict[str, frozenset[int]]:
    """Stubs of a plan with one door more in front: the others move up by one."""
    later = {name: frozenset(number + 1 for number in numbers) for name, numbers in stubs.items()}
    return {
        name: later.get(name, frozenset()) | (frozenset({0}) if name in before else frozenset())
        for name in {**later, **dict.fromkeys(before)}
    }


def _around(first: str, calls: list[str]) -> list[str]:
    """The module and the called modules around it, the innermost first."""
    return sorted((name for name in set(calls) if _is_within(first, name)), key=len, reverse=True)


def _shortly_before(first: str, calls: list[str]) -> list[str]:
    """Frozen modules that run just before, the last one first: what two heads share (distilled transformers) goes through the last of them.

    The suffix then begins with a few frozen modules.
    """
    before = [name for name in calls[: calls.index(first)] if not _is_within(first, name)]
    return list(dict.fromkeys(reversed(before)))[:N_BEFORE]


def _learners(network: Network) -> set[str]:
    """Modules that own a parameter that learns, or BatchNorm statistics that move."""
    at_rest = {id(module) for module in network.boundary.resting}
    owners = {
        name.rpartition(".")[0]
        for name, parameter in network.module.named_parameters()
        if parameter.requires_grad
    }
    moving = {
        name
        for name, child in network.module.named_modules()
        if getattr(child, "running_mean", None) is not None and id(child) not in at_rest
    }
    return owners | moving


def _stubbable(calls: list[str], door: str) -> list[str]:
    """The outermost modules that are called before the door and never after it."""
    at_door = calls.index(door)
    late = set(calls[at_door:])
    early = [
        name
        for name in dict.fromkeys(calls[:at_door])
        if name not in late and not _is_within(door, name)
    ]
    return [
        name
        for name in early
        if not any(other != name and _is_within(name, other) for other in early)
    ]


def _is_within(name: str, ancestor: str) -> bool:
    return name == ancestor or ancestor == "" or name.startswith(ancestor + ".")


def _calls(module: nn.Module, images: Tensor, *, autocast: Autocast) -> list[str]:
    """Names of the modules in the order of their calls."""
    calls: list[str] = []
    handles = [
        child.register_forward_pre_hook(lambda _m, _i, name=name: calls.append(name))
        for name, child in module.named_modules()
        if name
    ]
    try:
        with torch.no_grad(), autocast():
            module(images[:2])
    finally:
        for handle in handles:
            handle.remove()
    return calls


def _install(module: nn.Module, image_shape: torch.Size, plan: _Plan) -> Cut:
    """Stub what can be left out and guard the doors; returns the cut, which can undo it."""
    state = _State()
    undo: list[Callable[[], object]] = []
    for name, numbers in plan.stubs.items():
        child = module.get_submodule(name)
        own = vars(child).get("forward")
        undo.append(
            partial(delattr, child, "forward")
            if own is None
            else partial(setattr, child, "forward", own)
        )
        child.forward = _stubbed(child.forward, name, numbers, plan, state)
    for number, name in enumerate(plan.doors):
        undo.append(
            module.get_submodule(name).register_forward_pre_hook(_guard(number, plan, state)).remove
        )

    def undo_all() -> None:
        for step in reversed(undo):
            step()

    return Cut(module, image_shape, plan, state, undo_all)


def _stubbed(
    forward: Callable[..., Any], name: str, numbers: frozenset[int], plan: _Plan, state: _State
) -> Callable[..., Any]:
    def stub(*args: Any, **kwargs: Any) -> Any:
        if state.start in numbers and state.kept is not None:
            kind = plan.kinds[name]
            return torch.zeros((), device=state.kept.device, dtype=kind.dtype).expand(
                len(state.kept), *kind.shape
            )
        output = forward(*args, **kwargs)
        if state.stop is not None and name not in plan.kinds:
            if not isinstance(output, Tensor):
                raise TypeError(f"{name} returns {type(output).__name__}")
            plan.kinds[name] = _Kind(tuple(output.shape[1:]), output.dtype)
        return output

    return stub


def _guard(
    number: int, plan: _Plan, state: _State
) -> Callable[[nn.Module, tuple[Any, ...]], tuple[Any, ...] | None]:
    def guard(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if state.stop is not None and state.start != number:
            state.seen[number] = inputs[0].detach()
            plan.rows.setdefault(number, _Kind(tuple(inputs[0].shape[1:]), inputs[0].dtype))
            if number == state.stop:
                raise _AtDoorError
        if state.kept is not None and state.start == number:
            return (state.kept, *inputs[1:])
        return None

    return guard


def _problem(module: nn.Module, plan: _Plan, images: Tensor, *, autocast: Autocast) -> str | None:
    """Say how the parts differ from the whole, or return None. Two batch sizes: a stub that forgets the batch would pass on one."""
    cut = _install(module, images.shape[1:], plan)
    try:
        with torch.no_grad(), autocast():
            for batch in (images, images[: max(1, len(images) // 2)]):
                whole = module(batch).float()
                rows = cut.prefix(batch)
                if len(rows) != len(plan.doors):
                    return "a door is not passed on the way to the next"
                ends = [
                    rows[-1],
                    *(cut.advance(row, door=number) for number, row in enumerate(rows[:-1])),
                ]
                if not all(_is_same(cut.suffix(end).float(), whole) for end in ends):
                    return "suffix(prefix(x)) differs from network(x)"
    except (TypeError, RuntimeError, AttributeError, KeyError, IndexError, AssertionError) as error:
        return f"its forward pass cannot be cut: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    finally:
        cut.undo()
    return None


def _is_same(parts: Tensor, whole: Tensor) -> bool:
    return parts.shape == whole.shape and bool(
        (parts - whole).abs().max() <= TOLERANCE * whole.abs().max().clamp(min=1e-6)
    )
