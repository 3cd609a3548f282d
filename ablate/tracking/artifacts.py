"""Files that a trial leaves for its report.

Predictions as parquet, confusion matrices as tables, curves as JSON.
"""

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
from ablate.study.tasks import task_of
from ablate.targets.codecs import CODECS, SplitPredictions, is_table_of_predictions
from ablate.tracking.events import EpochEnded

PREDICTIONS = "predictions.parquet"
_LOG = logging.getLogger(__name__)
Curves = dict[str, tuple[tuple[int, float], ...]]
"""Metric -> ((epoch, value), ...) in order of the epochs."""


def write_predictions(
    path: Path, predictions: Mapping[str, SplitPredictions], *, task: str
) -> None:
    """Write split -> predictions as one parquet table, in the columns of the task's codec.

    The file appears whole or not at all. Raises ValueError where the lengths of a split differ.
    """
    frames = []
    for split, of_split in predictions.items():
        _check_lengths(split, of_split)
        columns = CODECS[task].encode(of_split)
        frames.append(pd.DataFrame({"split": split, **columns}))
    # A trial that is killed while it writes must not leave half a table under the real name.
    half = path.with_name(path.name + ".part")
    pd.concat(frames, ignore_index=True).to_parquet(half, index=False)
    half.replace(path)


def _check_lengths(split: str, predictions: SplitPredictions) -> None:
    n_images = len(predictions.image_ids)
    n_labels = len(predictions.targets)
    n_rows = len(predictions.outputs)
    if not n_images == n_labels == n_rows:
        raise ValueError(
            f"split {split}: there must be one label and one row of predictions per image, "
            f"got {n_images} images, {n_labels} labels, {n_rows} rows"
        )
    if predictions.groups is not None and len(predictions.groups) != n_images:
        raise ValueError(
            f"split {split}: there must be one group per image, "
            f"got {n_images} images, {len(predictions.groups)} groups"
        )


def read_predictions(path: Path) -> pd.DataFrame:
    """Return what `write_predictions` wrote: columns split, image_id and those of the codec.

    Raises StoreError for a file that is missing or no such table.
    """
    try:
        # A third of what pandas' reader takes for so small a file, and a report reads one per run.
        with ParquetFile(path) as file:
            # Without threads: workers and readers of reports share the cores already.
            frame: pd.DataFrame = file.read(use_threads=False).to_pandas(use_threads=False)
    except (OSError, ValueError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise StoreError(
            f"predictions must be a readable parquet file, {path} is not: {error}"
        ) from error
    if "split" not in frame or not is_table_of_predictions(frame.columns):
        raise StoreError(
            "predictions must have the columns split, image_id and those of a task "
            f"({_known_columns()}); {path} has {', '.join(map(str, frame.columns))}"
        )
    return frame


def _known_columns() -> str:
    """The columns of each task: "classification: label, p_0, ..."."""
    known = []
    for task, codec in CODECS.items():
        # The sentence around this one has said `split` and `image_id` for all tasks.
        columns = [name for name in codec.needed_columns() if name != "image_id"]
        known.append(f"{task}: {', '.join(columns)}, ...")
    return "; ".join(known)


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
    thumbnails: dict[tuple[str, str], np.ndarray] = {}
    for split, image_id, png in pd.read_parquet(path).itertuples(index=False):
        image = Image.open(io.BytesIO(png)).convert("RGB")
        thumbnails[split, image_id] = np.asarray(image)
    return thumbnails


def confusion_table(predictions: SplitPredictions, *, class_names: Sequence[str]) -> pd.DataFrame:
    """Return counts (C, C) of one split, both axes in the order of `class_names`.

    Rows are the true classes, columns the predicted ones. The targets must be exclusive.
    """
    counts = np.zeros((len(class_names), len(class_names)), dtype=np.int64)
    # `counts[rows, columns] += 1` would count a pair that occurs twice once.
    np.add.at(counts, (predictions.targets.array, predictions.outputs.argmax(axis=1)), 1)
    true = pd.Index(class_names, name="true")
    return pd.DataFrame(counts, index=true, columns=pd.Index(class_names, name="predicted"))


def add_confusion(
    made: Path, folder: Path, *, files: Sequence[str], class_names: Sequence[str], task: str
) -> None:
    """Write `confusion_<split>.csv` into `made` for the predictions that an attempt left.

    They are in `folder`, if it left any. Images with several labels have no confusion matrix: no
    class is taken for another.
    """
    if PREDICTIONS not in files or not task_of(task).has_confusion:
        return
    frame = read_predictions(folder / PREDICTIONS)
    # A name that a spreadsheet would take for a formula is made harmless.
    names = list(map(cell, class_names))
    for split, rows in frame.groupby("split", sort=False):
        predictions = CODECS[task].decode(dict(rows.items()), n_classes=len(names))
        table = confusion_table(predictions, class_names=names)
        table.to_csv(made / f"confusion_{split}.csv")


def curves_of(epochs: Iterable[EpochEnded]) -> Curves:
    """Return every metric's curve. Where an epoch came twice, the later event counts."""
    points: dict[str, dict[int, float]] = {}
    for event in epochs:
        for name, value in event.metrics.items():
            points.setdefault(name, {})[event.epoch] = value
    curves: Curves = {}
    for name, curve in points.items():
        curves[name] = tuple(sorted(curve.items()))
    return curves


def curves_to_json(curves: Curves) -> str:
    """Text of `curves.json`: metric -> [[epoch, value], ...], and a checksum if there are any."""
    text = json.dumps(curves, sort_keys=True)
    if not curves:
        return text  # a checksum is put before the closing brace, behind a comma
    return sealed(text)


def curves_from_json(text: str) -> Curves:
    """Inverse of `curves_to_json`; former versions wrote no checksum.

    Raises ValueError for anything else.
    """
    whole = text.strip().encode()
    content: bytes | None = whole
    if is_sealed(whole):
        content = unsealed(whole)
    if content is None:
        raise ValueError("the checksum is not that of the text")
    curves: Curves = {}
    try:
        for name, curve in json.loads(content).items():
            curves[name] = tuple(map(_point, curve))
        return curves
    except (TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"no curves: {error}") from error


def sound_curves(read: Callable[[], str], *, run_id: str) -> Curves | None:
    """The curves in the text that `read` gives.

    None, and a warning, where they are damaged: then a run's metrics say the same.
    """
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
    # A pair that is none raises ValueError or TypeError, which the caller turns into one error.
    epoch, value = values
    if type(epoch) is not int or epoch < 0 or type(value) not in (int, float):
        raise ValueError(f"no point of a curve: {values!r:.80}")
    return epoch, float(value)
