"""The freeze boundary: which leading units are held fixed, and what "fixed" takes besides `requires_grad = False`.

A frozen BatchNorm in train mode still moves its statistics and normalises with the batch's, and a frozen Dropout or DropPath still draws. So every module
of a frozen unit, with or without parameters, rests in eval mode, and since `module.train()` wakes all of them, `hold()` is called after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ablate.errors import SpecError
from ablate.model.units import Unit

BatchNormPolicy = Literal["frozen", "affine", "adapt", "train"]


@dataclass(frozen=True, slots=True)
class FreezeBoundary:
    """Where the frozen part ends, and what is held there."""

    depth: int
    """Leading frozen units, in [0, n_units]."""
    n_units: int
    frozen_names: tuple[str, ...]
    """Every parameter that does not learn: those of the frozen units, and BatchNorm's in the free units where the policy says so."""
    resting: tuple[nn.Module, ...] = field(repr=False)
    """Modules that stay in eval mode during training. None of their buffers moves."""

    @property
    def is_linear_probe(self) -> bool:
        """Whether no unit of the trunk is free."""
        return self.depth == self.n_units

    def hold(self) -> None:
        """Put everything that rests into eval mode. Must be called after every `module.train()`."""
        for module in self.resting:
            module.training = (
                False  # not eval(): an adapter inside a frozen module keeps its own mode
            )


def resolve_depth(freeze_depth: int | Literal["all"], *, n_units: int, backbone: str) -> int:
    """Return the number of leading frozen units in [0, n_units]; negative counts from the end. Raises SpecError out of range."""
    if freeze_depth == "all":
        return n_units
    if not -n_units <= freeze_depth <= n_units:
        raise SpecError(
            f"freeze_depth must be all or an int in [{-n_units}, {n_units}] for {backbone}, got {freeze_depth}; "
            f"all is a linear probe, -1 leaves the last unit free, 0 is full fine-tuning"
        )
    return freeze_depth if freeze_depth >= 0 else n_units + freeze_depth


def freeze(
    module: nn.Module,
    units: Sequence[Unit],
    *,
    depth: int,
    batch_norm: BatchNormPolicy,
    head_names: Sequence[str],
) -> FreezeBoundary:
    """Set `requires_grad` of every parameter for a boundary behind `depth` units and return the boundary, already held.

    `batch_norm` rules the free units: frozen: all fixed | affine: statistics fixed | adapt: scale and shift fixed | train: nothing fixed.
    """
    frozen = {name for unit in units[:depth] for name in unit.parameter_names}
    resting = _modules_of(module, frozen, frozenset(head_names))
    for name, child in module.named_modules():
        if isinstance(child, _BatchNorm) and name not in resting and depth < len(units):
            own = {f"{name}.{own_name}" for own_name, _ in child.named_parameters(recurse=False)}
            if batch_norm in ("frozen", "adapt"):
                frozen |= own - set(head_names)
            if batch_norm in ("frozen", "affine"):
                resting[name] = child
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name not in frozen)
    names = tuple(name for name, _ in module.named_parameters() if name in frozen)
    boundary = FreezeBoundary(
        depth=depth, n_units=len(units), frozen_names=names, resting=tuple(resting.values())
    )
    boundary.hold()
    return boundary


def _modules_of(
    module: nn.Module, frozen: set[str], head_names: frozenset[str]
) -> dict[str, nn.Module]:
    """The modules of the frozen units by name.

    A module with parameters is frozen when all of them are, and so is everything below it. A module without (an activation, a dropout between two blocks)
    goes with the module with parameters that was registered before it; between the trunk and the head it belongs to the head.
    """
    modules = dict(module.named_modules())
    owned = {
        name: [f"{name}.{own}" if name else own for own, _ in child.named_parameters()]
        for name, child in modules.items()
    }
    found: dict[str, nn.Module] = {}
    before_is_frozen = bool(frozen)
    names = [name for name in modules if name]
    for i, name in enumerate(names):
        if owned[name]:
            is_frozen = frozen.issuperset(owned[name])
            has_own = next(modules[name].parameters(recurse=False), None) is not None
            before_is_frozen = is_frozen if has_own else before_is_frozen
        else:
            following = next((owned[later][0] for later in names[i + 1 :] if owned[later]), None)
            is_between = following is not None and following not in head_names
            is_frozen = name.rpartition(".")[0] in found or (before_is_frozen and is_between)
        if is_frozen:
            found[name] = modules[name]
    return found
