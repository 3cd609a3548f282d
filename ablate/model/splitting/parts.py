"""A network that can run in parts, and the check that the parts are the whole."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from ablate.errors import first_line
from ablate.model.splitting.call_order import Autocast
from ablate.model.splitting.hooks import LastPointReached, PassState, SplitPlan, install_hooks

TOLERANCE = 1e-4
"""Largest difference of logits, relative to the largest logit, that counts as the same network. It
is 0 in practice: the arithmetic is the same."""


@dataclass(frozen=True, slots=True)
class SplitNetwork:
    """A network that can run in parts; whole calls of its module work as before."""

    module: nn.Module
    image_shape: torch.Size
    """(3, S, S)."""
    undo: Callable[[], None]
    """Make the network whole again; `prefix`, `advance` and `suffix` must not be called after."""
    _plan: SplitPlan
    _state: PassState

    @property
    def split_points(self) -> tuple[str, ...]:
        """Module names in the order of their calls; the suffix begins at the last."""
        return self._plan.points

    def row_bytes(self, point: int) -> int:
        """Return the bytes of one image's activation at a split point."""
        return self._plan.inputs[point].n_bytes

    def row_text(self, point: int) -> str:
        """Return shape and dtype of one image's activation, e.g. `320x7x7 bfloat16`."""
        return str(self._plan.inputs[point])

    def prefix(self, images: Tensor) -> tuple[Tensor, ...]:
        """Normalised images (B, 3, S, S) -> activations (B, ...) at every split point, detached.

        Call it under the autocast of training.
        """
        return self._run_to_last_point(images)

    def advance(self, activations: Tensor, *, start: int) -> Tensor:
        """Activations (B, ...) at an earlier split point -> those at the last one, detached."""
        self._state.start = start
        self._state.kept = activations
        # the guard at `start` lets these pass for the stand-in images below
        return self._run_to_last_point(self._empty_images(activations))[-1]

    def suffix(self, activations: Tensor) -> Tensor:
        """Activations (B, ...) at the last split point -> logits (B, n_classes).

        Gradients flow to everything that trains.
        """
        if self._plan.ends_at_last:
            last = self.module.get_submodule(self.split_points[-1])
            return cast(Tensor, last(activations))
        self._state.start = len(self.split_points) - 1
        self._state.kept = activations
        try:
            logits: Tensor = self.module(self._empty_images(activations))
            return logits
        finally:
            self._state.reset()

    def _run_to_last_point(self, images: Tensor) -> tuple[Tensor, ...]:
        self._state.stop = len(self.split_points) - 1
        try:
            with torch.no_grad(), suppress(LastPointReached):
                self.module(images)
            seen = self._state.seen
            # positions count in the order of calls: the trial's own boundary comes last
            return tuple(seen[point] for point in sorted(seen))
        finally:
            self._state.reset()

    def _empty_images(self, activations: Tensor) -> Tensor:
        """Stand-in images (B, 3, S, S): the suffix needs their shape alone, for its own glue."""
        zero = torch.zeros((), device=activations.device)
        return zero.expand(len(activations), *self.image_shape)


def install_plan(module: nn.Module, image_shape: torch.Size, plan: SplitPlan) -> SplitNetwork:
    """Split a module by a plan, in place. `image_shape` is (3, S, S)."""
    state = PassState()
    undo = install_hooks(module, plan, state)
    return SplitNetwork(module, image_shape, undo, plan, state)


@dataclass(frozen=True, slots=True)
class SplitCheck:
    """The check of a plan on real images: whether suffix(prefix(x)) is network(x)."""

    module: nn.Module
    """In eval mode."""
    images: Tensor
    """Normalised, (B >= 2, 3, S, S), on the module's device."""
    autocast: Autocast

    def problem_of(self, plan: SplitPlan) -> str | None:
        """Say how the parts differ from the whole, or return None; the module is left whole."""
        split = install_plan(self.module, self.images.shape[1:], plan)
        try:
            with torch.no_grad(), self.autocast():
                return self._difference(split)
        # what forward passes raise when they meet zeros, or a tensor where they expect a tuple
        except (
            TypeError,
            RuntimeError,
            AttributeError,
            KeyError,
            IndexError,
            AssertionError,
        ) as error:
            return f"its forward pass cannot be cut: {type(error).__name__}: {first_line(error)}"
        finally:
            split.undo()

    def shortened(self, plan: SplitPlan) -> SplitPlan:
        """Return a sound plan that says whether its suffix is the module at the last split point.

        So it is for a linear probe. Then the suffix need not go through all of the network's glue.
        """
        split = install_plan(self.module, self.images.shape[1:], plan)
        seen: list[tuple[int, object]] = []
        last = self.module.get_submodule(plan.points[-1])

        def note(_module: nn.Module, inputs: Any, named: Any, output: object) -> None:
            seen.append((len(inputs) + len(named), output))

        handle = last.register_forward_hook(note, with_kwargs=True)
        try:
            with torch.no_grad(), self.autocast():
                logits = split.suffix(split.prefix(self.images)[-1])
        finally:
            handle.remove()
            split.undo()
        # called once, with the activations alone, and what it returns is what the network returns
        is_alone = len(seen) == 1 and seen[0][0] == 1 and seen[0][1] is logits
        return dataclasses.replace(plan, ends_at_last=is_alone)

    def _difference(self, split: SplitNetwork) -> str | None:
        half = max(1, len(self.images) // 2)
        # two batch sizes: a placeholder that forgets the batch would pass on one
        for batch in (self.images, self.images[:half]):
            whole = self.module(batch).float()
            rows = split.prefix(batch)
            if len(rows) != len(split.split_points):
                return "a split point is not passed on the way to the next"
            # the trial's own activation, and the same one reached from each earlier split point
            last_rows = [rows[-1]]
            for point, row in enumerate(rows[:-1]):
                last_rows.append(split.advance(row, start=point))
            for row in last_rows:
                if not _is_same(split.suffix(row).float(), whole):
                    return "suffix(prefix(x)) differs from network(x)"
        return None


def _is_same(parts: Tensor, whole: Tensor) -> bool:
    """Whether logits (B, n_classes) are equal up to `TOLERANCE`."""
    if parts.shape != whole.shape:
        return False
    # logits of a head that starts at zero are 0, and a share of 0 would allow no rounding
    largest = whole.abs().max().clamp(min=1e-6)
    return bool((parts - whole).abs().max() <= TOLERANCE * largest)
