"""Which share of an image's pixels each arm of a study sees."""

from __future__ import annotations

from collections.abc import Mapping

from ablate.model.backbone_facts import Preprocessing, RecipeFacts
from ablate.study.image_shapes import ImageShapes, share_seen
from ablate.workflow.prepare.resolved import Resolved


def seen_shares(resolved: Resolved, facts: Mapping[str, RecipeFacts]) -> dict[str, float]:
    """Return arm_id -> share, in (0, 1]; `facts` by arm_id. Empty where nobody looked at sizes."""
    shapes = resolved.data_set.facts.shapes
    if shapes is None:
        return {}
    shares = {}
    for arm in resolved.arms_to_check:
        own = facts[arm.arm_id].preprocessing
        shown = own.as_shown(resolved.data.shown_to(arm.recipe))
        shares[arm.arm_id] = share_of(shapes, shown)
    return shares


def share_of(shapes: ImageShapes, shown: Preprocessing) -> float:
    """Return the share that an arm sees whose images are `shown` so."""
    # By the sides in pixels, which are rounded, and not by the share that was asked for.
    side_share = shown.image_size / shown.store_side
    return round(share_seen(shapes, view=shown.view, side_share=side_share), 4)
