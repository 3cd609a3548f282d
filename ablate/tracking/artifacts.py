"""Files that a trial leaves for its report: predictions as parquet, confusion matrices as tables, curves as JSON."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from pyarrow.parquet import ParquetFile

from ablate.checksum import is_sealed, sealed, unsealed
from ablate.errors import StoreError
from ablate.quoting import cell
from ablate.tracking.events import EpochEnded

PREDICTIONS = "predictions.parquet"
_LOG = logging.getLogger(__name__)
Curves = dict[str, tuple[tuple[int, float], ...]]
"""Metric -> ((epoch, value), ...) in order of the epochs."""


def write_predictions(
    path: Path, predictions: Mapping[str, tuple[Sequence[str], np.ndarray, np.ndarray]]
) -> None:
    """Write split -> (image_ids (N,), labels (N,) or (N, C) int, probabilities (N, C) float) as one parquet table of float32 probabilities.

    The file appears whole or not at all. Raises ValueError where the lengths of a split differ.
    """
    frame = pd.concat(
        [_split_frame(split, *parts) for split, parts in predictions.items()], ignore_index=True
    )
    half = path.with_name(path.name + ".part")
    frame.to_parquet(half, index=False)
    half.replace(path)


def _split_frame(
    split: str, image_ids: Sequence[str], labels: np.ndarray, probabilities: np.ndarray
) -> pd.DataFrame:
    if not len(image_ids) == len(labels) == len(probabilities):
        raise ValueError(
            f"split {split}: there must be one label and one row of probabilities an image, "
            f"got {len(image_ids)} images, {len(labels)} labels, {len(probabilities)} rows"
        )
    columns = {
        f"p_{index}": column
        for index, column in enumerate(np.asarray(probabilities, dtype=np.float32).T)
    }
    labels = np.asarray(labels)
    told = (
        {"label": labels.astype(np.int64)}
        if labels.ndim == 1
        else {f"y_{index}": column for index, column in enumerate(labels.astype(np.int8).T)}
    )
    return pd.DataFrame({"split": split, "image_id": list(image_ids), **told, **columns})


def read_predictions(path: Path) -> pd.DataFrame:
    """Return columns split, image_id, label, p_0 .. p_{C-1} (float32), one row an image. Raises StoreError for a file that is missing or no such table.

    Images with several labels have y_0 .. y_{C-1} of 0 and 1 in place of label.
    """
    try:
        with (
            ParquetFile(path) as file
        ):  # a third of what pandas' reader takes for so small a file, and a report reads one a run
            frame: pd.DataFrame = file.read(use_threads=False).to_pandas(use_threads=False)
    except (OSError, ValueError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise StoreError(
            f"predictions must be a readable parquet file, {path} is not: {error}"
        ) from error
    missing = {"split", "image_id", "y_0" if "y_0" in frame else "label", "p_0"} - set(
        frame.columns
    )
    if missing:
        raise StoreError(
            f"predictions must have the columns split, image_id, label, p_0, ...; {path} lacks {', '.join(sorted(missing))}"
        )
    return frame


def probabilities_of(frame: pd.DataFrame) -> np.ndarray:
    """Return the probabilities (N, C) float32 of a table of predictions, in the order of its rows."""
    return frame[_numbered(frame, "p_")].to_numpy(dtype=np.float32)


def labels_of(frame: pd.DataFrame) -> np.ndarray:
    """Return the labels (N,) int64 of a table of predictions, in the order of its rows; (N, C) of 0 and 1 where images have several."""
    return frame["label" if "label" in frame else _numbered(frame, "y_")].to_numpy(dtype=np.int64)


def _numbered(frame: pd.DataFrame, prefix: str) -> list[str]:
    return [
        f"{prefix}{index}"
        for index in range(sum(column.startswith(prefix) for column in frame.columns))
    ]


def write_thumbnails(path: Path, thumbnails: Mapping[tuple[str, str], np.ndarray]) -> None:
    """Write (split, image_id) -> (H, W, 3) uint8 as one parquet table of PNG bytes."""
    rows = []
    for (split, image_id), pixels in thumbnails.items():
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, format="png")
        rows.append((split, image_id, buffer.getvalue()))
    pd.DataFrame(rows, columns=["split", "image_id", "png"]).to_parquet(path, index=False)


def read_thumbnails(path: Path) -> dict[tuple[str, str], np.ndarray]:
    """Inverse of `write_thumbnails`."""
    frame = pd.read_parquet(path)
    return {
        (split, image_id): np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
        for split, image_id, png in frame.itertuples(index=False)
    }


def confusion_table(frame: pd.DataFrame, split: str, *, class_names: Sequence[str]) -> pd.DataFrame:
    """Return counts (C, C) of one split: rows are the true classes, columns the predicted ones, both in the order of `class_names`."""
    rows = frame[frame["split"] == split]
    counts = np.zeros((len(class_names), len(class_names)), dtype=np.int64)
    np.add.at(counts, (rows["label"].to_numpy(), probabilities_of(rows).argmax(axis=1)), 1)
    return pd.DataFrame(
        counts,
        index=pd.Index(class_names, name="true"),
        columns=pd.Index(class_names, name="predicted"),
    )


def add_confusion(
    made: Path, folder: Path, *, files: Sequence[str], class_names: Sequence[str]
) -> None:
    """Write `confusion_<split>.csv` into `made` for the predictions that an attempt left in `folder`, if it left any.

    Images with several labels have no confusion matrix: no class is taken for another.
    """
    if PREDICTIONS not in files:
        return
    frame = read_predictions(folder / PREDICTIONS)
    if "label" not in frame:
        return
    for split in frame["split"].unique():
        confusion_table(frame, split, class_names=list(map(cell, class_names))).to_csv(
            made / f"confusion_{split}.csv"
        )


def curves_of(epochs: Iterable[EpochEnded]) -> Curves:
    """Return every metric's curve. Where an epoch came twice, the later event counts."""
    points: dict[str, dict[int, float]] = {}
    for event in epochs:
        for name, value in event.metrics.items():
            points.setdefault(name, {})[event.epoch] = value
    return {name: tuple(sorted(curve.items())) for name, curve in points.items()}


def curves_to_json(curves: Curves) -> str:
    """Text of `curves.json`: metric -> [[epoch, value], ...], and a checksum where there are any."""
    text = json.dumps(curves, sort_keys=True)
    return sealed(text) if curves else text


def curves_from_json(text: str) -> Curves:
    """Inverse of `curves_to_json`; former versions wrote no checksum. Raises ValueError for anything else."""
    whole = text.strip().encode()
    content = unsealed(whole) if is_sealed(whole) else whole
    if content is None:
        raise ValueError("the checksum is not that of the text")
    try:
        return {name: tuple(map(_point, curve)) for name, curve in json.loads(content).items()}
    except (TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"no curves: {error}") from error


def sound_curves(read: Callable[[], str], *, run_id: str) -> Curves | None:
    """The curves in the text that `read` gives; None, and a warning, where they are damaged: then a run's metrics say the same."""
    try:
        return curves_from_json(read())
    except ValueError as error:
        _LOG.warning(
            "curves.json of run %s is damaged (%s); its curves are taken from its metrics",
            run_id,
            error,
        )
        return None


def _point(values: list[Any]) -> tuple[int, float]:
    epoch, value = values
    if type(epoch) is not int or epoch < 0 or type(value) not in (int, float):
        raise ValueError(f"no point of a curve: {values!r:.80}")
    return epoch, float(value)
