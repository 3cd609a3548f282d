"""Trials of a study of which each seed has a split of its own: which seed has which.

The r-th of the study's seeds has place r, and the noise floor's seeds follow. Fresh seeds begin a
round of folds of their own, so that no shuffle of the study's is among them.
"""

from __future__ import annotations

from collections.abc import Sequence

from ablate.data.dataset import DataSet
from ablate.data.resplits import Resplits
from ablate.study.record import DataFacts, SplitsFacts, StudyRecord
from ablate.study.trial import Trial


def places_of(record: StudyRecord) -> dict[int, int]:
    """Return seed -> place of its split, of all seeds that the study trains with."""
    places: dict[int, int] = {}
    for place, seed in enumerate((*record.seeds, *record.noise_seeds)):
        places[seed] = place
    n_folds = 1
    if record.data.splits is not None and record.data.splits.n_folds is not None:
        n_folds = record.data.splits.n_folds
    for number, seed in enumerate(record.fresh_seeds):
        places.setdefault(seed, record.fresh_seeds[0] * n_folds + number)
    return places


def with_own_splits(
    trials: Sequence[Trial], record: StudyRecord, data_set: DataSet
) -> tuple[Trial, ...]:
    """Return the trials, each with the split of its seed where each seed has one of its own.

    Raises DataError where a split cannot be trained on.
    """
    resplits = data_set.resplits
    if resplits is None:
        return tuple(trials)
    places = places_of(record)
    wanted = sorted({places[trial.seed] for trial in trials})
    resplits.check(wanted, data_set.facts.class_names)
    own = []
    for trial in trials:
        fingerprint = resplits.fingerprint(places[trial.seed])
        own.append(trial.model_copy(update={"split_fingerprint": fingerprint}))
    return tuple(own)


def sides_of(trial: Trial, record: StudyRecord, data_set: DataSet) -> str | None:
    """Return the split of a trial as it travels; None where all trials have the same one."""
    if data_set.resplits is None:
        return None
    return data_set.resplits.sides(places_of(record)[trial.seed])


def counted(facts: DataFacts, resplits: Resplits | None, seeds: Sequence[int]) -> DataFacts:
    """Return the facts with what the splits of so many seeds test."""
    if resplits is None:
        return facts
    return facts.model_copy(update={"splits": resplits.facts(range(len(seeds)))})


def split_remarks(facts: SplitsFacts | None) -> list[str]:
    """Return lines on what the seeds test: every image, some more often, or not all."""
    if facts is None or not facts.n_splits:
        return []
    how = "each seed has a split of its own"
    if facts.n_tested < facts.n_images:
        n_untested = facts.n_images - facts.n_tested
        word = "warning" if facts.n_folds is not None else "note"
        return [
            f"{word}: {how}; {n_untested} of {facts.n_images} images are tested by none of "
            f"{facts.n_splits} seeds{_more_seeds(facts)}"
        ]
    times = f"{facts.fewest_tests} times"
    if facts.most_tests == 1:
        times = "once"
    if facts.fewest_tests == facts.most_tests:
        return [f"note: {how}; every one of {facts.n_images} images is tested {times}"]
    return [
        f"note: {how}; every one of {facts.n_images} images is tested, {facts.fewest_tests} to "
        f"{facts.most_tests} times{_more_seeds(facts)}"
    ]


def _more_seeds(facts: SplitsFacts) -> str:
    if facts.n_folds is None:
        return ""
    n_seeds = -(-facts.n_splits // facts.n_folds) * facts.n_folds  # rounded up
    return f"; {n_seeds} seeds would test each equally often"
