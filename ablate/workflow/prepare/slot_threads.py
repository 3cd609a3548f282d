"""How many CPU threads a slot gets: by a rule that the machine's load cannot change.

Scores depend on the threads in their last digits. Trials side by side on one thread each share
nothing that they would wait for, and drawing views, evaluating and writing use one core however
many threads a step has: so a slot has one thread, and there are as many slots as cores.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from ablate.errors import StoreError
from ablate.scheduling.study_folder import StudyFolder
from ablate.tracking.events import TrialEnded

THREADS = 1
"""Of a slot, where nobody asked for another number and the study has not begun with one."""


def slot_threads(asked: int | None, study_folders: Sequence[Path]) -> int:
    """Return `--threads` where it was given, else those that a study began with, else `THREADS`.

    `study_folders` are the study's and its pilot's, the first to run first. Former versions
    measured a number once per home: a study that began with one goes on with it, in any home.
    """
    if asked is not None:
        return asked
    for folder in study_folders:
        begun_with = _threads_of_first_trial(folder)
        if begun_with is not None:
            return begun_with
    return THREADS


def _threads_of_first_trial(folder: Path) -> int | None:
    """The threads of the first trial that completed; None where none did."""
    # What cannot be read is said, and mended, by whoever runs the study.
    with contextlib.suppress(StoreError, OSError):
        for event, _ in StudyFolder(folder).journal.follow(0):
            if not isinstance(event, TrialEnded) or event.outcome is None:
                continue
            # Facts of the first versions lack the number.
            if event.outcome.facts.threads is not None:
                return event.outcome.facts.threads
    return None
