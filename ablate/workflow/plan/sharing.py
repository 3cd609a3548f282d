"""What trials of a study share, counted before any of them runs.

The unit is the pass: one image through a frozen prefix. Views are named as the activation cache
names them, so that what is promised here is what happens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ablate.model.backbone_facts import PrefixCost, RecipeFacts
from ablate.recipe.policy import policy_word
from ablate.recipe.recipe import Recipe
from ablate.recipe.strategy import phases_of
from ablate.study.trial import WHOLE
from ablate.study.view_identity import (
    CLEAN,
    FrozenTrunk,
    Showing,
    planned_trunk,
    train_views_name,
    view_name,
)
from ablate.study.weights_identity import WeightsIdentity
from ablate.workflow.prepare.check_arms import weights_of
from ablate.workflow.prepare.cut_depths import cut_depths
from ablate.workflow.prepare.network_facts import NetworkFacts
from ablate.workflow.prepare.resolved import Resolved


@dataclass(frozen=True, slots=True)
class SharedPasses:
    """Passes of an image through frozen leading units."""

    alone: int
    """If every trial ran by itself: train and val in every epoch, test once."""
    together: int
    """With each view computed once for all trials that share it; deeper boundaries start from
    shallower ones."""
    n_views: int = 0
    """Views that are computed from images: one split, as one epoch shows it."""


@dataclass(frozen=True, slots=True)
class Part:
    """One phase of an arm."""

    recipe: Recipe
    policy: str
    trunks: Mapping[int, FrozenTrunk]
    """Seed -> the trunk of that trial; the same for every seed, or a random one for each."""
    epochs: range
    """Counted over all phases."""
    is_last: bool


@dataclass(frozen=True, slots=True)
class Group:
    """Phases that a row of the table is about."""

    backbone: str
    depth: int
    policy: str
    n_units: int
    image_size: int


@dataclass
class _Counted:
    """What the rows so far have counted."""

    alone: int = 0
    together: int = 0
    names: set[str] = field(default_factory=set)
    """Names of views: one that an earlier row has counted is computed there, and only there."""

    def count(
        self, parts: Sequence[Part], n_images: Mapping[str, int], *, of_train: Sequence[int]
    ) -> tuple[int, int]:
        """Count the phases of a row; return its passes alone and together."""
        alone = 0
        together = 0
        for part in parts:
            alone += _alone(part, n_images, of_train=of_train)
            for name, count in views_of(part, n_images):
                if name not in self.names:
                    self.names.add(name)
                    together += count
        self.alone += alone
        self.together += together
        return alone, together


def sharing_table(
    resolved: Resolved, facts: Mapping[str, RecipeFacts], *, networks: NetworkFacts
) -> tuple[list[dict[str, object]], SharedPasses]:
    """Return one row for each backbone, image size, cut and augmentation, and the sum of all.

    A row has arms, trials, passes alone and together, and what is decided. `M mult-adds` is what
    one image's way to the cut takes, `values` the size of its activation there: the first must be
    worth the second on the machine's device. Patience may end trials earlier: the counts are upper
    bounds then.
    """
    data = resolved.data_set.facts
    groups = _groups(resolved, facts, networks)
    users = _users(groups)
    device = networks.device()
    has_sizes = len({group.image_size for group in groups}) > 1
    counted = _Counted()
    rows: list[dict[str, object]] = []
    # Each row counts what no row before it has: the order decides where a view stands.
    for group in sorted(groups, key=_row_order):
        parts = groups[group]
        cost = networks.prefix_cost(group.backbone, group.image_size, group.depth)
        # The same question that a trial asks: below a certain cost an activation takes longer to
        # read than to compute.
        is_cut = group.depth > 0 and cost.is_worth_keeping(device)
        alone = together = 0
        if is_cut:
            alone, together = counted.count(parts, data.n_in_views, of_train=data.of_train)
        # Clean views are kept whoever needs them: every epoch of a trial needs them again.
        n_users = max(map(users.__getitem__, _names(parts)))
        is_shared = group.policy == CLEAN or n_users > 1
        row = _row(group, parts, cost, has_sizes=has_sizes)
        row |= {
            "passes alone": f"{alone:,}",
            "shared": f"{together:,}",
            "decision": _decision(
                group.depth, is_cut=is_cut, is_new=together > 0, is_shared=is_shared
            ),
        }
        rows.append(row)
    return rows, SharedPasses(counted.alone, counted.together, len(counted.names))


def parts_of(
    recipe: Recipe,
    facts: RecipeFacts,
    *,
    policy: str,
    seeds: Sequence[int],
    weights: Mapping[str, WeightsIdentity],
) -> Iterator[tuple[int, Part]]:
    """Yield the depth of the cut and the phase, for each phase of an arm."""
    trunks = {}
    for seed in seeds:
        trunks[seed] = planned_trunk(recipe, pooling=facts.pooling, seed=seed, weights=weights)
    phases = phases_of(recipe)
    first = 0
    for number, depth in enumerate(cut_depths(recipe, facts)):
        # A classifier that is fitted at once sees every image once, whatever `epochs` says.
        n_epochs = phases[number].epochs
        if recipe.is_fitted:
            n_epochs = 1
        # Test is shown once, after the last phase.
        is_last = number == len(phases) - 1
        yield depth, Part(recipe, policy, trunks, range(first, first + n_epochs), is_last)
        # Epochs are counted on over the phases, since views are drawn by their epoch.
        first += n_epochs


def n_used(recipe: Recipe, of_train: Sequence[int]) -> int:
    """Train images that a trial learns from, of so many of each class.

    A kept view is of the whole split all the same, whoever asks for it.
    """
    if recipe.shots is None:
        return sum(of_train)
    # A class with fewer images than shots is used whole.
    return sum(min(count, recipe.shots) for count in of_train)


def views_of(part: Part, n_images: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return the views that a phase needs over its seeds, by name, and the images of each."""
    views = []
    for seed, trunk in part.trunks.items():
        # Val is looked at in every phase, test once, by the weights at the end.
        showings = [Showing("val")]
        if part.is_last:
            showings.append(Showing("test"))
        if part.policy == CLEAN:
            showings.append(Showing("train"))
        # Where each seed has a split of its own, clean views are one view of all images.
        if WHOLE in n_images:
            showings = [Showing(WHOLE)]
        if part.policy != CLEAN:
            # Drawn by seed and epoch: every epoch is a view of its own.
            for epoch in part.epochs:
                showings.append(Showing("train", policy=part.policy, seed=seed, epoch=epoch))
        for showing in showings:
            views.append((view_name(trunk, showing), n_images[showing.split]))
    return views


def _groups(
    resolved: Resolved, facts: Mapping[str, RecipeFacts], networks: NetworkFacts
) -> dict[Group, list[Part]]:
    arms = resolved.expansion.arms
    weights = weights_of(arms, networks, data=resolved.data)
    groups: dict[Group, list[Part]] = {}
    for arm in arms:
        built = facts[arm.arm_id]
        policy = policy_word(arm.recipe, source=resolved.data.source)
        parts = parts_of(
            arm.recipe, built, policy=policy, seeds=resolved.record.seeds, weights=weights
        )
        for depth, part in parts:
            group = Group(
                arm.recipe.backbone, depth, policy, built.n_units, built.preprocessing.image_size
            )
            groups.setdefault(group, []).append(part)
    return groups


def _users(groups: Mapping[Group, Sequence[Part]]) -> Counter[str]:
    """Name of a trial's views of train -> phases of trials that need them."""
    users: Counter[str] = Counter()
    for group, parts in groups.items():
        # Without a frozen prefix there is nothing to keep, so nothing is used.
        if group.depth > 0:
            users.update(_names(parts))
    return users


def _names(parts: Sequence[Part]) -> Iterator[str]:
    for part in parts:
        for seed, trunk in part.trunks.items():
            yield train_views_name(trunk, policy=part.policy, seed=seed)


def _row_order(group: Group) -> tuple[str, int, int, str]:
    # Shallow cuts first: what a deeper one shares with them is counted in their row.
    return group.backbone, group.image_size, group.depth, group.policy


def _alone(part: Part, n_images: Mapping[str, int], *, of_train: Sequence[int]) -> int:
    """Passes of all seeds of a phase, if every trial ran by itself."""
    # Alone, a trial would send its own train images through, not the whole split.
    each = len(part.epochs) * (n_used(part.recipe, of_train) + n_images["val"])
    if part.is_last:
        each += n_images["test"]
    return len(part.trunks) * each


def _row(
    group: Group, parts: Sequence[Part], cost: PrefixCost, *, has_sizes: bool
) -> dict[str, object]:
    row: dict[str, object] = {"backbone": group.backbone}
    # Only where they tell rows apart.
    if has_sizes:
        row["image px"] = group.image_size
    return row | {
        "frozen prefix": f"{group.depth} of {group.n_units} units",
        "augment": group.policy,
        "arms": len(parts),
        "trials": sum(len(part.trunks) for part in parts),
        "M mult-adds": f"{cost.n_multiply_adds / 1e6:,.0f}",
        "values": f"{cost.n_values:,}",
    }


def _decision(depth: int, *, is_cut: bool, is_new: bool, is_shared: bool) -> str:
    if depth == 0:
        return "nothing to keep: whole network"
    if not is_cut:
        return "cheaper computed again than kept: whole network"
    if not is_new:
        return "kept by a row above"
    if is_shared:
        return "computed once, kept"
    return "computed, views of train not kept: one trial needs them"
