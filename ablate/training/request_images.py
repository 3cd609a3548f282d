"""The images of a request: its store, seen with the trial's own split where it has one."""

from __future__ import annotations

from ablate.data.sides import split_fingerprint
from ablate.data.store import ImageStore, open_store
from ablate.errors import CheckFailed
from ablate.study.request import TrialRequest


def images_of(request: TrialRequest) -> ImageStore:
    """Return the open store with the trial's train, val and test.

    Raises StoreError where the store is damaged, CheckFailed where the split is not the one that
    the trial's id stands for.
    """
    store = open_store(request.store_path)
    if request.sides is None:
        return store
    found = split_fingerprint(store.fingerprint, request.sides)
    if found != request.trial.split_fingerprint:
        raise CheckFailed(
            f"the split of a trial must be that of its id ({request.trial.split_fingerprint}), "
            f"got {found} with {request.store_path}"
        )
    return store.with_sides(request.sides)
