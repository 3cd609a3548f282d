"""Labels in doubt, for the report's list of images that a person should look at."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.quoting import code
from ablate.reporting.figures.tiles import Tile, TileFigure
from ablate.reporting.insights.classification.suspects import Suspect
from ablate.reporting.predictions.pooled_votes import Pooled
from ablate.reporting.text.markdown import table

SUSPECTS = "examples_suspects"
_N_SHOWN = 10
_HOW = (
    "A label is suspect when most trials predict another class, as confidently as on images that "
    "carry its label (confident learning)."
)
_UNSEEN = "No trial trained on these images."
_UNSEEN_BY_JUDGES = "Each image is judged by the trials that tested it, which did not train on it."


def suspects_paragraph(
    suspects: Sequence[Suspect], pooled: Sequence[Pooled], class_names: Sequence[str]
) -> str:
    """How many labels are in doubt, and the first of them; says so where there is none."""
    n_images = sum(len(split.labels) for split in pooled)
    # nothing was read, or the votes of runs cannot be counted: not the same as "none found"
    if not n_images:
        return "Suspect labels: not measured, no predictions could be read."
    how = f"{_HOW} {_UNSEEN}"
    if any(split.is_by_testers for split in pooled):
        how = f"{_HOW} {_UNSEEN_BY_JUDGES}"
    splits = " and ".join(split.split for split in pooled)
    count = f"Suspect labels: {len(suspects):,} of {n_images:,} images of {splits}"
    if not suspects:
        return f"{count}. {how}"
    # as many as somebody looks at: the CSV has all
    shown = suspects[:_N_SHOWN]
    more = ""
    if len(suspects) > len(shown):
        more = f" The {len(shown)} most certain; all are in `suspect_labels.csv`."
    note = f"{count}. {how} Hard images appear in this list as well as wrong labels.{more}"
    return f"{note}\n\n{_suspects_table(shown, class_names)}"


def _suspects_table(suspects: Sequence[Suspect], class_names: Sequence[str]) -> str:
    rows = []
    for suspect in suspects:
        label = code(class_names[suspect.label])
        # Names of classes come from folders or cells: `code` keeps them from being Markdown.
        likely = code(class_names[suspect.likely])
        votes = f"{suspect.n_votes} of {suspect.n_trials}"
        image = code(suspect.image_id)
        rows.append([image, suspect.split, label, likely, f"{suspect.p_likely:.3f}", votes])
    header = ["image", "split", "label", "predicted", "probability", "trials that predict it"]
    return table(header, rows, n_text_columns=4)


def suspect_tiles(suspects: Sequence[Suspect], class_names: Sequence[str]) -> TileFigure:
    """The images of the table."""
    tiles = []
    for suspect in suspects[:_N_SHOWN]:
        label = class_names[suspect.label]
        likely = class_names[suspect.likely]
        caption = f"labelled {label},\npredicted: {likely}"
        tiles.append(Tile((suspect.split, suspect.image_id), caption))
    return TileFigure(SUSPECTS, "The images whose labels the trials doubt most.", [("", tiles)])
