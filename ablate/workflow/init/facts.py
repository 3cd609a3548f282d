"""Facts of a folder's images, as the rules of `advice` take them."""

from __future__ import annotations

from collections.abc import Mapping

from ablate.advice.facts import ImageSetFacts
from ablate.advice.signs import may_flip, seeks_small_signs
from ablate.data.layouts._headers import Header, quantiles
from ablate.workflow.init.proposal import Proposal

USUAL_CROP = 0.875
"""Share of the middle square's side that most backbones see."""
_MOSTLY = 0.95
_LITTLE = 0.1
"""Share of an image that a mask covers where signs are small."""
_UPRIGHT = 0.1
"""Share of the images from which those that stand differ from those that lie."""
_LONG = 1.2


def image_set_facts(proposal: Proposal) -> ImageSetFacts:
    """The facts of a proposal's images."""
    headers = proposal.looked.headers.of
    widths = quantiles([header.width for header in headers.values()], (0.0, 0.5))
    heights = quantiles([header.height for header in headers.values()], (0.0, 0.5))
    aspects = quantiles([header.aspect for header in headers.values()], (0.05, 0.5, 0.95))
    dealt = proposal.dealt
    n_groups = None
    if proposal.groups is not None:
        n_groups = proposal.groups.n_groups
    return ImageSetFacts(
        source="folder",
        path=proposal.data_path,
        n_train=dealt.n_images["train"],
        n_val=dealt.n_images["val"],
        n_test=dealt.n_images["test"],
        classes=proposal.class_names,
        train_counts=dealt.counts["train"],
        has_several_labels=proposal.found.has_several_labels,
        has_own_split=proposal.has_own_splits,
        median_size=(int(widths[1]), int(heights[1])),
        smallest_size=(int(widths[0]), int(heights[0])),
        aspect_quantiles=(aspects[0], aspects[1], aspects[2]),
        is_grey=_is_grey(proposal, headers),
        n_groups=n_groups,
        seeks_small_signs=_seeks_small_signs(proposal),
        may_flip=may_flip(proposal.class_names),
    )


def _is_grey(proposal: Proposal, headers: Mapping[str, Header]) -> bool:
    alike = proposal.looked.alike
    if alike is not None:
        return alike.grey_share >= _MOSTLY
    n_grey = sum(header.is_grey for header in headers.values())
    return n_grey >= _MOSTLY * len(headers)


def _seeks_small_signs(proposal: Proposal) -> bool:
    masks = proposal.looked.masks
    if masks is not None and masks.covered is not None and masks.covered < _LITTLE:
        return True
    return seeks_small_signs([*proposal.class_names, proposal.looked.root.name])


def lie_and_stand(headers: Mapping[str, Header]) -> bool:
    """Whether some images are clearly wider than high and others higher than wide.

    Squashed, the ones would be distorted along, the others across.
    """
    n_lying = 0
    n_standing = 0
    for header in headers.values():
        n_lying += header.width > _LONG * header.height
        n_standing += header.height > _LONG * header.width
    return min(n_lying, n_standing) >= _UPRIGHT * len(headers)


def seen_share(headers: Mapping[str, Header], view: str | None, crop_share: float) -> float:
    """Mean share of the pixels that val and test see of an image, in [0, 1]."""
    if view in ("squash", "pad"):
        return 1.0
    # A middle square of the shorter side, and of that the middle `crop_share` of each side.
    shares = [crop_share**2 / header.aspect for header in headers.values()]
    return sum(shares) / max(1, len(shares))
