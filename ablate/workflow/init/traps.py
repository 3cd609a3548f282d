"""What would make the scores of a proposal lie, with numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ablate.advice.advise import Advice
from ablate.advice.case import USUAL_MINUTES
from ablate.advice.rough_cost import RoughCost
from ablate.data.layouts import Trap
from ablate.data.layouts.counted import counted
from ablate.errors import escaped, some
from ablate.study.image_shapes import FEWEST_SEEN
from ablate.study.record import FEWEST_TEST_GROUPS, FEWEST_TEST_IMAGES
from ablate.workflow.init.facts import USUAL_CROP, seen_share
from ablate.workflow.init.proposal import Proposal

_FEWEST_GROUPS_OF_A_CLASS = 3
"""Resampling fewer groups than three shows little of how groups differ."""
_NEARLY_ALL = 0.9
_N_NAMED = 5
_ROUGHLY = 1.2
"""Known speeds tell no more than that."""


def score_traps(proposal: Proposal) -> Iterator[Trap]:
    """Traps of the split that was made: classes, groups, and images that are alike."""
    yield from _small_classes(proposal)
    yield from _one_for_all(proposal)
    yield from _few_groups(proposal)
    yield from _classes_of_few_groups(proposal)
    yield from _alike(proposal)
    looked = proposal.looked
    if looked.headers.n_all > len(looked.headers.of) + len(looked.headers.damaged):
        n_read = len(looked.headers.of)
        text = f"only {n_read} of {looked.headers.n_all} images were looked at, evenly"
        yield Trap("sample", text)


def time_traps(cost: RoughCost, minutes: float | None) -> Iterator[Trap]:
    """Where the smallest study that the rules know takes longer than there is time."""
    asked = minutes or USUAL_MINUTES
    takes = cost.study_s / 60
    if takes > asked * _ROUGHLY:
        text = (
            f"the study may take {takes:.0f} min, and {asked:.0f} were asked for: "
            "`ablate run` takes --budget, trials go seed by seed, and what is finished stays"
        )
        yield Trap("longer than asked", text)


def _small_classes(proposal: Proposal) -> Iterator[Trap]:
    absent, tiny = _small_in(proposal.dealt.counts["test"])
    if absent:
        shown = some(absent, most=_N_NAMED)
        text = (
            f"test has no image of {counted(absent, 'class')} ({shown}): scores say nothing there"
        )
        yield Trap("classes absent from test", text)
    if tiny:
        text = (
            f"test has fewer than {FEWEST_TEST_IMAGES} images of {counted(tiny, 'class')} "
            f"({some(tiny, most=_N_NAMED)}): a single image moves such scores by tenths"
        )
        yield Trap("tiny classes in test", text)


def _small_in(counts: Mapping[str, int]) -> tuple[list[str], list[str]]:
    """Names of the classes without any image; and those with few, each with their number."""
    absent = []
    tiny = []
    for name, n in counts.items():
        if n == 0:
            absent.append(escaped(name))
        elif n < FEWEST_TEST_IMAGES:
            tiny.append(f"{escaped(name)} {n}")
    return absent, tiny


def _classes_of_few_groups(proposal: Proposal) -> Iterator[Trap]:
    """Classes whose test images, however many, show one or two parts or patients."""
    counts = proposal.dealt.n_test_groups
    few = [name for name, n in counts.items() if 0 < n < _FEWEST_GROUPS_OF_A_CLASS]
    if few:
        words = [f"{escaped(name)} {counts[name]}" for name in few]
        text = (
            f"the test images of {counted(few, 'class')} come from fewer than "
            f"{_FEWEST_GROUPS_OF_A_CLASS} groups ({some(words, most=_N_NAMED)}): their scores, and "
            "macro F1, are those of so many cases, and intervals are too narrow there"
        )
        yield Trap("classes of few groups in test", text)


def _one_for_all(proposal: Proposal) -> Iterator[Trap]:
    totals: dict[str, int] = {}
    for counts in proposal.dealt.counts.values():
        for name, n in counts.items():
            totals[name] = totals.get(name, 0) + n
    largest = max(totals, key=lambda name: totals[name])
    share = totals[largest] / len(proposal.images)
    # With several labels, one that nearly all images have is no trap: the others are scored too.
    if share >= _NEARLY_ALL and not proposal.found.has_several_labels:
        text = (
            f"{share:.0%} of the images are of {escaped(largest)}: always saying so has an "
            f"accuracy of {share:.2f}; judge by macro F1 and by class"
        )
        yield Trap("one class for nearly all", text)


def _few_groups(proposal: Proposal) -> Iterator[Trap]:
    n_test = proposal.dealt.n_groups.get("test")
    if n_test is not None and n_test < FEWEST_TEST_GROUPS:
        text = (
            f"test has only {counted(n_test, 'group')}: scores are no surer than that number allows"
        )
        yield Trap("few groups in test", text)


def _alike(proposal: Proposal) -> Iterator[Trap]:
    alike = proposal.looked.alike
    if alike is None:
        text = (
            "too many or too large images to compare all with all here: `ablate run` looks for "
            "near-duplicates across the splits"
        )
        yield Trap("not compared", text)
        return
    # Images of classes that are too small were compared too, and are in no split.
    pairs = _used(proposal, alike.pairs)
    yield from _labelled_apart(proposal, pairs)
    astride = _astride(proposal, pairs)
    if astride:
        first, second = map(escaped, astride[0])
        way_out = "remove one of each"
        if proposal.groups is None:
            way_out = "remove one of each, or say with data.group_by what belongs together"
        text = (
            f"{counted(astride, 'pair')} of (nearly) equal images on two sides of the split, for "
            f"example {first} and {second}: scores on them are memory; {way_out}"
        )
        yield Trap("near-duplicates across splits", text)


def _used(proposal: Proposal, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The pairs of which both images are in the study."""
    paths = {image.path for image in proposal.images}
    used = []
    for pair in pairs:
        if paths.issuperset(pair):
            used.append(pair)
    return used


def _astride(proposal: Proposal, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The pairs of which the splits part the one from the other."""
    split_of = {}
    for image, image_id in zip(proposal.images, proposal.ids, strict=True):
        split_of[image.path] = proposal.dealt.split_of[image_id]
    astride = []
    for one, other in pairs:
        if split_of[one] != split_of[other]:
            astride.append((one, other))
    return astride


def _labelled_apart(proposal: Proposal, pairs: Sequence[tuple[str, str]]) -> Iterator[Trap]:
    """Equal images of two classes, whatever split they are in."""
    labels_of = {image.path: image.labels for image in proposal.images}
    apart = []
    for pair in pairs:
        if labels_of[pair[0]] != labels_of[pair[1]]:
            apart.append(pair)
    if not apart:
        return
    words = []
    for image in apart[0]:
        words.append(f"{escaped(image)} ({', '.join(map(escaped, labels_of[image]))})")
    text = (
        f"{counted(apart, 'pair')} of (nearly) equal images with different labels, for example "
        f"{' and '.join(words)}: look at them; a label is wrong, or what tells them apart is small"
    )
    yield Trap("one image, two labels", text)


def view_traps(proposal: Proposal, advice: Advice) -> Iterator[Trap]:
    """What the usual view would cut away, or the advised one does."""
    headers = proposal.looked.headers.of
    data = advice.below("data")
    usual = seen_share(headers, "crop", USUAL_CROP)
    view = data.get("view")
    if usual >= FEWEST_SEEN:
        return
    words = f"the usual view: crop shows val and test {usual:.0%} of the pixels"
    if view in ("squash", "pad"):
        yield Trap("cut by the view", f"{words}; view: {view} shows all of them")
    elif data.get("crop_share") is None:
        yield Trap("cut by the view", f"{words}; view: squash or pad would show all of them")
