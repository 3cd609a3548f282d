"""Whether pretrained weights are what a study's finished trials started from.

A path, a package or a hub's name may stand for other tensors by now.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ablate.errors import StoreError, WeightsError, some
from ablate.model.backbone_facts import ImageSize
from ablate.scheduling.study_folder import StudyFolder
from ablate.study.trial import Trial, trials_by_id
from ablate.study.weights_identity import WeightsIdentity, are_pretrained, weights_name
from ablate.tracking.journal import attempts
from ablate.workflow.folders import Folders
from ablate.workflow.prepare.resolved import Resolved
from ablate.workflow.prepare.study_folders import pilot_folder_of, study_folder

_SHOWN = 4
"""Trials that an error names."""
Past = tuple[str, WeightsIdentity]
"""A finished trial's id, and what it started from."""


def check_same_weights(
    resolved: Resolved, folders: Folders, weights: Mapping[str, WeightsIdentity]
) -> None:
    """Make sure that a study goes on from the weights that it began with, and its pilot too.

    `weights` are what `check_arms` has just read. Raises WeightsError.
    """
    folder = study_folder(resolved.record, folders)
    study_folders = [folder]
    trials = [*resolved.trials]
    if resolved.pilot is not None:
        study_folders.append(pilot_folder_of(folder, resolved.pilot.record))
        trials += resolved.pilot.tuning_trials
    check_weights_of_past(study_folders, trials, weights, image_size=resolved.data.image_size)


def check_weights_of_past(
    folders: Sequence[Path],
    trials: Iterable[Trial],
    weights: Mapping[str, WeightsIdentity],
    *,
    image_size: ImageSize,
) -> None:
    """Compare what is loaded now with what finished trials in the studies' folders started from.

    `weights` maps `weights_name` to what is loaded now. `trials` are those that are asked for now;
    others are known from the folders. A journal that cannot be read is left to whoever runs the
    study. Raises WeightsError naming both digests and the ways out.
    """
    # What is asked for now, also where an earlier plan did not have it.
    asked = trials_by_id(trials)
    for folder in map(StudyFolder, folders):
        known = asked.copy()
        # A search's trials stand in its plan alone.
        with suppress(StoreError):
            known |= trials_by_id(folder.read_plan().trials)
        past = _past_of(folder, known, image_size=image_size)
        for name, now in weights.items():
            others = []
            for trial_id, then in past.get(name, ()):
                if not then.is_same(now):
                    others.append((trial_id, then))
            if others:
                raise WeightsError(_refusal(others, now))


def _past_of(
    folder: StudyFolder, known: Mapping[str, Trial], *, image_size: ImageSize
) -> dict[str, list[Past]]:
    """`weights_name` -> the finished trials with such weights, in the order of their starts."""
    past: dict[str, list[Past]] = defaultdict(list)
    with suppress(StoreError):
        for (trial_id, _), attempt in attempts(folder.journal.read()).items():
            trial = known.get(trial_id)
            ended = attempt.ended
            if trial is None or ended is None or ended.outcome is None:
                continue
            # Position embeddings are resized with the images: the tensors are other ones then.
            if trial.data.image_size != image_size or not are_pretrained(trial.recipe):
                continue
            identity = ended.outcome.facts.weights
            # Trials of early versions did not note what they started from.
            if identity is not None:
                past[weights_name(trial.recipe)].append((trial_id, identity))
    return past


def _refusal(others: Sequence[Past], now: WeightsIdentity) -> str:
    _, then = others[0]
    count = f"{len(others)} finished trial"
    if len(others) > 1:
        count += "s"
    trial_ids = some([trial_id for trial_id, _ in others], most=_SHOWN)
    return (
        "weights must be what the study's finished trials were trained from, they are not: "
        f"{count} ({trial_ids}) started from {then}; now it is {now}. "
        "Ways out: put the former weights back, and finished trials are used; or give the new ones "
        "a path of their own, or the grid file another name, and they are trained as other trials"
    )
