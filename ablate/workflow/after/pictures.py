"""The small images of a report, kept with the study's run.

A full disk or a damaged store costs pictures, never the report.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ablate.errors import StoreError
from ablate.reporting.figures.example_images import Pictures, Thumbnails
from ablate.reporting.figures.tiles import ImageKey
from ablate.tracking.mlflow_store import MlflowStore

_LOG = logging.getLogger(__name__)


def made_or_kept(store: MlflowStore, parent_run_id: str, take: Pictures | None) -> Pictures:
    """Small images: made anew by `take` and kept, or those that were kept.

    What goes wrong is a warning.
    """

    def pictures(wanted: Sequence[ImageKey]) -> Thumbnails:
        thumbnails: Thumbnails = {}
        try:
            # The study was just run, so its images are at hand.
            if take is not None:
                thumbnails = take(wanted)
            if not thumbnails:
                return kept(store, parent_run_id)
            # Kept with the run, since the image store may be gone when a report is written again.
            _keep(store, parent_run_id, thumbnails)
        except StoreError as error:
            if thumbnails:
                result = "they are shown, and not kept for later reports"
            else:
                result = "the report has none"
            _LOG.warning("%s; %s", error, result)
        return thumbnails

    return pictures


def kept(store: MlflowStore, parent_run_id: str) -> Thumbnails:
    """Return the small images that were kept with a study's run; there may be none.

    Raises StoreError where they cannot be read.
    """
    try:
        return store.read_thumbnails(parent_run_id)
    except Exception as error:  # of a disk, a server, or a damaged file
        raise StoreError(
            f"the small images of the study's run {parent_run_id} must be readable, "
            f"they are not: {error}"
        ) from error


def _keep(store: MlflowStore, parent_run_id: str, thumbnails: Thumbnails) -> None:
    try:
        store.log_thumbnails(parent_run_id, thumbnails)
    except Exception as error:  # of a disk or a server
        raise StoreError(
            f"the study's run {parent_run_id} must take its small images, it did not: {error}"
        ) from error
