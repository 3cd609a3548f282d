"""What a network of a card is for, and what it is not for."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.quoting import code, text
from ablate.reporting.results import NOT_MEASURED, Results
from ablate.reporting.text.markdown import bullets
from ablate.reporting.text.split_sentences import own_test_limit
from ablate.study.record import ArmRecord

# a card of ImageNet must not begin with a thousand names
_N_CLASSES_NAMED = 20


def use_sections(results: Results, arm: ArmRecord) -> list[str]:
    """Intended use, then limits."""
    return [
        f"## Intended use\n\n{bullets(_intended(results, arm))}",
        f"## Limits\n\n{bullets(_limits(results, arm))}",
    ]


def _intended(results: Results, arm: ArmRecord) -> list[str]:
    data = results.record.data
    # What is filled in is not read again: names of classes may hold braces.
    purpose = results.insight.words.purpose.format(
        n_classes=len(data.class_names), classes=_listed(data.class_names)
    )
    backbone = code(arm.recipe.backbone)
    return [
        f"To see how this way of transferring {backbone} performs on {text(data.title)}, "
        "beside the other arms of the study.",
        purpose,
    ]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(code, names[:_N_CLASSES_NAMED]))
    n_more = len(names) - _N_CLASSES_NAMED
    if n_more <= 0:
        return shown
    # the table by class of the same card has all of them
    return f"{shown} and {n_more} more (see the table by class)"


def _limits(results: Results, arm: ArmRecord) -> list[str]:
    data = results.record.data
    limits = [
        results.insight.words.limit.format(
            n_images=f"{data.n_images.get('train', 0):,}",
            n_classes=len(data.class_counts.get("train", ())),
        )
    ]
    limits += own_test_limit(data)
    if data.is_synthetic:
        limits.append("The images are synthetic: scores say nothing about photographs.")
    if data.is_fallback:
        requested = code(data.requested_source)
        limits.append(f"Fallback data were used: nothing was measured on {requested}.")
    # unknown as well as known: silence would look like permission
    licence = text(data.licence)
    return [
        *limits,
        f"Licence of the data: {licence}. It may limit what the weights can be used for.",
        *results.insight.limits(results, arm),
        f"Behaviour on other cameras, sites or groups: {NOT_MEASURED}.",
    ]
