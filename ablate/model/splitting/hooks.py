"""What is put into a module so that it can run in two parts: placeholders and guards.

A *placeholder* takes the place of a module's forward pass. While the suffix runs it returns zeros
of the recorded shape and dtype; otherwise it runs the module. A *guard* stands at a split point.
While the prefix runs it records what comes in, and at the last point it ends the pass; while the
suffix runs it replaces what came of the zeros by the kept activation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

Undo = Callable[[], object]
Guard = Callable[[nn.Module, tuple[Any, ...]], tuple[Any, ...] | None]


class LastPointReached(Exception):
    """No error: ends a forward pass at the last split point; never leaves `splitting`."""


@dataclass(frozen=True, slots=True)
class TensorKind:
    """Shape without the batch, and dtype, of a tensor."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    @classmethod
    def of(cls, tensor: Tensor) -> TensorKind:
        """Return the kind of a tensor (B, ...)."""
        return cls(tuple(tensor.shape[1:]), tensor.dtype)

    @property
    def n_bytes(self) -> int:
        """Bytes of one row."""
        return torch.Size(self.shape).numel() * self.dtype.itemsize

    def zeros(self, n_rows: int, *, device: torch.device) -> Tensor:
        """Return zeros (n_rows, *shape) that take the memory of one value."""
        return torch.zeros((), device=device, dtype=self.dtype).expand(n_rows, *self.shape)

    def __str__(self) -> str:
        """E.g. `320x7x7 bfloat16`."""
        sizes = "x".join(map(str, self.shape))
        return f"{sizes} {str(self.dtype).removeprefix('torch.')}"


@dataclass(frozen=True, slots=True)
class SplitPlan:
    """Where to split networks of one structure: found once, used for every trial that has it."""

    points: tuple[str, ...]
    """Split points in the order of their calls; the last one is the trial's own boundary."""
    skipped: dict[str, frozenset[int]]
    """Module -> positions in `points` before which it can be left out."""
    outputs: dict[str, TensorKind] = field(default_factory=dict)
    """What each skipped module returns; filled by the first prefix that runs."""
    inputs: dict[int, TensorKind] = field(default_factory=dict)
    """Position in `points` -> what goes in there; filled likewise."""
    ends_at_last: bool = False
    """Whether the module at the last split point is all that the suffix has to run."""


@dataclass(slots=True)
class PassState:
    """What placeholders and guards look at during a forward pass."""

    start: int | None = None
    """Split point from which a kept activation goes on."""
    stop: int | None = None
    """Split point at which the pass ends."""
    kept: Tensor | None = None
    """The kept activation (B, ...)."""
    seen: dict[int, Tensor] = field(default_factory=dict)
    """Split point -> the activation (B, ...) that came in there."""

    def reset(self) -> None:
        """Let the next call run the whole network."""
        self.start = None
        self.stop = None
        self.kept = None
        self.seen = {}


def install_hooks(module: nn.Module, plan: SplitPlan, state: PassState) -> Callable[[], None]:
    """Put placeholders and guards into a module, in place; returns what takes them out again."""
    steps: list[Undo] = []
    for name, points in plan.skipped.items():
        child = module.get_submodule(name)
        steps.append(_restore_forward(child))
        # on the instance: `Module.__call__` finds it there, and the module's own hooks still run
        child.forward = _placeholder(child.forward, name, points, plan, state)
    for point, name in enumerate(plan.points):
        guard = _guard(point, plan, state)
        # before other hooks: dropout of the features must see the kept activation, not zeros
        child = module.get_submodule(name)
        steps.append(child.register_forward_pre_hook(guard, prepend=True).remove)

    def undo() -> None:
        for step in reversed(steps):
            step()

    return undo


def _restore_forward(child: nn.Module) -> Undo:
    """What puts back a module's forward, which usually is its class's and not in its `__dict__`."""
    instance_forward = vars(child).get("forward")
    if instance_forward is None:
        return partial(delattr, child, "forward")
    return partial(setattr, child, "forward", instance_forward)


def _placeholder(
    forward: Callable[..., Any],
    name: str,
    points: frozenset[int],
    plan: SplitPlan,
    state: PassState,
) -> Callable[..., Any]:
    def forward_or_zeros(*args: Any, **kwargs: Any) -> Any:
        # a suffix: what comes of this module is replaced at the split point
        # `start` is None in a whole pass and in a prefix, and None is in no set of positions
        if state.start in points and state.kept is not None:
            return plan.outputs[name].zeros(len(state.kept), device=state.kept.device)
        output = forward(*args, **kwargs)
        # the first prefix that runs finds out what the zeros will have to look like
        if state.stop is not None and name not in plan.outputs:
            # zeros can stand for a tensor alone
            if not isinstance(output, Tensor):
                raise TypeError(f"{name} returns {type(output).__name__}")
            plan.outputs[name] = TensorKind.of(output)
        return output

    return forward_or_zeros


def _guard(point: int, plan: SplitPlan, state: PassState) -> Guard:
    def guard(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        # what comes in where a pass started was made of zeros, and is replaced below
        if state.stop is not None and state.start != point:
            state.seen[point] = inputs[0].detach()
            plan.inputs.setdefault(point, TensorKind.of(inputs[0]))
            if point == state.stop:
                raise LastPointReached
        if state.kept is not None and state.start == point:
            return (state.kept, *inputs[1:])
        # a pre-hook that returns None leaves the inputs as they are
        return None

    return guard
