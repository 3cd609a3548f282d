"""What a trial stores of its predictions, and how it is read back: one codec per task.

A codec knows the columns of a table beside `split` and `image_id`. It has no opinion on files:
`ablate.tracking.artifacts` writes and reads them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ablate.errors import CheckFailed
from ablate.study.tasks.classification import CLASSIFICATION
from ablate.study.tasks.multilabel import MULTILABEL
from ablate.targets import OneLabel, SeveralLabels, Targets
from ablate.targets._base import numbered

GROUP = "group"
"""Column of the images' groups, where there are some."""


@dataclass(frozen=True, eq=False)
class SplitPredictions:
    """What a network said of the images of one split."""

    image_ids: Sequence[str]
    targets: Targets
    outputs: NDArray[np.floating]
    """(N, ...) what the task stores per image, e.g. probabilities (N, C)."""
    groups: Sequence[str] | None = None
    """The group of each image; None where nothing groups them."""


class PredictionCodec(Protocol):
    """How the predictions of one task stand in a table."""

    def encode(self, predictions: SplitPredictions) -> dict[str, Any]:
        """Column -> values, one row per image or more, with `image_id` among them."""
        ...

    def decode(self, columns: Mapping[Any, Any], *, n_classes: int) -> SplitPredictions:
        """Inverse of `encode`; raises CheckFailed where the columns are of other classes."""
        ...

    def needed_columns(self) -> tuple[str, ...]:
        """Columns without which a table is none of this task, in their order."""
        ...


@dataclass(frozen=True)
class ScorePerClass:
    """One row per image, one column `p_0`, `p_1`, ... of float32 per class, beside the labels."""

    targets: type[Targets]

    def encode(self, predictions: SplitPredictions) -> dict[str, Any]:
        """See `PredictionCodec`."""
        # float32 is what the network computed in; more digits would only pretend
        scores = np.asarray(predictions.outputs, dtype=np.float32).T
        columns: dict[str, Any] = {"image_id": list(predictions.image_ids)}
        if predictions.groups is not None:
            columns[GROUP] = list(predictions.groups)
        columns.update(predictions.targets.columns())
        for index, column in enumerate(scores):
            columns[f"p_{index}"] = column
        return columns

    def decode(self, columns: Mapping[Any, Any], *, n_classes: int) -> SplitPredictions:
        """See `PredictionCodec`; outputs are float32."""
        # by number, not as they stand: p_10 comes before p_2 where names are sorted
        names = numbered(columns, "p_")
        if len(names) != n_classes:
            raise CheckFailed(
                f"predictions must have a column for each of the {n_classes} classes, "
                f"got {len(names)}"
            )
        of_classes = [np.asarray(columns[name], dtype=np.float32) for name in names]
        scores = np.stack(of_classes, axis=1)
        targets = self.targets.of_columns(columns, n_classes=n_classes)
        groups = None
        if GROUP in columns:
            groups = list(columns[GROUP])
        return SplitPredictions(list(columns["image_id"]), targets, scores, groups)

    def needed_columns(self) -> tuple[str, ...]:
        """See `PredictionCodec`."""
        return ("image_id", self.targets.first_column(), "p_0")


# a codec may write a new column, but never drop or rename one: old runs are read with it
CODECS: dict[str, PredictionCodec] = {
    CLASSIFICATION.name: ScorePerClass(OneLabel),
    MULTILABEL.name: ScorePerClass(SeveralLabels),
}
"""By the name of the task."""


def is_table_of_predictions(columns: Collection[Any]) -> bool:
    """Whether some task could have written a table with such columns."""
    # more columns than needed are fine: `split`, and whatever a later version adds
    known = set(columns)
    return any(known.issuperset(codec.needed_columns()) for codec in CODECS.values())
