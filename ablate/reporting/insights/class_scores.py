"""Tables with one row per class, which every task with classes has."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ablate.quoting import code
from ablate.reporting.results import NOT_MEASURED
from ablate.reporting.text.markdown import join_sections, table
from ablate.study.record import StudyRecord

UNREAD = f"### By class\n\n{NOT_MEASURED.capitalize()}: no predictions of this arm could be read."
_N_WEAKEST = 3


class ClassRows(Protocol):
    """The part of an arm's digest that these tables need."""

    @property
    def classes(self) -> pd.DataFrame:
        """One row per class: class, scores, support."""
        ...


def class_table(
    of_seeds: Sequence[Any], record: StudyRecord, *, scores: Sequence[str]
) -> pd.DataFrame:
    """One row per class: class, `scores`, support (images in test; with splits
    of the seeds' own, those of all seeds together).

    `of_seeds` hold each score as (C,), NaN where it is not defined; rows are means over the rest.
    """
    columns: dict[str, Any] = {"class": list(record.data.class_names)}
    for name in scores:
        by_seed = np.stack([getattr(of_seed, name) for of_seed in of_seeds])  # (seeds, C)
        columns[name] = mean_where_defined(by_seed)
    # All seeds are scored on the same images; `predictions.read` checks it.
    columns["support"] = of_seeds[0].support
    if record.data.splits is not None:
        columns["support"] = np.sum([of_seed.support for of_seed in of_seeds], axis=0)
    return pd.DataFrame(columns)


def mean_where_defined(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(seeds, C) -> (C,), NaN where no seed has a value."""
    # np.nanmean warns for a class that no seed defines; a class absent from test is no surprise.
    is_defined = ~np.isnan(values)
    total = np.where(is_defined, values, 0.0).sum(axis=0)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / is_defined.sum(axis=0), dtype=np.float64)


def class_frame(
    digests: Mapping[str, ClassRows], record: StudyRecord, *, scores: Sequence[str]
) -> pd.DataFrame:
    """One row per arm and class, for classes.csv."""
    columns = ["arm", "class", *scores, "support"]
    frames = []
    for arm in record.arms:
        if arm.arm_id in digests:
            frames.append(digests[arm.arm_id].classes.assign(arm=arm.name))
    # pandas refuses to join nothing
    if not frames:
        return pd.DataFrame(columns=columns)
    # the columns again, because `assign` puts the arm last
    return pd.concat(frames)[columns]


def by_class_section(classes: pd.DataFrame, *, headings: Mapping[str, str], note: str) -> str:
    """The section of a card; `headings`: column -> heading."""
    # in the order of the classes: a reader looks a class up by its place in the data set
    rows = []
    for row in classes.to_dict("records"):
        scores = [_score(row[name]) for name in headings]
        rows.append([code(str(row["class"])), *scores, str(row["support"])])
    header = ["class", *headings.values(), "images"]
    parts = ["### By class", note + _absent_note(classes), table(header, rows)]
    return join_sections(parts).rstrip()


def _score(value: float) -> str:
    """Three decimals; `undefined` for a class that is absent from test, or never predicted."""
    if math.isnan(value):
        return "undefined"
    return f"{value:.3f}"


def _absent_note(classes: pd.DataFrame) -> str:
    absent = classes.loc[classes["support"] == 0, "class"].tolist()
    if not absent:
        return ""
    subject = f"{len(absent)} classes are"
    if len(absent) == 1:
        subject = "1 class is"
    names = ", ".join(map(code, absent))
    return f" {subject} absent from test and left out of macro means: {names}."


def ranked_by_f1(classes: pd.DataFrame) -> pd.DataFrame:
    """The classes that have an F1 on test, the weakest first."""
    # stable: equal classes stand in the order of the data set
    return classes.dropna(subset=["f1"]).sort_values("f1", kind="stable")


def weakest_sentence(classes: pd.DataFrame) -> str:
    """The classes with the lowest F1, for a card's list of limits."""
    # absent classes are left out: nothing is known of them, neither good nor bad
    weakest = ranked_by_f1(classes).head(_N_WEAKEST)
    names = []
    for name, f1 in zip(weakest["class"], weakest["f1"], strict=True):
        names.append(f"{code(str(name))} {f1:.3f}")
    return f"Weakest classes by F1 on test: {', '.join(names)}."


def weakest_class_sentence(classes: pd.DataFrame) -> str:
    """The weakest class, with its recall and its precision."""
    weakest = ranked_by_f1(classes).iloc[0]
    name = code(str(weakest["class"]))
    precision = f"precision {100 * weakest['precision']:.0f} %"
    if math.isnan(weakest["precision"]):
        precision = "no image is predicted as it"
    recall = f"recall {100 * weakest['recall']:.0f} %"
    return f"Its weakest class is {name}: {recall}, {precision}."


def weakest_class_line(classes: pd.DataFrame) -> str:
    """The weakest class in short, for the first screen."""
    weakest = ranked_by_f1(classes).iloc[0]
    return f"weakest class {code(str(weakest['class']))}: recall {100 * weakest['recall']:.0f} %"
