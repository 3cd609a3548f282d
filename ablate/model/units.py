"""The trunk as an ordered list of units, the smallest steps of freezing.

The rule. timm's coarse parameter groups (stem, then one per stage or block) are the units; the
head's parameters are in none. What timm puts behind the last group (a final norm, EfficientNet's
`conv_head`) is a unit by itself if it holds a weight matrix or kernel, and else joins the unit
before it: a free norm alone is norm tuning, not "the last unit".
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, cast

from timm.models._manipulate import MATCH_PREV_GROUP
from torch import nn

from ablate.errors import CheckFailed
from ablate.in_order import absent

Ordinal = tuple[float, ...]
"""Place of a parameter's group; groups run in the order of their ordinals."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One step of freezing: consecutive modules of the trunk."""

    name: str
    """"stem" or what its modules share, e.g. "blocks.3"; unique within the trunk."""
    parameter_names: tuple[str, ...]
    """In the order of `module.named_parameters()`."""


@dataclass(slots=True)
class _MergedGroup:
    """A group of timm's with what joins it from behind."""

    names: list[str]
    n_joined: int = 0
    """The last ones of `names`, which do not take part in naming the unit."""

    def join(self, names: Sequence[str]) -> None:
        self.names.extend(names)
        self.n_joined += len(names)

    @property
    def core(self) -> list[str]:
        return self.names[: len(self.names) - self.n_joined]


def owner_of(parameter_name: str) -> str:
    """Return the name of the module that a parameter or buffer belongs to; "" is the network."""
    return parameter_name.rpartition(".")[0]


def find_units(module: nn.Module, head_names: Sequence[str]) -> tuple[Unit, ...]:
    """Return the units of a timm model's trunk, first to run first.

    Raises CheckFailed unless they cover each trunk parameter exactly once.
    """
    # a parameter, not a module, is what a unit owns: a class token belongs to no submodule
    heads = frozenset(head_names)
    trunk = {}
    for name, tensor in module.named_parameters():
        if name not in heads:
            trunk[name] = tensor
    # coarse: by stage or block; the fine groups are single layers
    matcher = cast(Any, module).group_matcher(coarse=True)
    merged = _merge_loose_groups(_groups(list(trunk), matcher), trunk)
    # what was joined from behind does not name a unit: "blocks.11", not "blocks.11+norm"
    unit_names = _unit_names([group.core for group in merged])
    units = []
    for name, group in zip(unit_names, merged, strict=True):
        units.append(Unit(name, tuple(group.names)))
    check_cover(units, list(trunk))
    return tuple(units)


def check_cover(units: Sequence[Unit], trunk_names: Sequence[str]) -> None:
    """Raise CheckFailed, naming strays, unless every trunk parameter is in exactly one unit.

    No unit may be empty.
    """
    # a name that is missing counts 0, and one in two units counts 2
    counts = Counter(chain.from_iterable(unit.parameter_names for unit in units))
    uncovered = [name for name in trunk_names if counts[name] != 1]
    known = set(trunk_names)
    unknown = absent(counts, among=known)
    if uncovered or unknown or not all(unit.parameter_names for unit in units):
        raise CheckFailed(
            f"every trunk parameter must be in exactly one of {len(units)} units, "
            f"these are not: {uncovered + unknown}"
        )


def first_disorder(units: Sequence[Unit], run_order: Sequence[str]) -> tuple[str, str] | None:
    """Return the first two units that do not run one after the other, or None.

    The pair is (the one that runs again or late, the one before it). Only where this is None does
    a boundary between two units split the network into a prefix and a suffix.
    """
    unit_of_module = {}
    for i, unit in enumerate(units):
        for name in unit.parameter_names:
            # a parameter of the model itself (a class token) belongs to no module that is called
            if "." in name:
                unit_of_module[owner_of(name)] = i
    current = 0
    for name in run_order:
        # modules without parameters of their own run in whichever unit has been reached
        i = unit_of_module.get(name, current)
        if i < current:
            return units[i].name, units[current].name
        current = i
    return None


def _groups(
    names: Sequence[str], matcher: Mapping[str, Any] | Callable[[str], Any]
) -> dict[Ordinal, list[str]]:
    """Parameter names by timm's coarse groups, in the order in which the groups run."""
    if isinstance(matcher, Mapping):
        ordinal_of = _ordinal_by_patterns(matcher)
    else:
        ordinal_of = _ordinal_by_function(matcher)
    groups: dict[Ordinal, list[str]] = {}
    for name in names:
        groups.setdefault(ordinal_of(name), []).append(name)
    # parameters come as they were registered, which need not be the order in which they run
    return dict(sorted(groups.items()))


def _merge_loose_groups(
    groups: Mapping[Ordinal, Sequence[str]], trunk: Mapping[str, nn.Parameter]
) -> list[_MergedGroup]:
    """Let loose groups join the one before, but for a tail that holds a weight matrix or kernel."""
    last_regular = -1
    for i, ordinal in enumerate(groups):
        if not _is_loose(ordinal):
            last_regular = i
    merged: list[_MergedGroup] = []
    for i, (ordinal, names) in enumerate(groups.items()):
        # between regular groups it belongs to what it follows, whatever it holds
        is_tail = i > last_regular
        # a class token or a position embedding (no dot) has two dimensions and is no layer's weight
        has_weight = any("." in name and trunk[name].ndim >= 2 for name in names)
        if not merged or not _is_loose(ordinal) or (is_tail and has_weight):
            merged.append(_MergedGroup(list(names)))
        else:
            merged[-1].join(names)
    return merged


def _ordinal_by_patterns(matcher: Mapping[str, Any]) -> Callable[[str], Ordinal]:
    """Read timm's patterns as `timm.models._manipulate.group_with_matcher` does.

    timm returns groups without their ordinals, and those tell which groups are loose.
    """
    rules = list(_rules(matcher))

    def ordinal_of(name: str) -> Ordinal:
        for pattern, place, suffix in rules:
            match = pattern.match(name)
            if match:
                # an optional part of a pattern that is not there counts for nothing
                counters = [float(group) for group in match.groups() if group is not None]
                return (float(place), *counters, *suffix)
        # timm's own rule: what no pattern matches belongs behind everything
        return (math.inf,)

    return ordinal_of


def _rules(matcher: Mapping[str, Any]) -> Iterator[tuple[re.Pattern[str], int, Ordinal]]:
    """Pattern, place of its entry, and what timm appends to the counters that it matches."""
    for place, patterns in enumerate(matcher.values()):
        # an entry is one pattern, or pairs of a pattern and a suffix
        pairs = patterns or ()
        if isinstance(patterns, str):
            pairs = [(patterns, None)]
        for pattern, suffix in pairs:
            yield re.compile(pattern), place, tuple(map(float, suffix or ()))


def _ordinal_by_function(matcher: Callable[[str], Any]) -> Callable[[str], Ordinal]:
    """The ordinals of a model that groups its parameters by a function instead of patterns."""

    def ordinal_of(name: str) -> Ordinal:
        place = matcher(name)
        if isinstance(place, Sequence):
            return tuple(map(float, place))
        return (float(place),)

    return ordinal_of


def _is_loose(ordinal: Ordinal) -> bool:
    """Whether timm leaves a group to the one before it, or knows no group for it."""
    # timm's marker is 99999 as the last counter: "with the group before"
    return ordinal[-1] == MATCH_PREV_GROUP[0] or math.isinf(ordinal[0])


def _unit_names(groups: Sequence[Sequence[str]]) -> list[str]:
    """The first group is the "stem", each other one has the module paths that are its alone."""
    return ["stem", *(_distinct_paths(i, groups) for i in range(1, len(groups)))]


def _distinct_paths(i: int, groups: Sequence[Sequence[str]]) -> str:
    """The shortest module paths that hold no parameter of another group, two at most."""
    # a path names a unit if nothing of another unit lies below it
    others = set(chain.from_iterable(groups[:i])) | set(chain.from_iterable(groups[i + 1 :]))
    deepest = max(name.count(".") for name in groups[i])
    # from whole subtrees down to single parameters
    for n_parts in range(1, deepest + 2):
        paths = list(dict.fromkeys(_first_parts(name, n_parts) for name in groups[i]))
        inside = tuple(f"{path}." for path in paths)
        if not any(name in paths or name.startswith(inside) for name in others):
            break
    # two at most: a name is there to be read
    return "+".join(paths[:2])


def _first_parts(name: str, n_parts: int) -> str:
    return ".".join(name.split(".")[:n_parts])
