"""The first lines of a report: which data, which splits and classes, which design."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.errors import plural, some
from ablate.in_order import present
from ablate.quoting import code, text
from ablate.reporting.results import Results
from ablate.reporting.text.markdown import shortened
from ablate.reporting.text.split_sentences import own_split_sentence
from ablate.study.record import DataFacts
from ablate.study.trial import SPLITS

# as many as fit two lines of a README
_N_NAMED_CLASSES = 10
_N_GROUPED_CLASSES = 20
_LONGEST_NAME = 40
# train is left out: no score is computed on it
_CONSEQUENCES = {
    "val": "not considered when the best epoch and the best arm were chosen",
    "test": "not covered by any test score below",
}
"""Split -> what it means for a class that the split has no image of."""


def data_sentence(results: Results) -> str:
    """Which data was really used: one line, or a warning where the fallback was used."""
    data = results.record.data
    if data.is_fallback:
        return _fallback_warning(data)
    kind = "images"
    if data.is_synthetic:
        kind = "synthetic images"
    version = text(data.version)
    return f"Data: **{text(data.title)}** ({code(data.source)}, version {version}), {kind}."


def _fallback_warning(data: DataFacts) -> str:
    requested = code(data.requested_source)
    replaced = (
        f"{requested} is not available here; the declared fallback {code(data.source)} "
        f"({text(data.title)}) was used instead."
    )
    if not data.is_synthetic:
        return f"**Not the data set that the grid asks for:** {replaced}"
    return (
        f"**The images are synthetic stand-ins:** {replaced} "
        f"No result below says anything about {requested}."
    )


def split_sentence(results: Results) -> str:
    """Sizes of the splits, the number of classes, and how the splits were made."""
    data = results.record.data
    sizes = []
    for split in _known_splits(data):
        sizes.append(f"{split} {data.n_images[split]:,}")
    images = f"images: {', '.join(sizes)}{_labels_per_image(results)}"
    classes = f"{len(data.class_names)} classes"
    if data.regrouped:
        classes += f" regrouped ({regrouped_text(data)})"
    image_size = text(results.record.image_size)
    return (
        f"{classes}; {images}. Splits: {text(data.split_rule)}. "
        f"{own_split_sentence(data)}{group_sentence(data)}"
        f"Image size: {image_size}."
    )


def group_sentence(data: DataFacts) -> str:
    """How many groups of images there are, with a blank behind; empty where nothing groups them."""
    groups = data.groups
    if groups is None:
        return ""
    sides = ", ".join(f"{split} {n:,}" for split, n in groups.n_groups.items())
    return (
        f"Images belong to {groups.n_all:,} groups of {groups.smallest:,} to {groups.largest:,} "
        f"({text(groups.rule)}); none stands on two sides ({sides}), and intervals resample "
        "groups of test images, not single ones. "
    )


def drawn_again(data: DataFacts) -> str:
    """What intervals resample: `test images`, or `groups of test images`."""
    if data.groups is None:
        return "test images"
    return "groups of test images"


def _known_splits(data: DataFacts) -> list[str]:
    return present(SPLITS, among=data.class_counts)


def _labels_per_image(results: Results) -> str:
    """How many on average, where an image may have several, or none."""
    data = results.record.data
    # only kinds of labels without exactly one per image count images apart from labels
    if not data.image_counts:
        return ""
    n_labels = 0
    for counts in data.class_counts.values():
        n_labels += sum(counts)
    return f"; {n_labels / sum(data.n_images.values()):.2f} labels per image"


def regrouped_text(data: DataFacts) -> str:
    """Which classes of the source each class took: `good = nominal; defect = local, global`."""
    groups = []
    for new, sources in data.regrouped.items():
        taken = some(list(map(code, sources)), most=_N_GROUPED_CLASSES)
        groups.append(f"{code(new)} = {taken}")
    return "; ".join(groups)


def classes_sentence(results: Results) -> str:
    """The first classes with their images in each split.

    Class names come from folder names: a wrong level of the folder tree shows in this line.
    """
    data = results.record.data
    splits = _known_splits(data)
    if not splits:
        return ""
    classes = []
    for position in range(len(data.class_names)):
        classes.append(_class_text(data, position, splits))
    return f"Classes, images in {' / '.join(splits)}: {some(classes, most=_N_NAMED_CLASSES)}."


def _class_text(data: DataFacts, position: int, splits: Sequence[str]) -> str:
    counts = [f"{data.class_counts[split][position]:,}" for split in splits]
    # a long name from a CSV must not push the numbers out of sight
    name = shortened(data.class_names[position], _LONGEST_NAME)
    return f"{code(name)} {' / '.join(counts)}"


def absent_sentences(results: Results) -> list[str]:
    """A warning for each of val and test that lacks classes, or that holds a single one."""
    data = results.record.data
    warnings = []
    for split, consequence in _CONSEQUENCES.items():
        counts = data.class_counts.get(split, ())
        absent = _absent_classes(data.class_names, counts)
        if absent:
            without = f"{plural(len(absent), 'class')} without images in {split}"
            named = some(absent, most=_N_NAMED_CLASSES)
            warnings.append(f"**{without}: {consequence}.** {named}.")
        # Of one class every model is right, and AUROC has nothing to rank it against.
        if len(counts) - len(absent) == 1:
            warnings.append(
                f"**{split} holds images of one class only: "
                "its scores cannot show whether a model separates the classes.**"
            )
    return warnings


def _absent_classes(class_names: Sequence[str], counts: Sequence[int]) -> list[str]:
    absent = []
    # Not strict: a study whose splits were never counted has no counts.
    for name, n_images in zip(class_names, counts, strict=False):
        if n_images == 0:
            absent.append(code(name))
    return absent


def design_sentence(results: Results) -> str:
    """Arms, seeds, and how many trials ended in which state."""
    record = results.record
    # sorted by name, as the order of counts would depend on how the study ended
    states = results.trials["state"].value_counts().sort_index()
    counted = []
    for state, n_trials in states.items():
        counted.append(f"{n_trials} {str(state).lower()}")
    ended = ", ".join(counted)
    size = f"{plural(len(record.arms), 'arm')} x {plural(len(record.seeds), 'seed')}"
    sentence = f"{size} = {plural(len(results.trials), 'trial')}: {ended}."
    if record.noise_seeds:
        n_more = plural(len(record.noise_seeds), "additional seed")
        sentence += f" Noise floor: {n_more} of the baseline."
    return sentence
