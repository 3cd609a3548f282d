"""What trials of a study share, counted before any of them runs: passes of an image through the frozen prefix, alone and together."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ablate.model.facts import RecipeFacts
from ablate.recipe.policy import policy_word
from ablate.recipe.recipe import Recipe
from ablate.recipe.strategy import phases_of
from ablate.workflow.prepare.network_facts import Looks
from ablate.workflow.prepare.prepared import Resolved, cut_depths


@dataclass(frozen=True, slots=True)
class SharedPasses:
    """Passes of an image through frozen leading units."""

    alone: int
    """If every trial ran by itself: train and val in every epoch, test once."""
    together: int
    """With each view computed once for all trials that share it; deeper boundaries start from shallower ones."""


def sharing_table(
    resolved: Resolved, facts: Mapping[str, RecipeFacts], *, looks: Looks
) -> tuple[list[dict[str, object]], SharedPasses]:
    """One row for each backbone, cut and augmentation: arms, trials, passes alone and together, and what is decided; then the sum over the study.

    `M mult-adds` is what one image's way to the cut takes, `values` the size of its activation there: the first must be worth the second on the
    machine's device.
    Patience may end trials earlier: the counts are upper bounds then.
    """
    counts, of_train = resolved.data_set.facts.n_images, resolved.data_set.facts.of_train
    n_train, n_val, n_test = (counts[split] for split in ("train", "val", "test"))
    groups: dict[tuple[str, int, int, str, int], list[Part]] = defaultdict(list)
    users: Counter[tuple[str, str]] = Counter()
    for arm in resolved.expansion.arms:
        own, policy = facts[arm.arm_id], policy_word(arm.recipe, source=resolved.data.source)
        for depth, part in _parts(arm.recipe, own):
            groups[
                arm.recipe.backbone, depth, own.n_units, policy, own.preprocessing.image_size
            ].append(part)
        users[arm.recipe.backbone, policy] += max(cut_depths(arm.recipe, own)) > 0
    seeds = len(resolved.record.seeds)
    rows: list[dict[str, object]] = []
    seen = set()
    device = looks.device()
    whole = SharedPasses(0, 0)
    for (backbone, depth, n_units, augment, image_size), parts in sorted(
        groups.items(), key=lambda group: (group[0][0], group[0][1], group[0][3])
    ):
        alone = together = 0
        cost = looks.prefix_cost(backbone, image_size, depth)
        is_cut = depth > 0 and cost.is_worth_keeping(device)
        for part in parts if is_cut else []:
            alone += seeds * (
                len(part.epochs) * (n_used(part.recipe, of_train) + n_val)
                + (n_test if part.is_last else 0)
            )
            for view, n_images in views_of(
                part,
                resolved.record.seeds,
                policy=augment,
                n_train=n_train,
                n_held_out=n_val + n_test,
            ):
                if (backbone, view) not in seen:
                    seen.add((backbone, view))
                    together += n_images
        whole = SharedPasses(whole.alone + alone, whole.together + together)
        decided = _decision(
            depth,
            is_cut=is_cut,
            is_new=together > 0,
            is_shared=augment == "none" or users[backbone, augment] > 1,
        )
        rows.append(
            {
                "backbone": backbone,
                "frozen prefix": f"{depth} of {n_units} units",
                "augment": augment,
                "arms": len(parts),
                "trials": len(parts) * seeds,
                "M mult-adds": f"{cost.n_multiply_adds / 1e6:,.0f}",
                "values": f"{cost.n_values:,}",
                "passes alone": f"{alone:,}",
                "shared": f"{together:,}",
                "decision": decided,
            }
        )
    return rows, whole


def _decision(depth: int, *, is_cut: bool, is_new: bool, is_shared: bool) -> str:
    if depth == 0:
        return "nothing to keep: whole network"
    if not is_cut:
        return "cheaper computed again than kept: whole network"
    if not is_new:
        return "kept by a row above"
    return (
        "computed once, kept"
        if is_shared
        else "computed, views of train not kept: one trial needs them"
    )


@dataclass(frozen=True, slots=True)
class Part:
    """One phase of an arm."""

    recipe: Recipe
    epochs: range
    """Counted over all phases."""
    is_last: bool


def _parts(recipe: Recipe, facts: RecipeFacts) -> Iterator[tuple[int, Part]]:
    """Yield the depth of the cut and the phase, for each phase of an arm."""
    first, phases, depths = 0, phases_of(recipe), cut_depths(recipe, facts)
    for number, (phase, depth) in enumerate(zip(phases, depths, strict=True), start=1):
        n_epochs = 1 if recipe.is_fitted else phase.epochs
        yield depth, Part(recipe, range(first, first + n_epochs), number == len(phases))
        first += n_epochs


def n_used(recipe: Recipe, of_train: Sequence[int]) -> int:
    """Train images that a trial learns from, of so many of each class; a kept view is of the whole split, whoever asks for it."""
    return (
        sum(of_train)
        if recipe.shots is None
        else sum(min(count, recipe.shots) for count in of_train)
    )


def views_of(
    part: Part, seeds: tuple[int, ...], *, policy: str, n_train: int, n_held_out: int
) -> list[tuple[tuple[object, ...], int]]:
    """The views that a phase needs over its seeds, and their images; a random trunk is another network for every seed."""
    recipe = part.recipe
    trunks = seeds if recipe.weights == "none" else ("pretrained",)
    clean: list[tuple[tuple[object, ...], int]] = [
        ((recipe.weights, trunk, "held out"), n_held_out) for trunk in trunks
    ]
    if policy == "none":
        return clean + [((recipe.weights, trunk, "clean"), n_train) for trunk in trunks]
    return clean + [
        ((recipe.weights, policy, seed, epoch), n_train) for seed in seeds for epoch in part.epochs
    ]
