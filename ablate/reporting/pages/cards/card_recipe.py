"""What a network was trained on and how: data and recipe of a card."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.quoting import code, text
from ablate.recipe.canonical import canonical
from ablate.recipe.levels import level_text
from ablate.recipe.recipe import Recipe
from ablate.recipe.shown_part import SHOWN_FIELDS
from ablate.reporting.results import Results
from ablate.reporting.text import study_sentences
from ablate.reporting.text.markdown import join_sections, table
from ablate.study.trial import SPLITS


def data_table_section(results: Results) -> str:
    """The data with the sizes of their splits."""
    data = results.record.data
    rows = []
    for split in SPLITS:
        if split in data.class_counts:
            counts = data.class_counts[split]
            # beside the number of classes: a class may be absent from a split
            n_present = sum(n > 0 for n in counts)
            present = f"{n_present} of {len(counts)}"
            rows.append([split, f"{data.n_images[split]:,}", present, _range(counts)])
    facts = (
        f"{text(data.title)}, version {text(data.version)}, licence: {text(data.licence)}. "
        f"Origin: {text(data.origin)}. Splits: {text(data.split_rule)}."
    )
    if data.regrouped:
        facts += f" Classes regrouped: {study_sentences.regrouped_text(data)}."
    header = ["split", "images", "classes present", "images per class"]
    return join_sections(["## Data", facts, table(header, rows)]).rstrip()


def _range(counts: Sequence[int]) -> str:
    least = min(counts)
    most = max(counts)
    if least == most:
        return str(least)
    return f"{least} to {most}"


def recipe_section(recipe: Recipe) -> str:
    """Every field that matters for this arm."""
    rows = []
    # The canonical form: what was hashed into the arm's id, no more and no less.
    for name, value in canonical(recipe).items():
        rows.append([code(name), code(level_text(value))])
    note = (
        "Fields without effect on this arm are left out. Preprocessing (size, mean, std, "
        "interpolation, crop) is the backbone's own."
    )
    if any(getattr(recipe, name) is not None for name in SHOWN_FIELDS):
        note = (
            "Fields without effect on this arm are left out. What they do not say of preprocessing "
            "is as the study's data and the backbone have it."
        )
    listed = table(["field", "value"], rows, n_text_columns=2)
    return join_sections(["## Training recipe", note, listed]).rstrip()
