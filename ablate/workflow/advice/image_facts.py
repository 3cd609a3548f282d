"""Facts of an image set, from its splits and a look at some of its images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ablate.advice.facts import ImageSetFacts
from ablate.advice.signs import may_flip, seeks_small_signs
from ablate.data.dataset import DataSet, Split
from ablate.recipe.policy import DIRECTED_SOURCES
from ablate.study.trial import DataSpec

N_SEEN = 60
"""Images of train that are decoded: shapes and colours of a set show in few."""
_OWN_SPLIT = "official"
_GREY_SHARE = 0.95
_QUANTILES = (0.05, 0.5, 0.95)


@dataclass(frozen=True, slots=True)
class _Look:
    width: int
    height: int
    is_grey: bool


def image_facts(
    spec: DataSpec, data_set: DataSet, *, probe_score: float | None = None
) -> ImageSetFacts:
    """Read some images, and put together what is known of all. Raises DataError."""
    facts = data_set.facts
    train = data_set.splits["train"]
    looks = [_look(train.read(position)) for position in seen_positions(train)]
    widths = np.array([look.width for look in looks])
    heights = np.array([look.height for look in looks])
    aspects = np.maximum(widths, heights) / np.minimum(widths, heights)
    low, middle, high = np.quantile(aspects, _QUANTILES)
    n_groups = None
    if facts.groups is not None:
        n_groups = _n_groups(data_set)
    return ImageSetFacts(
        source=spec.source,
        path=spec.path,
        n_train=facts.n_images["train"],
        n_val=facts.n_images["val"],
        n_test=facts.n_images["test"],
        classes=facts.class_names,
        train_counts=dict(zip(facts.class_names, facts.class_counts["train"], strict=True)),
        has_several_labels=bool(facts.image_counts),
        has_own_split=facts.split_rule.startswith(_OWN_SPLIT),
        median_size=(int(np.median(widths)), int(np.median(heights))),
        smallest_size=(int(widths.min()), int(heights.min())),
        aspect_quantiles=(float(low), float(middle), float(high)),
        is_grey=_are_grey(looks),
        n_groups=n_groups,
        seeks_small_signs=seeks_small_signs(_all_names(data_set)),
        may_flip=spec.source not in DIRECTED_SOURCES and may_flip(facts.class_names),
        probe_score=probe_score,
    )


def _are_grey(looks: Sequence[_Look]) -> bool:
    n_grey = 0
    for look in looks:
        n_grey += look.is_grey
    return n_grey >= _GREY_SHARE * len(looks)


def seen_positions(split: Split, n_seen: int = N_SEEN) -> list[int]:
    """Positions spread evenly over a split, whose images may be in the order of their classes."""
    n_images = len(split.image_ids)
    n_seen = min(n_seen, n_images)
    return [position * n_images // n_seen for position in range(n_seen)]


def _look(image: Image.Image) -> _Look:
    # A small copy: equal channels stay equal when they are resized.
    pixels = np.asarray(image.resize((16, 16)), dtype=np.int16)
    spread = pixels.max(axis=2) - pixels.min(axis=2)
    return _Look(image.width, image.height, bool(spread.max() <= 2))


def _all_names(data_set: DataSet) -> list[str]:
    """Names of the classes, and of those that regrouping took."""
    names = list(data_set.facts.class_names)
    for former in data_set.facts.regrouped.values():
        names += former
    return names


def _n_groups(data_set: DataSet) -> int:
    groups: set[str] = set()
    for split in data_set.splits.values():
        groups.update(split.groups or ())
    return len(groups)
