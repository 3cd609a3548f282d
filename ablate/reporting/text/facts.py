"""Facts on how trials were run, as words: the one place where values become sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ablate.quoting import text
from ablate.reporting.results import NOT_MEASURED
from ablate.study.provenance import Provenance
from ablate.study.trial_facts import Merge, TrialFacts
from ablate.tracking.records import PublishedRun


def shared_text(runs: Iterable[PublishedRun], text_of: Callable[[TrialFacts], str | None]) -> str:
    """A fact of several runs: the words, or all of them in order where the runs differ."""
    return _joined([text_of(run.facts) for run in runs])


def boundary_text(facts: TrialFacts) -> str | None:
    """e.g. `3 of 6 units`."""
    if facts.freeze_depth is None or facts.n_units is None:
        return None
    return f"{facts.freeze_depth} of {facts.n_units} units"


def commit_text(runs: Sequence[PublishedRun]) -> str:
    """The commit of the code that made the runs."""
    # Several where a study was continued after a change of the code.
    return _joined([run.provenance.commit for run in runs])


def versions_text(runs: Sequence[PublishedRun]) -> str:
    """e.g. `ablate 0.1.0, python 3.12.3, torch 2.14.1, timm 1.0.22`: of what made the runs."""
    provenances = [run.provenance for run in runs]
    versions = {"ablate": _joined([provenance.version for provenance in provenances])}
    for name in _library_names(provenances):
        of_library = [provenance.libraries.get(name) for provenance in provenances]
        versions[name] = _joined(of_library)
    # Trials say themselves what torch they ran with: runs of old stores have no other version.
    torch = shared_text(runs, lambda facts: facts.torch)
    if torch != NOT_MEASURED:
        versions["torch"] = torch
    parts = []
    for name, version in versions.items():
        if version != NOT_MEASURED:
            parts.append(f"{name} {text(version)}")
    return ", ".join(parts) or NOT_MEASURED


def _library_names(provenances: Iterable[Provenance]) -> list[str]:
    """Every library that some run names, in the order in which they first appear."""
    names: dict[str, None] = {}
    for provenance in provenances:
        names |= dict.fromkeys(provenance.libraries)
    return list(names)


def merge_text(merges: Sequence[Merge | None]) -> str:
    """What the runs of an arm say of merging their adapters.

    Of runs that all merged on the same number of images, the one with the largest difference.
    """
    measured = []
    for merge in merges:
        if merge is not None and merge.difference is not None:
            measured.append(merge)
    n_images = {merge.n_images for merge in measured}
    # one line for all seeds where they measured the same thing: the largest bounds the others
    if len(measured) == len(merges) and len(n_images) == 1:
        largest = max(measured, key=_size_of_difference)
        return _joined([_merge_text(largest)])
    return _joined(map(_merge_text, merges))


def _size_of_difference(merge: Merge) -> float:
    return merge.difference or 0.0


def _merge_text(merge: Merge | None) -> str | None:
    if merge is None:
        return None
    if merge.difference is None:
        return f"not merged: {merge.why_not}"
    # In fp32 even where training was bf16: rounding the sum would hide a wrong merge.
    return (
        f"merged in fp32, logits of {merge.n_images} val images differ by at most "
        f"{merge.difference:.1e}"
    )


def _joined(texts: Iterable[str | None]) -> str:
    """The texts, each of them once, in order of appearance; a missing one is `not measured`."""
    different: dict[str, None] = {}
    for fact in texts:
        different[fact or NOT_MEASURED] = None
    return ", ".join(different) or NOT_MEASURED
