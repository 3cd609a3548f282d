"""Figures of what an arm gets wrong: confusion, reliability, example images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np

from ablate.errors import plural
from ablate.reporting.figures.draw import draw_confusion
from ablate.reporting.figures.models import draw_reliability
from ablate.reporting.figures.picture import Picture
from ablate.reporting.figures.tiles import Tile, TileFigure
from ablate.reporting.insights.classification.class_digest import ClassDigest, Mistake
from ablate.reporting.insights.classification.confusion import similarity_order, worst_part
from ablate.reporting.insights.mistake_tiles import MISTAKES, mistakes_figure
from ablate.reporting.predictions.pooled_votes import Pooled

CONFUSION = "confusion_champion"
CONFUSED = "examples_confused"
RELIABILITY = "reliability_champion"
_MOST_CLASSES = 30
"""The names of more do not fit beside a matrix at the width of a README."""
_N_WORST = 20
"""So many are shown of more, with the shares as numbers."""
__all__ = ["CONFUSED", "CONFUSION", "MISTAKES", "RELIABILITY", "class_pictures", "class_tiles"]


def class_pictures(digest: ClassDigest, class_names: Sequence[str]) -> list[Picture]:
    """The confusion matrix and the reliability diagram."""
    return [_confusion(digest, class_names), _reliability(digest)]


def _confusion(digest: ClassDigest, class_names: Sequence[str]) -> Picture:
    accuracy = digest.confusion.trace() / digest.confusion.sum()
    shown = np.arange(len(class_names), dtype=np.intp)
    if len(shown) > _MOST_CLASSES:
        shown = worst_part(digest.confusion, most=_N_WORST)
    # over all predicted classes, also those that are not shown: the shares of a row are of these
    n_of_label = digest.confusion.sum(axis=1)
    # cut first, ordered after: only classes that are shown can be neighbours
    part = digest.confusion[np.ix_(shown, shown)]
    order = similarity_order(part)
    names = [class_names[position] for position in shown[order]]
    of_which = ""
    if len(shown) < len(class_names):
        of_which = f", the {len(shown)} of {len(class_names)} classes that are confused most"
    alt = (
        f"Confusion matrix of the best arm on test, {plural(digest.n_seeds, 'seed')} together"
        f"{of_which}, classes that are taken for each other side by side: "
        f"{100 * accuracy:.1f} % of all predictions lie on the diagonal."
    )
    sorted_part = part[np.ix_(order, order)]
    draw = partial(draw_confusion, sorted_part, names, n_of_label[shown[order]])
    return Picture(CONFUSION, draw, alt)


def _reliability(digest: ClassDigest) -> Picture:
    bins = digest.reliability
    alt = (
        f"Reliability diagram of the best arm on test, {digest.n_seeds} seeds together: "
        f"accuracy against confidence in {len(bins.count)} bins, calibration error {bins.ece:.3f}."
    )
    return Picture(RELIABILITY, partial(draw_reliability, bins), alt)


def class_tiles(
    digest: ClassDigest, pooled: Sequence[Pooled], class_names: Sequence[str]
) -> list[TileFigure]:
    """Images of the most confused pairs of classes, and the most confident mistakes."""
    rows = []
    for mistakes in digest.confused:
        rows.append(_pair_row(mistakes, digest.n_tests, pooled, class_names))
    alt = (
        "Test images of the most confused pairs of classes, one pair per row; "
        "the last image of a row is really of the second class."
    )
    wrong = []
    for mistake in digest.mistakes:
        label = class_names[mistake.label]
        predicted = class_names[mistake.predicted]
        wrong.append(Tile(("test", mistake.image_id), f"{label},\ntaken for {predicted}"))
    return [TileFigure(CONFUSED, alt, rows), mistakes_figure(wrong)]


def _pair_row(
    mistakes: Sequence[Mistake], n_tests: int, pooled: Sequence[Pooled], class_names: Sequence[str]
) -> tuple[str, list[Tile]]:
    """Images of one class that were taken for another, then one that really is of the other."""
    # all of one pair, see `class_digest`
    label = mistakes[0].label
    predicted = mistakes[0].predicted
    tiles = []
    for mistake in mistakes:
        caption = f"{mistake.n_seeds} of {plural(n_tests, 'seed')}"
        tiles.append(Tile(("test", mistake.image_id), caption))
    # last in the row: what the network believed to see
    tiles.extend(_typical_image(pooled, predicted, class_names))
    return f"{class_names[label]}\ntaken for\n{class_names[predicted]}", tiles


def _typical_image(
    pooled: Sequence[Pooled], label: int, class_names: Sequence[str]
) -> Iterable[Tile]:
    """The test image of a class that all trials together are most confident of."""
    for split in pooled:
        is_of_class = split.labels == label
        if split.split == "test" and is_of_class.any():
            # Images of other classes never win: their confidence is below every probability.
            confidence = np.where(is_of_class, split.probabilities[:, label], -1.0)
            image_id = split.image_ids[int(confidence.argmax())]
            yield Tile(("test", image_id), f"really {class_names[label]}")
