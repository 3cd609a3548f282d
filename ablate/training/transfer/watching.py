"""What a forward pass shows on its way: the head's inputs, and the outputs of units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from ablate.errors import CheckFailed


@dataclass
class Seen:
    """Of the last pass; gradients flow through both."""

    inputs_of_head: list[Tensor] = field(default_factory=list)
    """One (B, D)."""
    outputs: dict[str, Tensor] = field(default_factory=dict)
    """Unit -> (B, ...)."""

    @property
    def features(self) -> Tensor:
        """(B, D), before the dropout of the head. Raises CheckFailed unless the head ran once."""
        if len(self.inputs_of_head) != 1:
            raise CheckFailed(
                "the head must see the features of a batch once in a forward pass, it saw them "
                f"{len(self.inputs_of_head)} times"
            )
        return self.inputs_of_head[0]


@contextmanager
def watched(head: nn.Module, units: Mapping[str, nn.Module]) -> Iterator[Seen]:
    """Collect what the forward pass inside the block shows."""
    seen = Seen()

    def note_features(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        seen.inputs_of_head.append(inputs[0])

    # in front of a dropout on the features, which is a hook as well
    handles = [head.register_forward_pre_hook(note_features, prepend=True)]
    for name, module in units.items():
        handles.append(module.register_forward_hook(_noting(seen, name)))
    try:
        yield seen
    finally:
        # always: a hook that stayed would hold the maps of every later pass
        for handle in handles:
            handle.remove()


def _noting(seen: Seen, name: str) -> Any:
    def note(_module: nn.Module, _inputs: tuple[Any, ...], output: object) -> None:
        if not isinstance(output, Tensor):
            raise CheckFailed(
                f"unit {name} must return one tensor for delta to compare, it returns "
                f"{type(output).__name__}; take lwf, bss or l2_sp"
            )
        seen.outputs[name] = output

    return note
