"""Fresh seeds: those that confirm a study's choice, apart from all that choose or judge."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.errors import SpecError
from ablate.grid.expand import arm_trial, noise_seeds
from ablate.grid.grid_file import Grid
from ablate.study.arm_record import arms_by_id
from ablate.study.record import StudyRecord
from ablate.study.trial import DataSpec, Trial

_BLOCK = 10_000
"""Fresh seeds begin at a multiple of it: seeds that are added to a study one by one, as reports
advise, then never meet those that confirm."""


def first_fresh_seed(grid: Grid, seeds: Sequence[int], *, used: Sequence[int] = ()) -> int:
    """Where the fresh seeds of a study begin: beyond `seeds`, the noise floor's and the pilot's.

    `used` are fresh seeds of an earlier choice: who made a second one may have looked at them.
    """
    largest = max(*seeds, *noise_seeds(grid, seeds), grid.pilot_seed, *used)
    return (largest // _BLOCK + 1) * _BLOCK


def fresh_trials(
    grid: Grid, record: StudyRecord, *, data: DataSpec, fingerprint: str
) -> list[Trial]:
    """The arms of the study's confirmation with every fresh seed, seed by seed."""
    # Nothing has been chosen yet, so there is nothing to confirm.
    if record.confirmation is None:
        return []
    # The study's own arms: what is confirmed was chosen among them.
    arms = arms_by_id(record.arms)
    trials = []
    for seed in record.fresh_seeds:
        for arm_id in record.confirmation.arm_ids:
            recipe = arms[arm_id].recipe
            trials.append(
                arm_trial(grid, data=data, fingerprint=fingerprint, recipe=recipe, seed=seed)
            )
    return trials


def check_fresh(record: StudyRecord) -> None:
    """Check that no seed both chooses and confirms. Raises SpecError."""
    # `--seeds` can name any seed, also one that confirmed an earlier choice.
    clash = sorted({*record.seeds, *record.noise_seeds} & set(record.fresh_seeds))
    if clash:
        fresh = record.fresh_seeds
        raise SpecError(
            f"seeds must not be among the fresh ones that confirm the best arm "
            f"({fresh[0]} to {fresh[-1]}), got {', '.join(map(str, clash))}: "
            "a seed that chooses cannot confirm; take other seeds"
        )
