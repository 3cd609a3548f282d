"""Split a network at the freeze boundary: prefix (frozen, computed once) and suffix (trained).

A network is split without knowing its family. The *split point* is the first module that is called
and learns, or the smallest module around it for which the split is right, or a frozen module just
before it; what goes into it is the activation to keep. The prefix is the forward pass up to there.
The suffix is the same forward pass with every module before the split point replaced by zeros of
the recorded shape, so that the network's own glue (position embeddings, rotary tables, reshapes)
runs as it always does, and with the kept activation in place of what came of the zeros.

Whether suffix(prefix(x)) is network(x) is checked on real images; a network that fails runs whole.
Earlier split points, where other trials have theirs, can be kept in the same pass, and the last one
reached from them.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from torch import Tensor

from ablate.model.network import Network
from ablate.model.splitting.call_order import (
    Autocast,
    first_called,
    is_inside_another,
    is_within,
    learning_modules,
    modules_around,
    modules_shortly_before,
    record_calls,
    skippable_before,
)
from ablate.model.splitting.hooks import SplitPlan
from ablate.model.splitting.parts import SplitCheck, SplitNetwork, install_plan
from ablate.model.units import owner_of


@dataclass(frozen=True, slots=True)
class NotSplit:
    """The network cannot be split, and why."""

    reason: str


# of this process: a worker meets few structures, and each costs several forward passes to split
_plans: dict[Hashable, SplitPlan | NotSplit] = {}


def split_network(
    network: Network,
    images: Tensor,
    *,
    autocast: Autocast,
    earlier_depths: Sequence[int] = (),
    structure: Hashable = None,
) -> SplitNetwork | NotSplit:
    """Split a network at its boundary, in place; its module keeps working as a whole.

    The split is checked on real normalised `images` (B >= 2, 3, S, S) on the network's device,
    under `autocast`, the context that training computes in. `earlier_depths` are freeze depths of
    other trials whose split points are kept on the way. Networks of equal `structure` (anything
    hashable that names all that decides the pass: backbone, weights, what computes) are searched
    and checked once a process. The network is left in eval mode. The deepest split point that
    passes the check is taken.
    """
    learning = learning_modules(network)
    module = network.module.eval()
    # stochastic depth adds modules, so that trials of one structure can need plans of their own
    names = tuple(name for name, _ in module.named_modules())
    image_shape = images.shape[1:]
    # what learns decides where the split lies, so it belongs to the key
    key = (structure, names, tuple(sorted(learning)), tuple(earlier_depths), image_shape)
    plan = None
    if structure is not None:
        plan = _plans.get(key)
    if plan is None:
        check = SplitCheck(module, images, autocast)
        plan = _find_plan(network, learning, check, earlier_depths=earlier_depths)
        if isinstance(plan, SplitPlan):
            plan = check.shortened(plan)
        if structure is not None:
            _plans[key] = plan
    if isinstance(plan, NotSplit):
        return plan
    return install_plan(module, image_shape, plan)


def _find_plan(
    network: Network, learning: set[str], check: SplitCheck, *, earlier_depths: Sequence[int]
) -> SplitPlan | NotSplit:
    """The deepest split point around the first module that learns, and the earlier ones."""
    calls = record_calls(check.module, check.images, autocast=check.autocast)
    first = first_called(calls, learning)
    if first is None:
        return NotSplit("no called module learns")
    problem: str | None = "nothing is frozen before the first module that learns"
    # the innermost first, since it leaves most of the network to the prefix; frozen modules before
    # it are the last resort
    for point in [*modules_around(first, calls), *modules_shortly_before(first, calls)]:
        skipped = skippable_before(point, calls)
        # nothing that learns may be left out, nor may the point lie in a module that owns such
        if not skipped or learning.intersection(skipped) or is_inside_another(point, learning):
            continue
        # 0: the only split point so far
        plan = SplitPlan((point,), dict.fromkeys(skipped, frozenset({0})))
        problem = check.problem_of(plan)
        if problem is None:
            return _with_earlier_points(network, plan, calls, check, depths=earlier_depths)
    # a point that was tried and not taken has left its reason
    assert problem is not None
    return NotSplit(problem)


def _with_earlier_points(
    network: Network,
    plan: SplitPlan,
    calls: list[str],
    check: SplitCheck,
    *,
    depths: Sequence[int],
) -> SplitPlan:
    """The plan with the split points of other freeze depths from which its own can be reached."""
    # from the last point backwards, so that each new one comes in front; 0 freezes nothing
    for depth in sorted(set(depths) - {0}, reverse=True):
        first = first_called(calls, _modules_behind(network, depth))
        if first is None:
            continue
        # a point that fails the check is no loss: this trial only cannot start from the other's
        # rows
        for point in modules_around(first, calls):
            candidate = _with_point_in_front(plan, point, calls)
            if candidate is not None and check.problem_of(candidate) is None:
                plan = candidate
                break
    return plan


def _modules_behind(network: Network, depth: int) -> set[str]:
    """The modules with parameters in the units behind the `depth` leading ones."""
    modules: set[str] = set()
    for unit in network.units[depth:]:
        modules.update(map(owner_of, unit.parameter_names))
    return modules


def _with_point_in_front(plan: SplitPlan, point: str, calls: Sequence[str]) -> SplitPlan | None:
    """The plan with one more split point in front, or None where it cannot be one."""
    skipped = skippable_before(point, calls)
    is_earlier = calls.index(point) < calls.index(plan.points[0])
    if not skipped or not is_earlier or any(is_within(later, point) for later in plan.points):
        return None
    # the points that there are move up by one
    merged: dict[str, frozenset[int]] = {}
    for name, points in plan.skipped.items():
        merged[name] = frozenset(number + 1 for number in points)
    for name in skipped:
        merged[name] = merged.get(name, frozenset()) | {0}
    return SplitPlan((point, *plan.points), merged)
