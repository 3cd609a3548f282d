"""The report's list of images that a person should look at: labels in doubt, and near-duplicates across splits."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ablate.quoting import code
from ablate.reporting.insights.multilabel.label_text import NO_SUSPECTS
from ablate.reporting.results import Results
from ablate.reporting.text.markdown import join_sections, plural, table
from ablate.study.record import NearDuplicate

N_SUSPECTS, N_DUPLICATES = 10, 10
Label = int | tuple[int, ...]


def review_text(results: Results, shown: Sequence[str]) -> str:
    """Both lists, each with what was looked at when it is empty. `shown`: the figures of suspects and of duplicates as Markdown, or empty texts."""
    of_suspects, of_duplicates = shown
    return join_sections(
        [
            "## Images to look at",
            _suspects(results),
            of_suspects,
            _duplicates(results),
            of_duplicates,
        ]
    ).rstrip()


def _suspects(results: Results) -> str:
    if results.has_several_labels:
        return NO_SUSPECTS
    n_images = sum(len(one.labels) for one in results.pooled)
    if not n_images:
        return "Suspect labels: not measured, no predictions could be read."
    splits = " and ".join(one.split for one in results.pooled)
    told = f"Suspect labels: {len(results.suspects):,} of {n_images:,} images of {splits}"
    how = "most trials see another class, and are as sure of it as they are on images that carry its label (confident learning; no trial trained on them)"
    if not results.suspects:
        return f"{told}: on none do {how}."
    n_shown = min(N_SUSPECTS, len(results.suspects))
    names = results.record.data.class_names
    rows = [
        [
            code(one.image_id),
            one.split,
            code(names[one.label]),
            code(names[one.likely]),
            f"{one.p_likely:.3f}",
            f"{one.n_votes} of {one.n_trials}",
        ]
        for one in results.suspects[:n_shown]
    ]
    where = (
        f" The {n_shown} surest; all are in `suspect_labels.csv`."
        if len(results.suspects) > n_shown
        else ""
    )
    note = f"{told}: on these {how}. A label may be wrong there, or the image hard.{where}"
    return (
        note
        + "\n\n"
        + table(
            ["image", "split", "label", "trials see", "probability", "trials that see it"],
            rows,
            n_text_columns=4,
        )
    )


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
