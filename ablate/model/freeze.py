"""The freeze boundary: which leading units are fixed, besides `requires_grad = False`.

A frozen BatchNorm in train mode still moves its statistics and normalises with the batch's, and a
frozen Dropout or DropPath still draws. So every module of a frozen unit, with or without
parameters, rests in eval mode, and since `module.train()` wakes all of them, `hold()` is called
after it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ablate.errors import SpecError
from ablate.model.units import Unit, owner_of

BatchNormPolicy = Literal["frozen", "affine", "adapt", "train"]


@dataclass(frozen=True, slots=True)
class FreezeBoundary:
    """Where the frozen part ends, and what is held there."""

    depth: int
    """Leading frozen units, in [0, n_units]."""
    n_units: int
    frozen_names: tuple[str, ...]
    """Every parameter that does not learn: those of the frozen units, and BatchNorm's in the free
    units where the policy says so."""
    resting: tuple[nn.Module, ...] = field(repr=False)
    """Modules that stay in eval mode during training. None of their buffers moves."""

    @property
    def is_linear_probe(self) -> bool:
        """Whether no unit of the trunk is free."""
        return self.depth == self.n_units

    def hold(self) -> None:
        """Put everything that rests into eval mode. Must be called after every `module.train()`."""
        for module in self.resting:
            # not eval(), which reaches children: an adapter in a frozen module keeps its own mode;
            # asked first, because to set an attribute of a module takes ten times as long
            if module.training:
                module.training = False


def resolve_depth(freeze_depth: int | Literal["all"], *, n_units: int, backbone: str) -> int:
    """Return the number of leading frozen units in [0, n_units]; negative counts from the end.

    Raises SpecError out of range.
    """
    if freeze_depth == "all":
        return n_units
    if not -n_units <= freeze_depth <= n_units:
        raise SpecError(
            f"freeze_depth must be all or an int in [{-n_units}, {n_units}] for {backbone}, "
            f"got {freeze_depth}; "
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
    """Set `requires_grad` of every parameter for a boundary behind `depth` units.

    Returns the boundary, already held. `batch_norm` rules the free units: frozen: all fixed |
    affine: statistics fixed | adapt: scale and shift fixed | train: nothing fixed.
    """
    # what the policy fixes in the free units joins these below
    frozen: set[str] = set()
    for unit in units[:depth]:
        frozen.update(unit.parameter_names)
    resting = _resting_modules(module, frozen, frozenset(head_names))
    # a linear probe has no free unit for the policy to rule
    if depth < len(units):
        _hold_batch_norms(module, batch_norm, frozen=frozen, resting=resting, head_names=head_names)
    frozen_names = []
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name not in frozen)
        if name in frozen:
            frozen_names.append(name)
        boundary = FreezeBoundary(
            depth=depth,
            n_units=len(units),
            frozen_names=tuple(frozen_names),
            resting=tuple(resting.values()),
        )
        boundary.hold()
    return boundary


def _hold_batch_norms(
    module: nn.Module,
    batch_norm: BatchNormPolicy,
    *,
    frozen: set[str],
    resting: dict[str, nn.Module],
    head_names: Sequence[str],
) -> None:
    """Add to `frozen` and `resting`, in place, what the policy fixes in the free units."""
    for name, child in module.named_modules():
        if not isinstance(child, _BatchNorm) or name in resting:
            continue
        if batch_norm in ("frozen", "adapt"):
            for leaf, _ in child.named_parameters(recurse=False):
                parameter_name = f"{name}.{leaf}"
                # a head may hold a BatchNorm, which is new and must learn
                if parameter_name not in head_names:
                    frozen.add(parameter_name)
        # in eval mode the statistics stay, and scale and shift can still learn
        if batch_norm in ("frozen", "affine"):
            resting[name] = child


def _resting_modules(
    module: nn.Module, frozen: Collection[str], head_names: Collection[str]
) -> dict[str, nn.Module]:
    """The modules of the frozen units by name.

    A module with parameters is frozen when all of them are, and so is everything below it. A module
    without (an activation, a dropout between two blocks) goes with the module with parameters that
    was registered before it; between the trunk and the head it belongs to the head.
    """
    modules = dict(module.named_modules())
    # but the network itself, which has no name
    names = list(filter(None, modules))
    parameters_of = {name: _parameter_names(name, modules[name]) for name in names}
    resting: dict[str, nn.Module] = {}
    # what stands before the first parameter (a normalisation of the image) goes with the stem
    is_previous_frozen = bool(frozen)
    for i, name in enumerate(names):
        if parameters_of[name]:
            is_frozen = set(parameters_of[name]).issubset(frozen)
            # a container says nothing of what follows inside it
            if next(modules[name].parameters(recurse=False), None) is not None:
                is_previous_frozen = is_frozen
        else:
            following = _next_parameter(names[i + 1 :], parameters_of)
            is_between_units = following is not None and following not in head_names
            # inside a module that rests everything rests
            is_parent_resting = owner_of(name) in resting
            is_frozen = is_parent_resting or (is_previous_frozen and is_between_units)
        if is_frozen:
            resting[name] = modules[name]
    return resting


def _next_parameter(later: Sequence[str], parameters_of: Mapping[str, list[str]]) -> str | None:
    """The first parameter in the modules `later`, or None: none of them has one."""
    for name in later:
        if parameters_of[name]:
            return parameters_of[name][0]
    return None


def _parameter_names(name: str, module: nn.Module) -> list[str]:
    """The parameters in and below a module, by their names in the whole network."""
    return [f"{name}.{leaf}" for leaf, _ in module.named_parameters()]
