"""The report's list of images that a person should look at: labels in doubt, and near-duplicates across splits."""

from __future__ import annotations

import pandas as pd

from ablate.quoting import code
from ablate.reporting.figures.example_images import DUPLICATES, N_DUPLICATES
from ablate.reporting.results import Results, ShowFigure
from ablate.reporting.text.markdown import join_sections, plural, table
from ablate.study.record import NearDuplicate

Label = int | tuple[int, ...]


def review_section(results: Results, show: ShowFigure) -> str:
    """What the task has to show, then near-duplicates; both say what was looked at when empty."""
    parts = results.insight.review_parts(results, show)
    return join_sections(
        ["## Images to look at", *parts, _duplicates(results), show(DUPLICATES)]
    ).rstrip()


def _duplicates(results: Results) -> str:
    found = results.record.data.near_duplicates
    if found is None:
        return "Near-duplicates across splits: not looked for."
    how = "by correlation of small versions, mirrored ones too; cropped or turned copies are not found"
    if not found.n_pairs:
        return f"Near-duplicates across splits: none found ({how})."
    names = results.record.data.class_names
    rows = [
        [
            code(one.first_id),
            one.first_split,
            code(one.second_id),
            one.second_split,
            _labels(one.first_label, one.second_label, names),
            f"{one.likeness:.3f}",
        ]
        for one in found.pairs[:N_DUPLICATES]
    ]
    more = f"; the first {len(rows)} of them" if found.n_pairs > len(rows) else ""
    note = f"Near-duplicates across splits: {plural(found.n_pairs, 'pair')} ({how}){more}. What is in train as well as in val or test flatters every score."
    return (
        note
        + "\n\n"
        + table(["image", "split", "and", "split", "label", "alike"], rows, n_text_columns=5)
    )


def _labels(first: Label, second: Label, names: tuple[str, ...]) -> str:
    told = [code(_name(label, names)) for label in (first, second)]
    return told[0] if first == second else f"{told[0]} and {told[1]}"


def _name(label: Label, names: tuple[str, ...]) -> str:
    """The class, or all of an image's as a list of labels has them."""
    return (
        names[label] if isinstance(label, int) else ";".join(names[position] for position in label)
    )


def _side(split: str, image_id: str, label: Label, names: tuple[str, ...]) -> tuple[str, str, str]:
    return split, image_id, _name(label, names)


def _how(pair: NearDuplicate) -> tuple[float, bool]:
    return pair.likeness, pair.is_mirrored


def duplicate_frame(results: Results) -> pd.DataFrame:
    """One row a pair, for CSV."""
    names = results.record.data.class_names
    found = results.record.data.near_duplicates
    rows = [
        (
            *_side(one.first_split, one.first_id, one.first_label, names),
            *_side(one.second_split, one.second_id, one.second_label, names),
            *_how(one),
        )
        for one in (found.pairs if found else ())
    ]
    return pd.DataFrame(
        rows,
        columns=[
            "split",
            "image_id",
            "label",
            "other_split",
            "other_image_id",
            "other_label",
            "likeness",
            "is_mirrored",
        ],
    )
