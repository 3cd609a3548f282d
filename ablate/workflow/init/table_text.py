"""The CSV that names a folder's images, where no source reads the folder as it is."""

from __future__ import annotations

import csv
import io

from ablate.data.layouts._base import splits_given
from ablate.data.sources.labelled_folder import SEPARATOR
from ablate.study.image_rule import Column
from ablate.workflow.init.proposal import Proposal


def table_text(proposal: Proposal) -> str:
    """A table with the columns that `source: folder` reads: file and label, or image and labels."""
    has_several = proposal.found.has_several_labels
    header = ["image", "labels"] if has_several else ["file", "label"]
    has_splits = bool(splits_given(proposal.images) - {None})
    if has_splits:
        header.append("split")
    column = None
    if proposal.groups is not None and isinstance(proposal.groups.rule, Column):
        column = proposal.groups.rule.column
        header.append(column)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for image, image_id in zip(proposal.images, proposal.ids, strict=True):
        # A name with the separator in it would be read as two.
        labels = [name.replace(SEPARATOR, ",") for name in image.labels]
        row = [image_id, SEPARATOR.join(labels) if has_several else image.labels[0]]
        if has_splits:
            row.append(image.split or "")
        if column is not None:
            row.append(image.cells[column])
        writer.writerow(row)
    return text.getvalue()
