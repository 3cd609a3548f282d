"""Which images the report shows: examples of what the best arm confuses, and of labels in doubt. Small versions come from the study's store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ablate.reporting.insights.classification.class_insight import ArmInsight
from ablate.reporting.pages.sections.review import N_DUPLICATES, N_SUSPECTS
from ablate.reporting.results import Results

ImageKey = tuple[str, str]
"""(split, image_id)."""
Thumbnails = Mapping[ImageKey, NDArray[np.uint8]]
"""Key -> (H, W, 3) RGB."""
Pictures = Callable[[Sequence[ImageKey]], Thumbnails]
"""Gives small versions of images; those that it does not have are missing."""
LEFT_OUT = "Example images are left out (`--no-images`)."


@dataclass(frozen=True)
class Tile:
    """An image with what stands above it."""

    key: ImageKey
    caption: str


def with_pictures(results: Results, pictures: Pictures | None) -> Results:
    """The results with small versions of the images that the report shows; None leaves them out."""
    return (
        results
        if pictures is None
        else replace(results, thumbnails=dict(pictures(wanted_images(results))))
    )


def wanted_images(results: Results) -> list[ImageKey]:
    """Every image that the report would show, each once, in order."""
    rows = (
        *confused_rows(results).values(),
        mistake_tiles(results),
        suspect_tiles(results),
        *duplicate_rows(results),
    )
    return list(dict.fromkeys(tile.key for row in rows for tile in row))


def _champion(results: Results) -> ArmInsight | None:
    return None if results.champion is None else results.insights.get(results.champion.arm_id)


def confused_rows(results: Results) -> dict[str, list[Tile]]:
    """A row for each most confused pair of classes: images of the first that were taken for the second, then one that really is of the second."""
    insight, names = _champion(results), results.record.data.class_names
    rows = {}
    for mistakes in () if insight is None else insight.confused:
        label, taken = mistakes[0].label, mistakes[0].predicted
        tiles = [
            Tile(
                ("test", one.image_id),
                f"{one.n_seeds} of {insight.n_seeds} seeds" if insight else "",
            )
            for one in mistakes
        ]
        rows[f"{names[label]}\ntaken for\n{names[taken]}"] = [*tiles, *_a_real_one(results, taken)]
    return rows


def _a_real_one(results: Results, label: int) -> Iterable[Tile]:
    """The test image of a class that all trials together are surest of."""
    test = next((one for one in results.pooled if one.split == "test"), None)
    if test is None or not (test.labels == label).any():
        return []
    best = int(np.where(test.labels == label, test.probabilities[:, label], -1.0).argmax())
    return [
        Tile(("test", test.image_ids[best]), f"really {results.record.data.class_names[label]}")
    ]


def mistake_tiles(results: Results) -> list[Tile]:
    """The most confident mistakes."""
    insight, names = _champion(results), results.record.data.class_names
    of_labels = (
        None if results.champion is None else results.label_insights.get(results.champion.arm_id)
    )
    if of_labels is not None:
        told = (("called", of_labels.false_positives), ("missed", of_labels.false_negatives))
        return [
            Tile(("test", one.image_id), f"{what}:\n{names[one.position]}")
            for what, errors in told
            for one in errors
        ]
    return (
        []
        if insight is None
        else [
            Tile(("test", one.image_id), f"{names[one.label]},\ntaken for {names[one.predicted]}")
            for one in insight.mistakes
        ]
    )


def suspect_tiles(results: Results) -> list[Tile]:
    """Labels in doubt."""
    names = results.record.data.class_names
    return [
        Tile((one.split, one.image_id), f"labelled {names[one.label]},\nseen: {names[one.likely]}")
        for one in results.suspects[:N_SUSPECTS]
    ]


def duplicate_rows(results: Results) -> list[list[Tile]]:
    """Near-duplicates, a pair a row."""
    found = results.record.data.near_duplicates
    return [
        [
            Tile((one.first_split, one.first_id), one.first_split),
            Tile((one.second_split, one.second_id), one.second_split),
        ]
        for one in (found.pairs[:N_DUPLICATES] if found else ())
    ]
