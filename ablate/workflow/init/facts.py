"""Facts of a folder's images and of this computer, as the rules of `advice` take them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from ablate.advice.facts import ImageSetFacts, MachineFacts
from ablate.data.layouts._headers import Header, quantiles
from ablate.workflow.init.proposal import Proposal

_MOSTLY = 0.95
_LITTLE = 0.1
"""Share of an image that a mask covers where signs are small."""
_SIGNS = frozenset(
    "defect defects defective crack cracks cracked scratch scratches hole blowhole fray break "
    "uneven dent stain spot spots rust corrosion flaw anomaly anomalous broken damage damaged "
    "lesion lesions tumor tumour malignant melanoma nodule fracture metastasis polyp bleeding "
    "contamination porosity void pit chip missing local inclusion marked".split(" ")
)
"""Words in names of classes that stand for something small in an image."""
_UNFLIPPABLE = frozenset("digit digits letter letters sign signs text character number".split(" "))


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
        may_flip=_may_flip(proposal),
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
    return bool(_words(proposal) & _SIGNS)


def _may_flip(proposal: Proposal) -> bool:
    names = proposal.class_names
    # Digits and letters as classes: all names of one character, but for a few.
    n_short = sum(len(name) == 1 for name in names)
    if n_short >= _MOSTLY * len(names) and len(names) > 2:
        return False
    return not _words(proposal) & _UNFLIPPABLE


def _words(proposal: Proposal) -> set[str]:
    """Words in the names of classes and of the folder, in lower case."""
    words: set[str] = set()
    for name in (*proposal.class_names, proposal.looked.root.name):
        spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
        words.update(re.split(r"[\W\d_]+", spaced.casefold()))
    return words


def machine_facts(gpu_gb: float | None, minutes: float | None) -> MachineFacts:
    """The facts of this computer; a GPU only where somebody says how large it is."""
    return MachineFacts(
        cores=len(os.sched_getaffinity(0)),
        has_bf16=gpu_gb is not None or _has_bf16(),
        gpu_gb=gpu_gb,
        minutes=minutes,
    )


def _has_bf16() -> bool:
    """Whether the CPU multiplies in bfloat16, as Linux lists it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "avx512_bf16" in text or "amx_bf16" in text


def seen_share(headers: Mapping[str, Header], view: str | None, crop_share: float) -> float:
    """Mean share of the pixels that val and test see of an image, in [0, 1]."""
    if view in ("squash", "pad"):
        return 1.0
    # A middle square of the shorter side, and of that the middle `crop_share` of each side.
    shares = [crop_share**2 / header.aspect for header in headers.values()]
    return sum(shares) / max(1, len(shares))
