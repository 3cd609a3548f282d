"""What a trial of each kind takes: by those of its kind that have ended, else by the nearest kind.

A trial's time falls into two parts, which are predicted apart: the activations of its frozen
prefix, which one trial computes for all that share them, and everything else.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from ablate.recipe.policy import is_clean
from ablate.recipe.recipe import Recipe
from ablate.recipe.shown_part import SHOWN_FIELDS
from ablate.recipe.strategy import phases_of

COSTLESS = frozenset(
    {
        "head_lr",
        "lr_ratio",
        "layer_decay",
        "momentum",
        "weight_decay",
        "l2_sp",
        "lwf",
        "lwf_temperature",
        "co_tuning",
        "bss",
        "bss_k",
        "clip_norm",
        "drop_path",
        "dropout",
        "schedule",
        "warmup",
        "step_every",
        "step_factor",
        "label_smoothing",
        "class_weights",
        "effective_beta",
        "loss",
        "focal_gamma",
        "logit_adjustment",
        "classifier_l2",
        "lora_alpha",
        "adapter_dropout",
        "view",
        "crop_share",
        "interpolation",
    }
)
"""Fields of a recipe that change what is learned and not, or hardly, how long that takes."""
# Trials of a kind that say what the next one takes: machines get slower and faster.
_N_RECENT = 5

# Costs beside one another; 1 is an epoch of the last unit on kept activations. Medians of the
# committed reports, of 2-core machines with and without bf16: full fine-tuning is 28 to 77.
_START = 0.8
_HEAD_EPOCH = 0.02
_ADAPTED_EPOCH = 1.8
_FULL_EPOCH = 40.0
_UNCUT_PASS = 8.0
_USUAL_SIDE = 224
"""Pixels: what an image size that the recipe leaves open is taken as."""
_BESIDE_ITS_START = 4 / 3
RATIO_POWER = 0.85
"""Ratios of costs are taken to this power: what is far away is likely to be nearer than it seems,
because a cheap trial was held up by something that an expensive one pays just once too."""

TimedKind = tuple[object, ...]
"""What of a recipe decides its time. `plan.estimate.Kind` is coarser: its kinds are each probed."""


class SharedViews(NamedTuple):
    """Activations that trials share."""

    backbone: str
    weights: str
    augment: object
    images: tuple[object, ...]
    """How they are shown, where the recipe says it."""
    is_for_all_seeds: bool
    """Clean views through pretrained weights are computed once, others for each seed again."""


@lru_cache(maxsize=4096)
def timed_kind(recipe: Recipe) -> TimedKind:
    """What trials have in common that take about as long as each other."""
    return tuple(value for name, value in recipe if name not in COSTLESS)


@lru_cache(maxsize=4096)
def prior(recipe: Recipe) -> float:
    """What a trial costs beside others, its prefix apart, before one of its kind was seen."""
    cost = _START
    if recipe.is_fitted:
        return cost + _HEAD_EPOCH
    for phase in phases_of(recipe):
        cost += phase.epochs * _epoch(recipe, phase.freeze_depth)
    # Steps take as long as their images have pixels; what the data say is the same for all.
    if isinstance(recipe.image_size, int):
        cost *= (recipe.image_size / _USUAL_SIDE) ** 2
    return cost


def _epoch(recipe: Recipe, depth: object) -> float:
    # Blended images have no activations that could be kept: the whole network runs.
    cost = _HEAD_EPOCH
    if recipe.mixup > 0 or recipe.cutmix > 0:
        cost += _UNCUT_PASS
    if recipe.adapter_kind != "none":
        n_adapted = 20 if recipe.adapter_units == "all" else recipe.adapter_units
        cost += _ADAPTED_EPOCH * n_adapted / 2
    if isinstance(depth, int) and depth < 0:
        cost += -depth
    elif depth != "all":
        # Free from a unit that is counted from the front: nearly everything, for all one knows.
        cost += _FULL_EPOCH
    if recipe.delta > 0:
        # a second pass, without gradients
        return min(cost, _FULL_EPOCH) * _BESIDE_ITS_START
    return min(cost, _FULL_EPOCH)


def shared_views(recipe: Recipe) -> SharedViews:
    """What a trial shares with others."""
    is_for_all_seeds = is_clean(recipe) and recipe.weights != "none"
    images = tuple(getattr(recipe, name) for name in SHOWN_FIELDS)
    return SharedViews(recipe.backbone, recipe.weights, recipe.augment, images, is_for_all_seeds)


@dataclass(frozen=True, slots=True)
class Spent:
    """What a trial took that has ended."""

    seconds: float
    prefix_s: float
    """Of these for activations of its frozen prefix; 0 where that is not known."""
    is_first: bool
    """Whether it was the first of its slot, and its worker's imports are in it."""


@dataclass
class TrialCosts:
    """Learns from trials that have ended, and predicts others."""

    _spent: dict[TimedKind, list[Spent]] = field(default_factory=dict)
    _prefixes_s: dict[SharedViews, list[float]] = field(default_factory=dict)
    """What each trial that ended took for these views, most of them nothing."""
    _priors: dict[TimedKind, float] = field(default_factory=dict)

    def note(self, recipe: Recipe | None, spent: Spent) -> None:
        """Learn from a trial; `recipe` None is one of a search, which are of one kind."""
        kind = self.kind(recipe)
        self._spent.setdefault(kind, []).append(spent)
        if recipe is not None:
            self._prefixes_s.setdefault(shared_views(recipe), []).append(spent.prefix_s)

    def kind(self, recipe: Recipe | None) -> TimedKind:
        """The kind of a recipe."""
        kind = () if recipe is None else timed_kind(recipe)
        if kind not in self._priors:
            self._priors[kind] = 1.0 if recipe is None else prior(recipe)
        return kind

    @property
    def has_any(self) -> bool:
        """Whether a trial of any kind has ended."""
        return bool(self._spent)

    def knows(self, kind: TimedKind) -> bool:
        """Whether a trial of the kind has ended."""
        return kind in self._spent

    def own_s(self, kind: TimedKind) -> float | None:
        """Seconds of a trial of a kind that has ended before, its prefix apart; else None."""
        if kind not in self._spent:
            return None
        warm = [spent for spent in self._spent[kind] if not spent.is_first]
        recent = (warm or self._spent[kind])[-_N_RECENT:]
        # The lower median: what disturbs a trial, a cold cache say, makes it longer.
        return statistics.median_low(spent.seconds - spent.prefix_s for spent in recent)

    def prefix_s(self, recipe: Recipe | None) -> float:
        """Seconds that a trial spends on views, on average over those that share them."""
        if recipe is None:
            return 0.0
        views = shared_views(recipe)
        if views.is_for_all_seeds:
            return 0.0
        if views in self._prefixes_s:
            return statistics.mean(self._prefixes_s[views])
        # A random trunk is shared with nobody, so it is paid in full, as others were once.
        if recipe.weights == "none" and self._prefixes_s:
            return max(map(max, self._prefixes_s.values()))
        return 0.0

    def guessed_s(self, kind: TimedKind, running_s: dict[TimedKind, float]) -> float:
        """Seconds of a trial of a kind that nobody saw end, by the kind that should be nearest.

        `running_s` is what trials of other kinds that run are going to take. 0 where nothing is
        known at all.
        """
        known_s = dict(running_s)
        for other in self._spent:
            own_s = self.own_s(other)
            if own_s is not None:
                known_s[other] = own_s
        if not known_s:
            return 0.0
        cost = self._priors[kind]
        nearest = min(known_s, key=lambda other: abs(math.log(self._priors[other] / cost)))
        ratio = cost / self._priors[nearest]
        return known_s[nearest] * math.pow(ratio, RATIO_POWER)
