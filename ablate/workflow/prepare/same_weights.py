"""Whether pretrained weights are what a study's finished trials started from: a path, a package or a hub's name may mean other tensors by now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ablate.errors import StoreError, WeightsError, some
from ablate.model.backbone_facts import ImageSize
from ablate.scheduling.study_folder import StudyFolder
from ablate.study.trial import Trial
from ablate.study.weights_identity import WeightsIdentity, are_pretrained, weights_name
from ablate.tracking.journal import attempts

_SHOWN = 4
Past = tuple[str, WeightsIdentity]
"""A finished trial's id, and what it started from."""


def check_weights_of_past(
    folders: Sequence[Path],
    trials: Iterable[Trial],
    weights: Mapping[str, WeightsIdentity],
    *,
    image_size: ImageSize,
) -> None:
    """Compare `weights` (`weights_name` -> what is loaded now) with what the finished trials in the studies' folders say that they started from.

    `trials` are those that are asked for now; others are known from the folders. Raises WeightsError naming both digests and the ways out. A journal that
    cannot be read is left to whoever runs the study.
    """
    asked = {trial.trial_id: trial for trial in trials}
    for folder in map(StudyFolder, folders):
        known = dict(asked)
        with suppress(StoreError):
            known |= {trial.trial_id: trial for trial in folder.read_plan().trials}
        past = _past_of(folder, known, image_size=image_size)
        for name, now in weights.items():
            others = [
                (trial_id, then) for trial_id, then in past.get(name, ()) if not then.is_same(now)
            ]
            if others:
                raise WeightsError(_refusal(others, now))


def _past_of(
    folder: StudyFolder, known: Mapping[str, Trial], *, image_size: ImageSize
) -> dict[str, list[Past]]:
    """`weights_name` -> the finished trials with such weights, in the order of their starts."""
    past: dict[str, list[Past]] = defaultdict(list)
    with suppress(StoreError):
        for (trial_id, _), attempt in attempts(folder.journal.read()).items():
            trial, ended = known.get(trial_id), attempt.ended
            is_other = (
                trial is None
                or not are_pretrained(trial.recipe)
                or trial.data.image_size != image_size
            )
            if trial is None or is_other or ended is None or ended.outcome is None:
                continue
            identity = ended.outcome.facts.weights
            if identity is not None:
                past[weights_name(trial.recipe)].append((trial_id, identity))
    return past


def _refusal(others: Sequence[Past], now: WeightsIdentity) -> str:
    then = others[0][1]
    count = f"{len(others)} finished trial" + ("" if len(others) == 1 else "s")
    return (
        f"weights must be what the study's finished trials were trained from, they are not: {count} "
        f"({some([trial_id for trial_id, _ in others], most=_SHOWN)}) started from {then}; now it is {now}. "
        "Ways out: put the former weights back, and finished trials are used; or give the new ones a path of their own, or the grid file another name, "
        "and they are trained as other trials"
    )
