"""Between MLflow's runs and the records of `ablate`: what a run says, in the words of each side."""

from __future__ import annotations

import json
from collections.abc import Mapping

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Run, RunTag

from ablate.study.record import StudyRecord
from ablate.tracking import mlflow_fields
from ablate.tracking.artifacts import Curves, sound_curves
from ablate.tracking.mlflow_files import RunFiles
from ablate.tracking.passwords import hide_passwords
from ablate.tracking.records import PublishedRun

# Prefixes of the metrics that are there for MLflow's UI.
_SHOWN = (mlflow_fields.CURVE_PREFIX, mlflow_fields.PARAM_PREFIX)
# Of a data set, in MLflow.
_LONGEST_DIGEST = 36


def read_curves(client: MlflowClient, files: RunFiles, run: Run) -> Curves:
    """A run's metrics per epoch, from its one file of curves.

    A run without it (still running, killed from outside), or with a damaged one, is asked for each
    metric.
    """
    # One file instead of a request for each metric: a report reads hundreds of runs.
    run_id = run.info.run_id
    name_of_file = run.data.tags.get(mlflow_fields.CURVES)
    if name_of_file is not None:
        curves = sound_curves(lambda: files.text(run, name_of_file), run_id=run_id)
        if curves:
            return curves
    by_metric: Curves = {}
    for name in run.data.metrics:
        if name.startswith(mlflow_fields.CURVE_PREFIX):
            history = client.get_metric_history(run_id, name)
            # The last value of a step counts: an epoch may have been published twice.
            values = {}
            for point in history:
                values[point.step] = point.value
            by_metric[name.removeprefix(mlflow_fields.CURVE_PREFIX)] = tuple(sorted(values.items()))
    return by_metric


def published(run: Run, curves: Curves) -> PublishedRun:
    """A child run as a report reads it."""
    tags = run.data.tags
    metrics: dict[str, float] = {}
    for name, value in run.data.metrics.items():
        if not name.startswith(_SHOWN):
            metrics[name] = value
    return PublishedRun(
        run_id=run.info.run_id,
        trial_id=tags[mlflow_fields.TRIAL],
        arm_id=tags[mlflow_fields.ARM_ID],
        seed=int(tags[mlflow_fields.SEED]),
        attempt=int(tags[mlflow_fields.ATTEMPT]),
        status=mlflow_fields.state_of(run.info.status, tags),
        metrics=metrics,
        curves=curves,
        params=dict(run.data.params),
        tags=dict(tags),
        failure=tags.get(mlflow_fields.FAILURE, ""),
    )


def preference(run: Run) -> tuple[bool, int, int]:
    """Sorts the run that speaks for its trial last."""
    # A complete attempt counts before a later one that is not.
    is_complete = mlflow_fields.state_of(run.info.status, run.data.tags) == "COMPLETE"
    return is_complete, int(run.data.tags[mlflow_fields.ATTEMPT]), run.info.start_time


def start_key(run: Run) -> tuple[str, int, int]:
    """(trial_id, attempt, start in ms): what tells the runs of a study apart."""
    return (
        run.data.tags[mlflow_fields.TRIAL],
        int(run.data.tags[mlflow_fields.ATTEMPT]),
        run.info.start_time,
    )


def milliseconds(at: float) -> int:
    """Seconds since 1970 as MLflow keeps them."""
    # Cut, never rounded: `start_key` compares it with what an earlier version wrote.
    return int(at * 1000)


def run_tags(tags: Mapping[str, str]) -> list[RunTag]:
    """Tags as MLflow takes them."""
    return [RunTag(name, value) for name, value in tags.items()]


def dataset_input(record: StudyRecord) -> DatasetInput:
    """A study's data, for MLflow's table of inputs."""
    facts = record.data
    source = {"source": facts.source, "version": facts.version, "origin": facts.origin}
    dataset = Dataset(
        name=facts.title,
        digest=facts.fingerprint[:_LONGEST_DIGEST],
        source_type="ablate",
        source=json.dumps(source),
        profile=json.dumps(mlflow_fields.data_profile(facts)),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "train, val, test")])


def first_line(error: Exception) -> str:
    """An error in one line."""
    return hide_passwords(f"{type(error).__name__}: {error}".partition("\n")[0])
