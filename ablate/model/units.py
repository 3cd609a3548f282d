"""The trunk as an ordered list of units, the smallest steps of freezing.

The rule. timm's coarse parameter groups (stem, then one per stage or block) are the units; the head's parameters are in none. What timm puts behind the
last group (a final norm, EfficientNet's `conv_head`) is a unit of its own if it holds a weight matrix or kernel, and else joins the unit before it: a
free norm alone is norm tuning, not "the last unit".
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, cast

from timm.models._manipulate import MATCH_PREV_GROUP
from torch import nn

from ablate.errors import CheckFailed

Ordinal = tuple[float, ...]
"""Place of a parameter's group; groups run in the order of their ordinals."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One step of freezing: consecutive modules of the trunk."""

    name: str
    """"stem" or what its modules share, e.g. "blocks.3"; unique within the trunk."""
    parameter_names: tuple[str, ...]
    """In the order of `module.named_parameters()`."""


def find_units(module: nn.Module, head_names: Sequence[str]) -> tuple[Unit, ...]:
    """Return the units of a timm model's trunk, first to run first. Raises CheckFailed unless they cover each trunk parameter exactly once."""
    heads = frozenset(head_names)
    trunk = {name: parameter for name, parameter in module.named_parameters() if name not in heads}
    groups = _groups(list(trunk), cast(Any, module).group_matcher(coarse=True))
    merged: list[list[str]] = []
    tails: list[int] = []
    last_regular = max(
        (i for i, ordinal in enumerate(groups) if not _is_loose(ordinal)), default=-1
    )
    for i, (ordinal, names) in enumerate(groups.items()):
        is_tail = _is_loose(ordinal) and i > last_regular
        if (
            not merged
            or not _is_loose(ordinal)
            or (is_tail and any("." in name and trunk[name].ndim >= 2 for name in names))
        ):
            merged.append(list(names))
            tails.append(0)
        else:
            merged[-1].extend(names)
            tails[-1] += len(names)
    cores = [names[: len(names) - n_tail] for names, n_tail in zip(merged, tails, strict=True)]
    units = tuple(
        Unit(name, tuple(names)) for name, names in zip(_names(cores), merged, strict=True)
    )
    check_cover(units, list(trunk))
    return units


def check_cover(units: Sequence[Unit], trunk_names: Sequence[str]) -> None:
    """Raise CheckFailed, naming strays, unless every trunk parameter is in exactly one unit and no unit is empty."""
    counts = Counter(chain.from_iterable(unit.parameter_names for unit in units))
    astray = [name for name in trunk_names if counts[name] != 1] + [
        name for name in counts if name not in set(trunk_names)
    ]
    if astray or not all(unit.parameter_names for unit in units):
        raise CheckFailed(
            f"every trunk parameter must be in exactly one of {len(units)} units, these are not: {astray}"
        )


def first_disorder(units: Sequence[Unit], run_order: Sequence[str]) -> tuple[str, str] | None:
    """Return the names of two units that do not run one after the other, (the one that runs again or late, the one before it), or None.

    Only where this is None does a boundary between two units cut the network into a prefix and a suffix.
    """
    unit_of = {
        name.rpartition(".")[0]: i
        for i, unit in enumerate(units)
        for name in unit.parameter_names
        if "." in name
    }
    reached = 0
    for name in run_order:
        i = unit_of.get(name, reached)
        if i < reached:
            return units[i].name, units[reached].name
        reached = i
    return None


def _groups(
    names: Sequence[str], matcher: Mapping[str, Any] | Callable[[str], Any]
) -> dict[Ordinal, list[str]]:
    ordinal_of = _compiled(matcher) if isinstance(matcher, Mapping) else _called(matcher)
    groups: dict[Ordinal, list[str]] = {}
    for name in names:
        groups.setdefault(ordinal_of(name), []).append(name)
    return dict(sorted(groups.items()))


def _compiled(matcher: Mapping[str, Any]) -> Callable[[str], Ordinal]:
    """timm's own reading of its patterns (`timm.models._manipulate.group_with_matcher`), which does not give the ordinals away."""
    rules = []
    for place, patterns in enumerate(matcher.values()):
        for pattern, suffix in (
            [(patterns, None)] if isinstance(patterns, str) else (patterns or ())
        ):
            rules.append((re.compile(pattern), place, suffix))

    def ordinal_of(name: str) -> Ordinal:
        for pattern, place, suffix in rules:
            match = pattern.match(name)
            if match:
                counters = tuple(float(group) for group in match.groups() if group is not None)
                return (float(place), *counters, *map(float, suffix or ()))
        return (math.inf,)

    return ordinal_of


def _called(matcher: Callable[[str], Any]) -> Callable[[str], Ordinal]:
    def ordinal_of(name: str) -> Ordinal:
        place = matcher(name)
        return tuple(map(float, place)) if isinstance(place, Sequence) else (float(place),)

    return ordinal_of


def _is_loose(ordinal: Ordinal) -> bool:
    return ordinal[-1] == MATCH_PREV_GROUP[0] or math.isinf(ordinal[0])


def _names(groups: Sequence[Sequence[str]]) -> list[str]:
    """Name the first group "stem" and each other one by the shortest module paths that hold none of another group's parameters, two at most."""
    return ["stem", *(_own_paths(i, groups) for i in range(1, len(groups)))]


def _own_paths(i: int, groups: Sequence[Sequence[str]]) -> str:
    others = {name for k, group in enumerate(groups) if k != i for name in group}
    deepest = max(name.count(".") for name in groups[i])
    for n_parts in range(1, deepest + 2):
        paths = dict.fromkeys(".".join(name.split(".")[:n_parts]) for name in groups[i])
        if not any(
            name == path or name.startswith(f"{path}.") for path in paths for name in others
        ):
            break
    return "+".join(list(paths)[:2])
