"""A study read back from the runs of its experiment."""

from __future__ import annotations

import difflib
from collections.abc import Container, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from mlflow.entities import Run

from ablate.errors import StoreError
from ablate.study.record import StudyRecord
from ablate.tracking import mlflow_fields
from ablate.tracking.artifacts import PREDICTIONS
from ablate.tracking.mlflow_attempts import read_attempt
from ablate.tracking.mlflow_experiment import Experiment
from ablate.tracking.mlflow_files import STUDY, LackingFile
from ablate.tracking.mlflow_runs import preference, published, read_curves
from ablate.tracking.passwords import without_password
from ablate.tracking.records import PublishedAttempt, PublishedStudy

# Threads that fetch curves: on a tracking server each is a request.
_N_READERS = 8
# Names among which a misspelt one is looked for, in one request.
_MOST_EXPERIMENTS = 1000


def read_study(experiment: Experiment, study_id: str | None) -> PublishedStudy:
    """See `MlflowStore.read_study`."""
    parent = _find_parent(experiment, study_id)
    record = StudyRecord.model_validate_json(experiment.files.text(parent, STUDY))
    if not record.arms:
        raise StoreError(
            f"the study {record.study_id} of {experiment.grid_name} must have arms, "
            f"its pilot has not chosen any yet; {record.command} goes on."
        )
    runs = _newest_runs(experiment, record)
    experiment.remember(runs)
    with ThreadPoolExecutor(_N_READERS) as readers:
        curves = list(readers.map(partial(read_curves, experiment.client, experiment.files), runs))
    return PublishedStudy(
        record=record,
        tracking_uri=without_password(experiment.tracking_uri),
        experiment_id=parent.info.experiment_id,
        parent_run_id=parent.info.run_id,
        runs=tuple(map(published, runs, curves)),
    )


def read_record(experiment: Experiment, study_id: str) -> StudyRecord | None:
    """See `MlflowStore.read_record`."""
    if not experiment.exists:
        return None
    parents = experiment.search(mlflow_fields.STUDY, study_id, kind="study")
    if not parents:
        return None
    try:
        text = experiment.files.text(parents[0], STUDY)
    except LackingFile:  # the next conductor of the study writes it again
        return None
    return StudyRecord.model_validate_json(text)


def lacks_predictions(experiment: Experiment, run_ids: Sequence[str]) -> bool:
    """Whether predictions are gone from any of some runs."""
    runs = list(map(experiment.run, run_ids))
    lacking = partial(experiment.files.lacking, names=(PREDICTIONS,))
    with ThreadPoolExecutor(_N_READERS) as readers:
        return any(readers.map(lacking, runs))


def read_attempts(
    experiment: Experiment, study_id: str, *, states: Container[str], but: Container[str]
) -> tuple[PublishedAttempt, ...]:
    """See `MlflowStore.read_attempts`."""
    if not experiment.exists:
        return ()
    runs = experiment.search(mlflow_fields.STUDY, study_id, kind="trial")
    attempts: list[PublishedAttempt] = []
    # Oldest first, as whoever takes them over wants the first whole one of each trial.
    for run in sorted(runs, key=lambda run: run.info.start_time):
        tags = run.data.tags
        is_wanted = mlflow_fields.state_of(run.info.status, tags) in states
        if not is_wanted or tags[mlflow_fields.TRIAL] in but:
            continue
        attempt = read_attempt(experiment.client, experiment.files, run)
        if attempt is not None:
            attempts.append(attempt)
    return tuple(attempts)


def _newest_runs(experiment: Experiment, record: StudyRecord) -> list[Run]:
    """The run that speaks for each trial, in the order of the record's arms and seeds."""
    arms: dict[str, int] = {}  # arm_id -> place
    for place, arm in enumerate(record.all_arms):
        arms[arm.arm_id] = place
    seeds: dict[str, int] = {}  # as a tag has it -> place
    for place, seed in enumerate((*record.seeds, *record.noise_seeds, *record.fresh_seeds)):
        seeds[str(seed)] = place
    newest: dict[tuple[int, int], Run] = {}
    runs = experiment.search(mlflow_fields.STUDY, record.study_id, kind="trial")
    # The run that is preferred comes last, and the last one stays.
    for run in sorted(runs, key=preference):
        arm_place = arms.get(run.data.tags[mlflow_fields.ARM_ID])
        seed_place = seeds.get(run.data.tags[mlflow_fields.SEED])
        # Else of an arm or a seed that the grid had once.
        if arm_place is not None and seed_place is not None:
            newest[arm_place, seed_place] = run
    return [newest[places] for places in sorted(newest)]


def _find_parent(experiment: Experiment, study_id: str | None) -> Run:
    if not experiment.exists:
        raise _no_experiment(experiment)
    # Newest first. A pilot's run is one too, but only where it is asked for by its id.
    parents = experiment.search(mlflow_fields.KIND, "study", kind="study")
    if study_id is not None:
        parents += experiment.search(mlflow_fields.STUDY, study_id, kind="pilot")
    for run in parents:
        if study_id is None or run.data.tags[mlflow_fields.STUDY] == study_id:
            return run
    there = ", ".join(run.data.tags[mlflow_fields.STUDY] for run in parents) or "none"
    what = "a study"
    if study_id is not None:
        what = f"the study {study_id!r}"
    raise StoreError(
        f"the experiment {experiment.grid_name!r} of "
        f"{without_password(experiment.tracking_uri)!r} must hold {what}; studies there: {there}."
    )


def _no_experiment(experiment: Experiment) -> StoreError:
    others = experiment.client.search_experiments(max_results=_MOST_EXPERIMENTS)
    names = [other.name for other in others]
    # The name of a grid is typed by hand in `report`, `compare` and `sync`.
    near = difflib.get_close_matches(experiment.grid_name, names, n=1)
    hint = "run the grid first."
    if near:
        hint = f"did you mean {near[0]}?"
    return StoreError(
        f"the tracking store {without_password(experiment.tracking_uri)!r} must hold the "
        f"experiment {experiment.grid_name!r}, it does not; {hint}"
    )
