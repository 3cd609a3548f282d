"""What to say where each seed of a study has a split of its own; nothing where all share one."""

from __future__ import annotations

from ablate.errors import plural
from ablate.study.record import DataFacts, SplitsFacts


def seeds_in_words(data: DataFacts) -> str:
    """Return over what replicates vary: `seeds`, or `splits and seeds`."""
    if data.splits is None:
        return "seeds"
    return "splits and seeds"


def own_split_sentence(data: DataFacts) -> str:
    """Return what the seeds test and what intervals are over, with a blank behind, or nothing."""
    splits = data.splits
    if splits is None:
        return ""
    return (
        f"Each seed has a split of its own (the numbers are those of the first): "
        f"{tested_text(splits)}. All intervals are over splits and seeds: arms are paired within "
        "a seed, on the same images, and an image that several seeds test counts once. "
    )


def tested_text(splits: SplitsFacts) -> str:
    """Return how many images some seed tests, and how often."""
    seeds = plural(splits.n_splits, "seed")
    if splits.n_tested < splits.n_images:
        n_untested = splits.n_images - splits.n_tested
        return (
            f"**{n_untested:,} of {splits.n_images:,} images are tested by none of {seeds}**"
            f"{_rounds_text(splits)}"
        )
    times = f"{splits.fewest_tests} to {splits.most_tests} times"
    if splits.fewest_tests == splits.most_tests:
        times = "once" if splits.most_tests == 1 else f"{splits.most_tests} times"
    return f"every one of {splits.n_images:,} images is tested {times} by {seeds}"


def _rounds_text(splits: SplitsFacts) -> str:
    if splits.n_folds is None:
        return ""
    return f"; {splits.n_folds} seeds test each once"


def own_test_limit(data: DataFacts) -> list[str]:
    """Return the line of a card on its test images: none is the test set of every run."""
    splits = data.splits
    if splits is None:
        return []
    return [
        "Each run was trained, chosen and tested on a split of its own: scores are means over "
        f"{plural(splits.n_splits, 'split')}, and the weights of one run have been trained on "
        "images that test another one. No image is held out from all runs."
    ]


def scores_by_seed_note(data: DataFacts) -> str:
    """Return the note above a card's table of seeds, or nothing."""
    if data.splits is None:
        return ""
    return "Each seed was tested on other images: rows differ by their images, too."
