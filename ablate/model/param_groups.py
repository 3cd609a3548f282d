"""The optimizer's partition: head, trunk and adapters, each with and without weight decay.

The trunk is divided by units where earlier ones learn more slowly.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ablate.errors import CheckFailed
from ablate.model.adapters.peft_layers import SCALES
from ablate.recipe.recipe import Recipe

if TYPE_CHECKING:
    from torch import nn

    from ablate.model.network import Network

# groups stand in this order in the optimizer
PARTS = ("head", "trunk", "adapters")


@dataclass(frozen=True, slots=True, order=True)
class _GroupKey:
    """What parameters of one group have in common; groups stand in this order."""

    part: int
    """Position in `PARTS`."""
    units_below_head: int
    """1 is the last unit of the trunk; 0 where the whole part learns at one rate."""
    is_flat: bool
    """Whether the parameters are biases, norms or scales, which do not decay."""


def param_groups(network: Network, recipe: Recipe) -> list[dict[str, Any]]:
    """Return the groups for a torch optimizer: `params`, `lr` (peak), `weight_decay`, `name`.

    Names are "head/decay", "trunk/no_decay", ...; no group is empty. The head learns at `head_lr`,
    adapters at `head_lr * lr_ratio`, unit i below the head (1 is the last one, frozen units count)
    at `head_lr * lr_ratio * layer_decay ** i`: layer-wise learning rate decay (Howard & Ruder 2018,
    Clark et al. 2020). Parameters of one dimension (biases, norms) and the scales of IA3 and DoRA
    have no weight decay, nor has what L2-SP pulls. Raises CheckFailed, naming strays, unless every
    trainable parameter is in exactly one group.
    """
    key_of = _Keys(network, recipe)
    members: dict[_GroupKey, list[nn.Parameter]] = {}
    for name, parameter in network.module.named_parameters():
        if parameter.requires_grad:
            members.setdefault(key_of(name, parameter), []).append(parameter)
    # sorted, so that a checkpoint finds its groups whatever the order of the modules
    groups = []
    for key in sorted(members):
        groups.append({"params": members[key], **_settings(network, recipe, key)})
    check_partition(network.module, groups)
    return groups


def check_partition(module: nn.Module, groups: list[dict[str, Any]]) -> None:
    """Raise CheckFailed, naming strays, unless every trainable parameter is in exactly one group.

    Nothing else may be in any.
    """
    counts: Counter[int] = Counter()
    for group in groups:
        counts.update(map(id, group["params"]))
    astray = []
    for name, parameter in module.named_parameters():
        # popped, so that what is left belongs to no parameter of the module
        if counts.pop(id(parameter), 0) != int(parameter.requires_grad):
            astray.append(name)
    # what is left in `counts` is in a group and not in the module
    if astray or counts:
        strays = astray or f"{len(counts)} parameters of another network"
        raise CheckFailed(
            "every trainable parameter must be in exactly one group and no other in any, "
            f"these are not: {strays}"
        )


def pulled_parameters(network: Network) -> list[nn.Parameter]:
    """Return what L2-SP (Li et al. 2018) holds near its start.

    That are the trunk's free weights of two or more dimensions, without head, adapters, biases and
    norms.
    """
    pulled = []
    for name, parameter in network.module.named_parameters():
        is_weight = parameter.requires_grad and parameter.ndim > 1
        if is_weight and _part_of(name, network) == "trunk":
            pulled.append(parameter)
    return pulled


class _Keys:
    """The group of each parameter of a network."""

    def __init__(self, network: Network, recipe: Recipe) -> None:
        self._network = network
        self._has_layer_decay = recipe.layer_decay != 1.0
        self._unit_of: dict[str, int] = {}
        for i, unit in enumerate(network.units):
            self._unit_of.update(dict.fromkeys(unit.parameter_names, i))

    def __call__(self, name: str, parameter: nn.Parameter) -> _GroupKey:
        part = _part_of(name, self._network)
        below = 0
        if part == "trunk" and self._has_layer_decay:
            below = len(self._network.units) - self._unit_of[name]
        # the scales of IA3 and DoRA can have more dimensions than one, of size 1
        is_flat = parameter.ndim <= 1 or any(scale in name for scale in SCALES)
        return _GroupKey(PARTS.index(part), below, is_flat)


def _settings(network: Network, recipe: Recipe, key: _GroupKey) -> dict[str, Any]:
    """Name, rate and weight decay of a group.

    The rate itself is in the group, so that any schedule scales it: timm's `lr_scale` is read by
    timm's schedules only.
    """
    part = PARTS[key.part]
    # the head is new and learns at the full rate
    lr = recipe.head_lr
    if part != "head":
        # adapters stand below no unit: layer_decay to the power of 0 leaves their rate alone
        lr = recipe.head_lr * recipe.lr_ratio * recipe.layer_decay**key.units_below_head
    place = part
    if key.units_below_head:
        place = f"{part}.{network.units[-key.units_below_head].name}"
    is_pulled = part == "trunk" and recipe.l2_sp > 0
    # L2-SP pulls to the start instead of to zero
    is_decayed = not key.is_flat and not is_pulled
    weight_decay = 0.0
    if is_decayed:
        weight_decay = recipe.weight_decay
    # by the kind of parameter alone: a group keeps its name when L2-SP takes its decay away
    suffix = "decay"
    if key.is_flat:
        suffix = "no_decay"
    return {"lr": lr, "weight_decay": weight_decay, "name": f"{place}/{suffix}"}


def _part_of(name: str, network: Network) -> str:
    if name in network.head_names:
        return "head"
    if name in network.adapter_names:
        return "adapters"
    return "trunk"
