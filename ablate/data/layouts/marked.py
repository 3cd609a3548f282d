"""Images with masks and no other label: what is marked, against what is not."""

from __future__ import annotations

from ablate.data.layouts._base import Found, LabelledImage, Trap
from ablate.data.layouts._listing import Listing
from ablate.data.layouts.mask_files import Sorted, covered_shares
from ablate.data.layouts.tree import split_in_path

MARKED = "marked"
CLEAN = "clean"


def read_marked(listing: Listing, sorted_images: Sorted) -> Found | None:
    """Two classes by masks: empty or none, or not empty. None where there are no masks."""
    masks = sorted_images.masks
    if not masks:
        return None
    names = list(map(masks.get, sorted_images.photos))
    present = list(filter(None, names))
    shares = dict(zip(present, covered_shares(listing.root, present), strict=True))
    images = []
    n_marked = 0
    for photo, mask in zip(sorted_images.photos, names, strict=True):
        label = CLEAN
        if mask is not None and shares[mask]:
            label = MARKED
            n_marked += 1
        images.append(LabelledImage(photo, (label,), split_in_path(photo)))
    text = (
        f"the only labels are masks: {n_marked} of {len(images)} images have something marked "
        f"(class {MARKED}), the others an empty mask or none (class {CLEAN})"
    )
    return Found(
        layout="images with masks",
        evidence=f"{len(masks)} masks",
        images=tuple(images),
        traps=(Trap("labels from masks", text),),
    )
