"""Links into MLflow's UI."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from urllib.parse import quote, urlencode

from ablate.study.choosing import is_better_when_low
from ablate.study.record import StudyRecord
from ablate.study.tasks import task_of
from ablate.tracking import mlflow_fields
from ablate.tracking.records import PublishedStudy

# Runs that the UI's comparison page takes in one URL; larger studies get the experiment's chart
# view.
_COMPARED = 100
# Without it a new browser is asked first what the experiment is about.
_TABS = {"workflowType": "machine_learning"}


def compare_url(base_url: str, study: PublishedStudy) -> str:
    """Return the link of MLflow's UI that compares all of a study's runs.

    `base_url` is where the UI is, e.g. http://127.0.0.1:5000.
    """
    if len(study.runs) > _COMPARED:
        # The page that compares takes every run's id in its URL, and URLs have limits.
        condition = quote(_trials_of(study.record))
        experiment = f"{_root(base_url)}/experiments/{study.experiment_id}"
        return f"{experiment}?searchFilter={condition}&compareRunsMode=CHART"
    runs = _quoted([run.run_id for run in study.runs])
    experiments = _quoted([study.experiment_id])
    return f"{_root(base_url)}/compare-runs?runs={runs}&experiments={experiments}"


def runs_url(base_url: str, study: PublishedStudy) -> str:
    """Return the link to the table of a study's trials, the best by `select_by` first."""
    query = dict(_facets(study.record))
    for name, value in query.items():
        if isinstance(value, bool):
            query[name] = str(value).lower()  # as JavaScript writes it
    return _table_url(base_url, study, query)


def shared_view_url(base_url: str, study: PublishedStudy) -> str:
    """Return the link to the same table with a column for each score and axis.

    The view must have been stored.
    """
    return _table_url(base_url, study, {"viewStateShareKey": view_key(study.record)})


def view_key(record: StudyRecord) -> str:
    """Return the name under which a study's view is stored; see `view_state`."""
    return f"ablate-{record.study_id}"


def view_state(study: PublishedStudy) -> str:
    """Return what MLflow's UI keeps of a shared view: which runs, in which order, which columns.

    It reads it from the experiment's tag `mlflow.sharedViewState.<key>`; so its own button "Share"
    writes it.
    """
    record = study.record
    # Columns that no run has would stand empty in the table.
    logged: set[str] = set()
    for run in study.runs:
        logged.update(run.metrics)
    # A dict keeps each name once, in order: select_by may be among the shown scores.
    wanted = dict.fromkeys((record.select_by, *_shown_scores(record), "time/train_s"))
    columns = []
    for name in wanted:
        if name in logged:
            columns.append(f"metrics.`{name}`")
    for axis in (*record.axes, "seed"):
        columns.append(f"params.`{axis}`")
    return json.dumps({**_facets(record), "selectedColumns": columns})


def _facets(record: StudyRecord) -> dict[str, str | bool]:
    return {
        "searchFilter": _trials_of(record),
        "orderByKey": f"metrics.`{record.select_by}`",
        "orderByAsc": is_better_when_low(record.select_by),
    }


def _trials_of(record: StudyRecord) -> str:
    is_of_study = f"tags.`{mlflow_fields.STUDY}` = '{record.study_id}'"
    return f"{is_of_study} AND tags.`{mlflow_fields.KIND}` = 'trial'"


def _table_url(base_url: str, study: PublishedStudy, query: Mapping[str, object]) -> str:
    experiment = f"{_root(base_url)}/experiments/{study.experiment_id}"
    return f"{experiment}/runs?{urlencode({**_TABS, **query}, quote_via=quote)}"


def _quoted(ids: Sequence[str]) -> str:
    return quote(json.dumps(ids, separators=(",", ":")))


def _root(base_url: str) -> str:
    # The UI is one page: what follows the # is its own route.
    return f"{base_url.rstrip('/')}/#"


def _shown_scores(record: StudyRecord) -> list[str]:
    """The test scores that stand in the table of runs."""
    task = task_of(record.task)
    scores = []
    for name in task.metrics_of(len(record.data.class_names)):
        if task.metric(name).is_shown:
            scores.append(f"test/{name}")
    return scores
