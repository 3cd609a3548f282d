"""A toy study, conducted, and what the journal, Optuna and MLflow say of it afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from ablate.scheduling.conductor import run_study
from ablate.scheduling.executors._base import Executor
from ablate.scheduling.executors.inline import InlineExecutor
from ablate.scheduling.limits import Limits
from ablate.scheduling.optuna_study import OptunaStudy, default_url
from ablate.scheduling.session import Session
from ablate.scheduling.study_folder import JOURNAL, StudyPlan
from ablate.scheduling.summary import StudySummary
from ablate.study.record import StudyRecord
from ablate.study.request import Compute, TrialRequest
from ablate.study.trial import Trial
from ablate.tracking.events import Event
from ablate.tracking.journal import Journal
from ablate.tracking.publisher import Store, Unpublished
from support.toy_execution import RUN, order
from support.toy_study import toy_study

ALL_TOLD = Unpublished(n_attempts=0, why="")


def make_request(trial: Trial, attempt: int, folder: Path) -> TrialRequest:
    assert folder.is_dir()
    assert not list(folder.iterdir())
    compute = Compute(device="cpu", precision="fp32", channels_last=False, threads=1)
    return TrialRequest(
        trial=trial, attempt=attempt, n_classes=3, store_path=folder, folder=folder, compute=compute
    )


def conduct(
    folder: Path,
    *,
    store: Store | None = None,
    executor: Executor | None = None,
    study: tuple[StudyRecord, list[Trial]] | None = None,
    on_event: Callable[[Event], object] | None = None,
    limits: Limits | None = None,
    commit: str = "c0ffee",
) -> tuple[StudySummary, list[Event]]:
    record, trials = study or toy_study()
    heard: list[Event] = []

    def hear(event: Event) -> None:
        heard.append(event)
        if on_event:
            on_event(event)

    summary = run_study(
        StudyPlan(record, tuple(trials), {"commit": commit}),
        Session(
            folder,
            executor or InlineExecutor(RUN),
            make_request,
            store=store,
            on_event=hear,
            limits=limits or Limits(),
        ),
    )
    return summary, heard


def counts(summary: StudySummary) -> tuple[int, int, int]:
    return summary.n_complete, summary.n_reused, summary.n_failed


def journal(folder: Path) -> Journal:
    return Journal(folder / JOURNAL)


def order_in(folder: Path, trial: Trial, what: str) -> None:
    order(folder / "trials", trial, what)


def optuna_states(folder: Path, record: StudyRecord) -> list[tuple[Any, Any, str]]:
    """(trial_id, attempt, state) of every trial in Optuna's storage."""
    states = []
    for trial in OptunaStudy(record, {}, url=default_url(folder)).trials:
        about = trial.user_attrs
        states.append((about.get("trial_id"), about.get("attempt"), trial.state.name))
    return states


def mlflow_runs(uri: str) -> dict[tuple[str, int], str]:
    """(trial_id, attempt) -> status of every child run; fails where there are two."""
    client = MlflowClient(tracking_uri=uri)
    runs = [
        run
        for experiment in client.search_experiments()
        for run in client.search_runs([experiment.experiment_id])
        if run.data.tags.get("ablate.kind") == "trial"
    ]
    keys = [
        (run.data.tags["ablate.trial_id"], int(run.data.tags["ablate.attempt"])) for run in runs
    ]
    assert max(Counter(keys).values(), default=1) == 1
    return {key: run.info.status for key, run in zip(keys, runs, strict=True)}
