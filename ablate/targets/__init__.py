"""The kinds of labels that there are. A new kind is a file here and an entry of `TARGETS`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ablate.errors import CheckFailed
from ablate.targets._base import Label, SortKey, Targets
from ablate.targets.one_label import OneLabel
from ablate.targets.several_labels import SeveralLabels

__all__ = [
    "TARGETS",
    "Label",
    "OneLabel",
    "SeveralLabels",
    "SortKey",
    "Targets",
    "kind_of_columns",
    "targets_of_array",
    "targets_of_labels",
]

# the order counts where labels fit several kinds: see `targets_of_labels`
TARGETS: dict[str, type[Targets]] = {"one_label": OneLabel, "several_labels": SeveralLabels}
"""By the word that a `TaskSpec` names them with."""


def targets_of_labels(labels: Sequence[Label], *, n_classes: int | None) -> Targets:
    """Targets of the kind that the labels are of; None for as many classes as they name.

    Raises CheckFailed for labels of several kinds.
    """
    # A source of no image at all has labels of every kind: the first one will do.
    for kind in TARGETS.values():
        if all(map(kind.is_label, labels)):
            return kind.of_labels(labels, n_classes=n_classes)
    raise CheckFailed(f"all labels of a source must be of one kind, got {labels[:3]!r}, ...")


def targets_of_array(array: NDArray[np.integer], *, n_classes: int) -> Targets:
    """Targets of the kind that is kept in such an array. Raises CheckFailed where there is none."""
    for kind in TARGETS.values():
        if kind.is_array(array):
            return kind.of_array(array, n_classes=n_classes)
    raise CheckFailed(f"labels must be (N,) or (N, C), got {array.shape}")


def kind_of_columns(columns: Collection[Any]) -> type[Targets] | None:
    """The kind whose columns a predictions file has; None where it has none."""
    for kind in TARGETS.values():
        # one column is enough: no two kinds share their first
        if kind.first_column() in columns:
            return kind
    return None
