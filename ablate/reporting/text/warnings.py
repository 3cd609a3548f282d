"""What is wrong with a study, for the bar above its report: nothing where nothing is."""

from __future__ import annotations

from ablate.errors import plural, some
from ablate.quoting import code
from ablate.reporting.results import Results
from ablate.reporting.text import study_sentences
from ablate.study.image_shapes import FEWEST_SEEN, seen_in_words
from ablate.study.record import FEWEST_TEST_GROUPS, FEWEST_TEST_IMAGES
from ablate.tracking.events import TrialState

"""A class with fewer test images is scored in steps of more than ten points."""
MOST_CUT_AWAY = 0.35
"""As mean share of an image. Photographs of 3:2 lose a third, which is how networks are usually
trained and tested; more is worth a line."""
_N_NAMED = 3


def warnings(results: Results) -> list[str]:
    """One line each, as Markdown, the gravest first."""
    lines = []
    if results.record.data.is_fallback:
        lines.append(study_sentences.data_sentence(results))
    lines += study_sentences.absent_sentences(results)
    # in the order of how much they can change what a reader concludes
    lines += [_untested(results), _duplicates(results), _few_groups(results)]
    lines += [_small_classes(results), _cut_away(results)]
    lines.append(_failures(results))
    return list(filter(None, lines))


def _untested(results: Results) -> str:
    splits = results.record.data.splits
    # Splits by fractions promise no round that tests every image.
    if splits is None or splits.n_folds is None or splits.n_tested == splits.n_images:
        return ""
    n_untested = splits.n_images - splits.n_tested
    return (
        f"**Not every image was tested:** {n_untested:,} of {splits.n_images:,} are in none of the "
        f"{plural(splits.n_splits, 'fold')} that were tested; {splits.n_folds} seeds test each "
        "once."
    )


def _duplicates(results: Results) -> str:
    found = results.record.data.near_duplicates
    if found is None or not found.n_pairs:
        return ""
    return (
        f"**{plural(found.n_pairs, 'near-duplicate')} between splits:** images of val or test "
        "that are also in train make every score too high."
    )


def _few_groups(results: Results) -> str:
    n_groups = results.record.data.n_tested_groups
    if n_groups is None or n_groups >= FEWEST_TEST_GROUPS:
        return ""
    return (
        f"**Test has only {plural(n_groups, 'group')} of images:** scores are no "
        "surer than their number allows, and intervals over so few groups are rough."
    )


def _small_classes(results: Results) -> str:
    data = results.record.data
    counts = data.test_counts
    small = []
    # not strict: a study whose splits were never counted has no counts. Classes without any image
    # have a warning of their own
    for name, n_images in zip(data.class_names, counts, strict=False):
        if 0 < n_images < FEWEST_TEST_IMAGES:
            small.append(f"{code(name)} ({n_images})")
    if not small:
        return ""
    subject = f"{plural(len(small), 'class')} with fewer than {FEWEST_TEST_IMAGES} test images"
    return f"**{subject}:** {some(small, most=_N_NAMED)}. Their scores are coarse."


def _cut_away(results: Results) -> str:
    shares = results.record.seen_shares
    # Studies of former versions did not look at what each arm sees.
    if not shares:
        return _cut_away_in_former_studies(results)
    n_few = sum(share < FEWEST_SEEN for share in shares.values())
    if not n_few:
        return ""
    of_arms = ""
    if n_few < len(shares):
        of_arms = f", fewer than {100 * FEWEST_SEEN:.0f} % in {n_few} of {len(shares)} arms"
    # In few words: a usual crop of square photographs is enough for this line. What to do about it
    # stands in the section on the data.
    return (
        f"**Networks see {seen_in_words(shares.values())} of the pixels{of_arms}:** the middle of "
        "an image; `view: pad` or `view: squash` shows all."
    )


def _cut_away_in_former_studies(results: Results) -> str:
    share = results.record.data.cut_share
    if share <= MOST_CUT_AWAY:
        return ""
    who = "networks see"
    if len(results.record.axes.get("view", ())) > 1:
        who = "arms with view: crop see"
    return (
        f"**{100 * share:.0f} % of the pixels are cut away:** {who} the middle square of "
        "each image, and what lies outside it counts for nothing; `view: squash` or `view: pad` "
        "under `data` shows whole images."
    )


def _failures(results: Results) -> str:
    states = results.trials["state"]
    n_failed = int((states == TrialState.FAILED).sum())
    if not n_failed:
        return ""
    return (
        f"**{n_failed} of {plural(len(states), 'trial')} failed** "
        "and are in no result below; the reasons are under “What was merged, left out or failed?”."
    )
