"""The report's list of images that a person should look at."""

from __future__ import annotations

import pandas as pd

from ablate.errors import plural
from ablate.quoting import code
from ablate.reporting.figures.example_images import DUPLICATES, N_DUPLICATES
from ablate.reporting.results import Results, ShowFigure
from ablate.reporting.text.markdown import join_sections, table
from ablate.study.record import NearDuplicate
from ablate.targets import Label

# also said where nothing was found: "none" is worth as much as the search was
_HOW = "by correlation of small versions, mirrored ones too; cropped or turned copies are not found"
_COLUMNS = (
    "split",
    "image_id",
    "label",
    "other_split",
    "other_image_id",
    "other_label",
    "likeness",
    "is_mirrored",
)


def review_section(results: Results, show: ShowFigure) -> str:
    """What the task has to show, then near-duplicates; both say what was looked at when empty."""
    parts = results.insight.review_parts(results, show)
    duplicates = _duplicates(results)
    return join_sections(["## Images to look at", *parts, duplicates, show(DUPLICATES)]).rstrip()


def _duplicates(results: Results) -> str:
    duplicates = results.record.data.near_duplicates
    if duplicates is None:
        return "Near-duplicates across splits: not searched for."
    if not duplicates.n_pairs:
        return f"Near-duplicates across splits: none found ({_HOW})."
    names = results.record.data.class_names
    rows = []
    # the likest first, as many as there are pictures of
    for pair in duplicates.pairs[:N_DUPLICATES]:
        rows.append(_row(pair, names))
    n_pairs = plural(duplicates.n_pairs, "pair")
    more = ""
    if duplicates.n_pairs > len(rows):
        more = f"; the first {len(rows)} of them"
    note = (
        f"Near-duplicates across splits: {n_pairs} ({_HOW}){more}. "
        "Images of val or test that are also in train make every score too high."
    )
    header = ["image", "split", "and", "split", "label", "correlation"]
    return f"{note}\n\n{table(header, rows, n_text_columns=5)}"


def _row(pair: NearDuplicate, names: tuple[str, ...]) -> list[str]:
    label = code(_name(pair.first_label, names))
    # one picture under two labels: at least one of them is wrong
    if pair.second_label != pair.first_label:
        label += f" and {code(_name(pair.second_label, names))}"
    first = [code(pair.first_id), pair.first_split]
    second = [code(pair.second_id), pair.second_split]
    return [*first, *second, label, f"{pair.likeness:.3f}"]


def _name(label: Label, names: tuple[str, ...]) -> str:
    """The class; of several, all of them, joined as a CSV source lists labels."""
    if isinstance(label, int):
        return names[label]
    return ";".join(names[position] for position in label)


def duplicate_frame(results: Results) -> pd.DataFrame:
    """One row per pair, for CSV."""
    names = results.record.data.class_names
    duplicates = results.record.data.near_duplicates
    # nobody looked: an empty table, as where nothing was found; `report.json` tells them apart
    pairs = () if duplicates is None else duplicates.pairs
    rows = []
    for pair in pairs:
        first = (pair.first_split, pair.first_id, _name(pair.first_label, names))
        second = (pair.second_split, pair.second_id, _name(pair.second_label, names))
        rows.append((*first, *second, pair.likeness, pair.is_mirrored))
    return pd.DataFrame(rows, columns=list(_COLUMNS))
