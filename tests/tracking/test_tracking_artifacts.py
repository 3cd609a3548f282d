from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix
from support.toy_study import CLASSES, toy_predictions

from ablate.errors import StoreError
from ablate.targets import OneLabel
from ablate.targets.codecs import CODECS, SplitPredictions
from ablate.tracking.artifacts import (
    confusion_table,
    curves_from_json,
    curves_of,
    curves_to_json,
    read_predictions,
    write_predictions,
)
from ablate.tracking.events import EpochEnded


def test_predictions_come_back_as_they_were(tmp_path: Path):
    written = toy_predictions()
    write_predictions(tmp_path / "predictions.parquet", written, task="classification")
    frame = read_predictions(tmp_path / "predictions.parquet")
    assert list(frame.columns) == ["split", "image_id", "label", "p_0", "p_1", "p_2"]
    assert frame["p_0"].dtype == np.float32
    assert frame["label"].dtype == np.int64
    for split, predictions in written.items():
        rows = frame[frame["split"] == split]
        again = CODECS["classification"].decode(dict(rows.items()), n_classes=3)
        assert again.image_ids == predictions.image_ids
        np.testing.assert_array_equal(again.targets.array, predictions.targets.array)
        np.testing.assert_array_equal(again.outputs, predictions.outputs.astype(np.float32))
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.parquet"]


def test_probabilities_of_twelve_classes_keep_their_order(tmp_path: Path):
    probabilities = np.random.default_rng(0).dirichlet(np.ones(12), size=5).astype(np.float32)
    written = SplitPredictions(list("abcde"), OneLabel(np.arange(5), 12), probabilities)
    write_predictions(tmp_path / "p.parquet", {"val": written}, task="classification")
    rows = read_predictions(tmp_path / "p.parquet")
    again = CODECS["classification"].decode(dict(rows.items()), n_classes=12)
    np.testing.assert_array_equal(again.outputs, probabilities)


def test_lengths_must_agree(tmp_path: Path):
    message = (
        "split val: there must be one label and one row of predictions per image, "
        "got 2 images, 3 labels, 2 rows"
    )
    targets = OneLabel(np.zeros(3, dtype=np.int64), 2)
    uneven = SplitPredictions(["a", "b"], targets, np.ones((2, 2)))
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        write_predictions(tmp_path / "p.parquet", {"val": uneven}, task="classification")
    assert not list(tmp_path.iterdir())


def test_a_table_that_is_no_table_of_predictions_is_refused(tmp_path: Path):
    path = tmp_path / "p.parquet"
    path.write_bytes(b"not parquet")
    with pytest.raises(
        StoreError, match=re.escape(f"predictions must be a readable parquet file, {path} is not: ")
    ):
        read_predictions(path)
    pd.DataFrame({"split": ["val"], "label": [0]}).to_parquet(path)
    message = (
        "predictions must have the columns split, image_id and those of a task "
        "(classification: label, p_0, ...; multilabel: y_0, p_0, ...); "
        f"{path} has split, label"
    )
    with pytest.raises(StoreError, match=f"^{re.escape(message)}$"):
        read_predictions(path)


@given(labels=st.lists(st.integers(0, 2), min_size=1, max_size=20), data=st.data())
def test_confusion_equals_scikit_learn(labels, data):
    guesses = data.draw(st.lists(st.integers(0, 2), min_size=len(labels), max_size=len(labels)))
    targets = OneLabel(np.array(labels), 3)
    predictions = SplitPredictions([str(i) for i in labels], targets, np.eye(3)[guesses])
    table = confusion_table(predictions, class_names=CLASSES)
    assert (table.index.tolist(), table.columns.tolist()) == (list(CLASSES), list(CLASSES))
    np.testing.assert_array_equal(
        table.to_numpy(), confusion_matrix(labels, guesses, labels=[0, 1, 2])
    )


def test_curves_sort_by_epoch_the_later_event_counts_and_json_keeps_them():
    def event(epoch: int, **metrics: float) -> EpochEnded:
        return EpochEnded("t", 1, epoch=epoch, n_epochs=3, metrics=metrics, at=0.0)

    curves = curves_of([event(1, loss=0.5), event(0, loss=1.0, f1=0.1), event(1, loss=0.4)])
    assert curves == {"loss": ((0, 1.0), (1, 0.4)), "f1": ((0, 0.1),)}
    assert curves_from_json(curves_to_json(curves)) == curves


def test_no_damage_of_curves_is_read():
    curves = {"train/loss": ((0, 1.0), (1, 0.5)), "val/macro_f1": ((0, 0.25), (1, math.nan))}
    text = curves_to_json(curves)
    for place, letter in enumerate(text):
        for other in "0}x" + chr(ord(letter) ^ 1):
            if other != letter:
                with pytest.raises(ValueError, match=r"."):
                    curves_from_json(text[:place] + other + text[place + 1 :])
        with pytest.raises(ValueError, match=r"."):
            curves_from_json(text[:place])


def test_curves_of_the_former_version_are_read():
    assert curves_from_json('{"train/loss": [[0, 1.0], [1, 0.5]]}') == {
        "train/loss": ((0, 1.0), (1, 0.5))
    }
    assert curves_from_json(curves_to_json({})) == {}


WRONG_CURVES = [
    "",
    "null",
    "[]",
    "7",
    '{"a": 1}',
    '{"a": [1]}',
    '{"a": [[0]]}',
    '{"a": [[0, "x"]]}',
    '{"a": [[0.5, 1]]}',
    '{"a": [[-1, 1]]}',
    "[" * 100_000,
]
WRONG_CURVES += [
    '{"a": [[true, 1]]}',
    '{"a": [[0, null]]}',
    '{"a": [[0, 1, 2]]}',
    '{"a": [[0, 1' + "0" * 400 + "]]}",
    '{"a": [{"epoch": 0}]}',
]


@pytest.mark.parametrize("text", WRONG_CURVES, ids=map(str, range(len(WRONG_CURVES))))
def test_what_is_no_curve_is_a_value_error(text):
    with pytest.raises(ValueError, match=r"."):
        curves_from_json(text)
