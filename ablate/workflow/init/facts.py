"""Facts of a folder's images, as the rules of `advice` take them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ablate.advice.facts import ImageSetFacts
from ablate.advice.signs import may_flip, seeks_small_signs
from ablate.data.layouts._headers import Header, quantiles
from ablate.recipe.shown_part import USUAL_VIEW, View
from ablate.study.image_shapes import shapes_of, share_seen
from ablate.workflow.init.proposal import Proposal

USUAL_CROP = 0.875
"""Share of the middle square's side that most backbones see."""
_MOSTLY = 0.95
_LITTLE = 0.1
"""Share of an image that a mask covers where signs are small."""
_UPRIGHT = 0.1
"""Share of the images from which those that stand differ from those that lie."""
_LONG = 1.2


@dataclass(frozen=True, slots=True)
class _Sizes:
    median: tuple[int, int]
    """Width and height in pixels, each on its own."""
    smallest: tuple[int, int]
    aspects: tuple[float, float, float]
    """Longer side / shorter side: quantiles 0.05, 0.5 and 0.95."""


def image_set_facts(proposal: Proposal) -> ImageSetFacts:
    """The facts of a proposal's images."""
    headers = proposal.looked.headers.of
    sizes = _sizes(headers)
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
        median_size=sizes.median,
        smallest_size=sizes.smallest,
        aspect_quantiles=sizes.aspects,
        is_grey=_is_grey(proposal, headers),
        n_groups=n_groups,
        seeks_small_signs=_seeks_small_signs(proposal),
        may_flip=may_flip(proposal.class_names),
    )


def _sizes(headers: Mapping[str, Header]) -> _Sizes:
    widths = []
    heights = []
    aspects = []
    for header in headers.values():
        widths.append(header.width)
        heights.append(header.height)
        aspects.append(header.aspect)
    least_width, median_width = quantiles(widths, (0.0, 0.5))
    least_height, median_height = quantiles(heights, (0.0, 0.5))
    low, middle, high = quantiles(aspects, (0.05, 0.5, 0.95))
    return _Sizes(
        median=(int(median_width), int(median_height)),
        smallest=(int(least_width), int(least_height)),
        aspects=(low, middle, high),
    )


def _is_grey(proposal: Proposal, headers: Mapping[str, Header]) -> bool:
    alike = proposal.looked.alike
    if alike is not None:
        # By pixels where they were decoded: many grey images are saved with three channels.
        return alike.grey_share >= _MOSTLY
    n_grey = 0
    for header in headers.values():
        n_grey += header.is_grey
    return n_grey >= _MOSTLY * len(headers)


def _seeks_small_signs(proposal: Proposal) -> bool:
    masks = proposal.looked.masks
    # Masks measure what words in names only suggest.
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


def seen_share(headers: Mapping[str, Header], view: View | None, crop_share: float) -> float:
    """Mean share of the pixels that val and test see of an image, as `plan` will say it."""
    shapes = shapes_of((header.width, header.height) for header in headers.values())
    assert shapes is not None, "a proposal has images"
    return share_seen(shapes, view=view or USUAL_VIEW, side_share=crop_share)
