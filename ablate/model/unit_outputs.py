"""Where the output of a unit comes out, for those that compare feature maps."""

from __future__ import annotations

from collections.abc import Set

from torch import Tensor, nn

from ablate.model.network import Network
from ablate.model.units import Unit, owner_of


def moving_outputs(network: Network) -> dict[str, nn.Module]:
    """Return unit -> the module whose output is the unit's, for units whose output can change.

    Those are the first unit in which something learns, and all behind it: a frozen unit behind an
    adapter sees other maps. Empty for a linear probe.
    """
    modules: dict[str, nn.Module] = {}
    learning = _learning_names(network)
    for unit in network.units:
        place = _place_of(unit)
        # behind the first one all follow
        if modules or _learns(unit, place, learning):
            modules[unit.name] = network.module.get_submodule(place)
    return modules


def channel_axis(module: nn.Module, output: Tensor) -> int:
    """Return the axis of the channels in the output (B, ...) of a part of a timm model.

    Maps are (B, C, H, W) but in families that say NHWC; tokens (B, N, C); vectors (B, C).
    """
    is_map = output.ndim == 4
    if is_map and getattr(module, "output_fmt", "NCHW") != "NHWC":
        return 1
    return output.ndim - 1


def _learns(unit: Unit, place: str, learning: Set[str]) -> bool:
    """Whether a unit has parameters that learn, its own or those of adapters in it."""
    is_free = not learning.isdisjoint(unit.parameter_names)
    return is_free or any(name.startswith(f"{place}.") for name in learning)


def _learning_names(network: Network) -> set[str]:
    """Parameters of trunk and adapters that learn."""
    heads = frozenset(network.head_names)
    names = set()
    for name, parameter in network.module.named_parameters():
        if parameter.requires_grad and name not in heads:
            names.add(name)
    return names


def _place_of(unit: Unit) -> str:
    """The module that holds all of a unit, or the last of its modules where none does.

    A stem is a convolution and a norm beside each other: its output is the norm's.
    """
    owners = [owner_of(name) for name in unit.parameter_names]
    # a class token or a position embedding belongs to the network itself
    inside = [owner for owner in owners if owner]
    shared = _shared_start(inside)
    return shared or inside[-1]


def _shared_start(names: list[str]) -> str:
    """What dotted names have in common, part by part."""
    shared: list[str] = []
    for parts in zip(*(name.split(".") for name in names), strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return ".".join(shared)
