"""MLflow as the door to reporting: a study's events projected into runs, and read back. The only module that imports mlflow.

experiment = grid name; parent run = study; child run = one attempt of a trial. A run is RUNNING until everything of it is there, so a run that has ended
is whole, and publishing again what is there already changes nothing.
"""

from __future__ import annotations

import difflib
import logging
import os
import tempfile
from collections.abc import Container, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any

for _name, _value in {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",  # the library prints nothing
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # the publisher has its own patience
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}.items():
    os.environ.setdefault(_name, _value)  # read by mlflow when it is imported, hence before

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from mlflow import MlflowClient  # noqa: E402
from mlflow.entities import Metric, Param, Run  # noqa: E402

from ablate.errors import AblateError, CheckFailed, StoreError  # noqa: E402
from ablate.study.record import StudyRecord  # noqa: E402
from ablate.study.trial import Trial
from ablate.study.trial_facts import facts_to_tags  # noqa: E402
from ablate.tracking import projection  # noqa: E402
from ablate.tracking.artifacts import (  # noqa: E402
    PREDICTIONS,
    add_confusion,
    curves_of,
    curves_to_json,
    read_predictions,
    read_thumbnails,
    write_thumbnails,
)
from ablate.tracking.databases import artifact_location, check_driver  # noqa: E402
from ablate.tracking.events import EpochEnded, Event, TrialEnded, TrialStarted  # noqa: E402
from ablate.tracking.mlflow_attempts import read_attempt  # noqa: E402
from ablate.tracking.mlflow_files import CURVES, FAILURE, SPEC, STUDY, RunFiles  # noqa: E402
from ablate.tracking.mlflow_model import ModelNeeds, fetch_model, has_model, log_model  # noqa: E402
from ablate.tracking.mlflow_runs import (  # noqa: E402
    dataset_input,
    first_line,
    milliseconds,
    preference,
    published,
    read_curves,
    run_tags,
    start_key,
)
from ablate.tracking.mlflow_tables import prepare_file, unopened  # noqa: E402
from ablate.tracking.reach import check_uri, without_password  # noqa: E402
from ablate.tracking.records import PublishedAttempt, PublishedRun, PublishedStudy  # noqa: E402

for _name in ("mlflow", "alembic"):
    logging.getLogger(_name).setLevel(logging.ERROR)

MODEL, REPORT, THUMBNAILS = "model", "report", "thumbnails.parquet"
_PAGE = 500
_READERS = 8
"""Threads that fetch curves: on a tracking server each is a request."""
_OPENS_ON_RUNS = {"mlflow.experimentKind": "custom_model_development"}
"""MLflow's UI opens an experiment without a kind on a page for traces of language models."""


class MlflowStore:
    """One grid's experiment in a tracking store. Not for several threads at once."""

    def __init__(
        self, tracking_uri: str, grid_name: str, *, artifact_root: Path | None = None
    ) -> None:
        """Name the store; nothing is opened before the first call. See `artifact_location` for `artifact_root`."""
        self.tracking_uri = tracking_uri
        self._artifact_root = artifact_root
        self.grid_name = grid_name
        self._record: StudyRecord | None = None
        self._tags: dict[str, str] = {}
        self._parent_run_id = ""
        self._known: dict[tuple[str, int, int], tuple[str, bool]] = {}
        """(trial_id, attempt, start in ms) -> (run id, whether it is RUNNING), as found when the study was started."""
        self._touched: set[str] = set()
        self._tried: set[tuple[str, int]] = set()
        """(trial_id, attempt) of the starts that were published, or may have been: a server can make a run and lose the answer."""
        self._open: dict[tuple[str, int], str | None] = {}
        """(trial_id, attempt) -> run id; None where the run has ended and is whole."""
        self._ended: dict[tuple[str, int], Run] = {}
        """(trial_id, attempt) -> run that had ended before, until its end comes by: then its files are looked for."""
        self._epochs: dict[tuple[str, int], list[EpochEnded]] = {}
        self._runs: dict[
            str, Run
        ] = {}  # of the study that was read last: where their artifacts lie

    # -- before a study ------------------------------------------------------------------------------------------------------------------

    def check_reachable(self) -> None:
        """Return when runs can be written. Raises StoreError within seconds when the store cannot be used."""
        check_driver(self.tracking_uri)
        check_uri(self.tracking_uri)
        try:
            experiment = self._client.get_experiment_by_name(self.grid_name)
        except Exception as error:
            raise unopened(self.tracking_uri, error, grid_name=self.grid_name) from error
        if experiment is not None and experiment.lifecycle_stage != "active":
            raise StoreError(
                f"the experiment {self.grid_name!r} must not be deleted in {without_password(self.tracking_uri)!r}; "
                f"restore it there, or give the grid file another name."
            )

    @cached_property
    def _client(self) -> Any:
        prepare_file(self.tracking_uri)
        return MlflowClient(tracking_uri=self.tracking_uri)

    @cached_property
    def _files(self) -> RunFiles:
        return RunFiles(self._client, self.tracking_uri, grid_name=self.grid_name)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Whatever the store's client raises in the block is a StoreError: a server can go away at any moment."""
        try:
            yield
        except AblateError:
            raise
        except Exception as error:
            raise StoreError(
                f"the tracking store must answer, {without_password(self.tracking_uri)!r} did not: {first_line(error)}"
            ) from error

    @cached_property
    def _experiment_id(self) -> str:
        found = self._client.get_experiment_by_name(self.grid_name)
        if found is not None:
            return str(found.experiment_id)
        root = artifact_location(self.tracking_uri, self.grid_name, root=self._artifact_root)
        return str(
            self._client.create_experiment(
                self.grid_name, artifact_location=root, tags=_OPENS_ON_RUNS
            )
        )

    # -- publishing ----------------------------------------------------------------------------------------------------------------------

    def start_study(self, record: StudyRecord, tags: Mapping[str, str]) -> str:
        """Make or find the study's parent run, set it RUNNING and return its id. `tags` (commit, versions, ...) go on it and on the runs that follow."""
        everything = {**tags, **projection.study_tags(record)}
        parents = self._search(
            projection.STUDY, record.study_id, kind=projection.study_kind(record)
        )
        if record.stage is not None:
            everything["mlflow.parentRunId"] = self._outer_run(record, tags)
        if parents:
            self._parent_run_id = parents[0].info.run_id
            self._client.update_run(self._parent_run_id, status="RUNNING")
            self._client.log_batch(self._parent_run_id, tags=run_tags(everything))
        else:
            name = (
                record.grid_name
                if record.stage is None
                else f"{record.grid_name} {record.stage.kind}"
            )
            self._parent_run_id = self._client.create_run(
                self._experiment_id, tags=everything, run_name=name
            ).info.run_id
        self._log_record(self._parent_run_id, record)
        self._record, self._tags = record, dict(tags)
        found = self._search(projection.STUDY, record.study_id, kind="trial")
        self._known = {
            start_key(run): (run.info.run_id, run.info.status == "RUNNING") for run in found
        }
        self._runs = {run.info.run_id: run for run in found}
        return self._parent_run_id

    def _outer_run(self, record: StudyRecord, tags: Mapping[str, str]) -> str:
        """The run of the study that a pilot prepares; made where it is not there, as KILLED: it is taken up once the pilot is over."""
        outer = projection.outer_study(record)
        found = self._search(projection.STUDY, outer.study_id, kind="study")
        if found:
            return str(found[0].info.run_id)
        run_id = str(
            self._client.create_run(
                self._experiment_id,
                tags={**tags, **projection.study_tags(outer)},
                run_name=outer.grid_name,
            ).info.run_id
        )
        self._log_record(run_id, outer)
        self._client.set_terminated(run_id, status="KILLED")
        return run_id

    def _log_record(self, run_id: str, record: StudyRecord) -> None:
        self._client.log_text(run_id, record.model_dump_json(indent=2), STUDY)
        self._client.log_inputs(run_id, datasets=[dataset_input(record)])

    def publish(self, event: Event, *, trial: Trial, folder: Path) -> None:
        """Project one event of `trial`, whose attempt left its files in `folder`. Publishing the same events again, in their order, changes nothing."""
        if isinstance(event, TrialStarted):
            self._publish_start(event, trial)
            return
        key = (event.trial_id, event.attempt)
        if key not in self._open:
            raise CheckFailed(
                f"a trial's start must be published before its {type(event).__name__}, {key} was not."
            )
        run_id = self._open[key]
        if run_id is None:
            self._pass_by(event, trial, folder)
            return
        if isinstance(event, EpochEnded):
            self._epochs[key].append(event)
            self._log_metrics(
                run_id,
                projection.curve_metrics(event, first=trial.select_by),
                at=event.at,
                step=event.epoch,
            )
        else:
            self._publish_end(run_id, event, trial=trial, folder=folder)
            self._open[key] = None
            del self._epochs[key]

    def _publish_start(self, event: TrialStarted, trial: Trial) -> None:
        key, record = (event.trial_id, event.attempt), self._started_record()
        run_id, is_running = self._known.get((*key, milliseconds(event.at)), ("", True))
        if not is_running:
            self._open[key] = None
            self._ended[key], self._epochs[key] = self._run(run_id), []
            return
        tags = {
            **self._tags,
            **projection.trial_tags(trial, attempt=event.attempt, slot=event.slot, record=record),
        }
        if not run_id and key in self._tried:
            run_id = self._find_started(event)
        self._tried.add(key)
        if not run_id:
            tags["mlflow.parentRunId"] = self._parent_run_id
            name = f"{projection.arm_name(trial, record)} seed={trial.seed}"
            run_id = self._client.create_run(
                self._experiment_id,
                start_time=milliseconds(event.at),
                tags=tags,
                run_name=name[:250],
            ).info.run_id
            self._known[(*key, milliseconds(event.at))] = run_id, True
        self._touched.add(run_id)
        params = [Param(name, value) for name, value in projection.trial_params(trial).items()]
        self._client.log_batch(run_id, params=params)
        self._client.log_inputs(run_id, datasets=[dataset_input(record)])
        self._open[key], self._epochs[key] = run_id, []

    def _find_started(self, event: TrialStarted) -> str:
        """Id of the run that an earlier, broken call made of this start, or an empty text."""
        found = self._search(projection.TRIAL, event.trial_id, kind="trial")
        return next(
            (
                run.info.run_id
                for run in found
                if start_key(run) == (event.trial_id, event.attempt, milliseconds(event.at))
            ),
            "",
        )

    def _pass_by(self, event: Event, trial: Trial, folder: Path) -> None:
        """An event of a run that had ended before: only at its end, files that are gone from the store are written again."""
        key = (event.trial_id, event.attempt)
        run = self._ended.get(key)
        if run is None:
            return
        if isinstance(event, EpochEnded):
            self._epochs[key].append(event)
        elif isinstance(event, TrialEnded):
            files = () if event.outcome is None else event.outcome.files
            gone = self._files.lacking(run, (SPEC, CURVES, *files))
            if PREDICTIONS in gone and not (folder / PREDICTIONS).is_file():
                raise StoreError(
                    f"the run {run.info.run_id} must hold {PREDICTIONS}, it is gone from MLflow and from {folder}"
                )
            if gone:
                self._log_files(
                    run.info.run_id,
                    event,
                    trial,
                    folder,
                    names=[name for name in files if name in gone and (folder / name).is_file()],
                )
            del self._ended[key], self._epochs[key]

    def _publish_end(self, run_id: str, event: TrialEnded, *, trial: Trial, folder: Path) -> None:
        record, tags = (
            self._started_record(),
            {projection.STATE: event.state.value, projection.CURVES: CURVES},
        )
        if event.failure is not None:
            tags[projection.FAILURE] = projection.failure_line(event.failure)
        if event.outcome is not None:
            tags |= facts_to_tags(event.outcome.facts, longest=projection.TAG_LENGTH)
            tags[projection.NOTE] = projection.trial_note(trial, event.outcome, record)
            self._log_metrics(
                run_id, event.outcome.metrics, at=event.at, step=event.outcome.best_epoch
            )
        self._log_files(
            run_id, event, trial, folder, names=() if event.outcome is None else event.outcome.files
        )
        self._log_metrics(
            run_id, projection.param_metrics(trial), at=event.at, step=0
        )  # last: the UI's plots begin with the metric that was logged first
        self._client.log_batch(run_id, tags=run_tags(tags))
        self._client.set_terminated(
            run_id, status=projection.STATUS[event.state], end_time=milliseconds(event.at)
        )

    def _log_files(
        self, run_id: str, event: TrialEnded, trial: Trial, folder: Path, *, names: Sequence[str]
    ) -> None:
        """Put an attempt's files with its run: those called `names` from its folder, and what is made of its events."""
        with tempfile.TemporaryDirectory(prefix="ablate-") as scratch:
            made = Path(scratch)
            (made / CURVES).write_text(
                curves_to_json(curves_of(self._epochs[(event.trial_id, event.attempt)]))
            )
            (made / SPEC).write_text(trial.model_dump_json(indent=2))
            if event.failure is not None:
                (made / FAILURE).write_text(projection.failure_text(event.failure))
            class_names = self._started_record().data.class_names
            add_confusion(made, folder, files=names, class_names=class_names, task=trial.task)
            for name in names:
                self._client.log_artifact(run_id, str(folder / name))
            self._client.log_artifacts(run_id, scratch)

    def close_stale(self) -> int:
        """Close as KILLED every run of the study that is RUNNING and of which nothing was published since `start_study`; return how many."""
        stale = [
            run_id
            for run_id, is_running in self._known.values()
            if is_running and run_id not in self._touched
        ]
        for run_id in stale:
            self._client.log_batch(
                run_id,
                tags=run_tags(
                    {
                        projection.STATE: "KILLED",
                        projection.FAILURE: "ConductorDied: nothing is known of its end",
                    }
                ),
            )
            self._client.set_terminated(run_id, status="KILLED")
        return len(stale)

    def finish_study(self, status: str = "FINISHED") -> None:
        """Close the parent run: FINISHED, FAILED (some trial failed) or KILLED (interrupted)."""
        self._client.set_terminated(self._parent_run_id, status=status)

    def _started_record(self) -> StudyRecord:
        if self._record is None:
            raise CheckFailed("start_study must come before publish.")
        return self._record

    def _log_metrics(
        self, run_id: str, metrics: Mapping[str, float], *, at: float, step: int
    ) -> None:
        self._client.log_batch(
            run_id,
            metrics=[
                Metric(name, float(value), milliseconds(at), step)
                for name, value in metrics.items()
            ],
        )

    # -- after a study -------------------------------------------------------------------------------------------------------------------

    def log_report(self, parent_run_id: str, folder: Path, *, note: str) -> None:
        """Put a report's folder under `report/` of the parent run, and `note` (Markdown) where the UI shows a run's description. Raises StoreError."""
        try:
            self._client.log_artifacts(parent_run_id, str(folder), artifact_path=REPORT)
            self._client.set_tag(parent_run_id, projection.NOTE, note[: projection.TAG_LENGTH])
        except Exception as error:
            raise StoreError(
                f"the study's run {parent_run_id} must take its report, it did not: {first_line(error)}"
            ) from error

    def log_thumbnails(
        self, parent_run_id: str, thumbnails: Mapping[tuple[str, str], np.ndarray]
    ) -> None:
        """Keep small versions of the images that a report shows, (split, image_id) -> (H, W, 3) uint8, with the parent run."""
        with self._answering(), tempfile.TemporaryDirectory(prefix="ablate-") as scratch:
            write_thumbnails(Path(scratch, THUMBNAILS), thumbnails)
            self._client.log_artifact(parent_run_id, str(Path(scratch, THUMBNAILS)))

    def read_thumbnails(self, parent_run_id: str) -> dict[tuple[str, str], np.ndarray]:
        """Inverse of `log_thumbnails`; nothing where none were kept."""
        with self._answering(), tempfile.TemporaryDirectory(prefix="ablate-") as scratch:
            run = self._client.get_run(parent_run_id)
            if self._files.lacking(run, (THUMBNAILS,)):
                return {}
            return read_thumbnails(self._files.fetch(run, THUMBNAILS, into=Path(scratch)))

    def log_champion(
        self,
        run_id: str,
        *,
        folder: Path,
        loader_module: str,
        n_classes: int,
        requirements: Sequence[str],
        code_paths: Sequence[Path] = (),
    ) -> str:
        """Log the files of `folder` as a complete pyfunc model of a run and return its URI, `models:/<id>`; a run that has its model already keeps it.

        `loader_module` names a module with `_load_pyfunc(data_path)`; its `predict` takes images uint8 (B, H, W, 3) and returns probabilities float32
        (B, n_classes). `requirements` are pip requirements; `code_paths` are folders of source that travel with the model.
        """
        with self._answering():
            run = self._client.get_run(run_id)
            logged = str(run.data.tags.get(projection.CHAMPION, ""))
            if logged and has_model(self._client, logged):
                return logged
            needs = ModelNeeds(loader_module, tuple(requirements), tuple(code_paths))
            uri = log_model(
                self._client, run, name=MODEL, folder=folder, needs=needs, n_classes=n_classes
            )
            self._client.set_tag(run_id, projection.CHAMPION, uri)
            return uri

    def fetch_champion(self, run_id: str, *, into: Path) -> Path | None:
        """Folder of the model that `log_champion` logged for a run, or a copy; None without one."""
        with self._answering():
            logged = str(self._client.get_run(run_id).data.tags.get(projection.CHAMPION, ""))
            if not logged or not has_model(self._client, logged):
                return None
            return fetch_model(self._client, logged, tracking_uri=self.tracking_uri, into=into)

    # -- reading -------------------------------------------------------------------------------------------------------------------------

    def read_study(self, grid_name: str, study_id: str | None = None) -> PublishedStudy:
        """Return a grid's newest study, or the one named: the newest attempt of each of its trials, a complete one before any other.

        Runs come in the order of the record's arms and seeds; runs of arms and seeds that the record no longer holds are left out. Raises StoreError when
        there is no such study.
        """
        if grid_name != self.grid_name:
            return MlflowStore(self.tracking_uri, grid_name).read_study(grid_name, study_id)
        self.check_reachable()
        with self._answering():
            return self._read_study(study_id)

    def _read_study(self, study_id: str | None) -> PublishedStudy:
        parent = self._find_parent(study_id)
        record = StudyRecord.model_validate_json(self._files.text(parent, STUDY))
        if not record.arms:
            raise StoreError(
                f"the study {record.study_id} of {self.grid_name} must have arms, its pilot has not chosen any yet; {record.command} goes on."
            )
        arms, seeds = (
            [arm.arm_id for arm in record.arms],
            list(map(str, (*record.seeds, *record.noise_seeds))),
        )
        newest: dict[tuple[int, int], Run] = {}
        for run in sorted(
            self._search(projection.STUDY, record.study_id, kind="trial"), key=preference
        ):
            arm_id, seed = run.data.tags[projection.ARM_ID], run.data.tags[projection.SEED]
            if arm_id in arms and seed in seeds:
                newest[(arms.index(arm_id), seeds.index(seed))] = run
        found = [newest[place] for place in sorted(newest)]
        self._runs = {run.info.run_id: run for run in found}
        with ThreadPoolExecutor(_READERS) as readers:
            curves = list(readers.map(partial(read_curves, self._client, self._files), found))
        runs = tuple(map(published, found, curves))
        return PublishedStudy(
            record=record,
            tracking_uri=without_password(self.tracking_uri),
            experiment_id=parent.info.experiment_id,
            parent_run_id=parent.info.run_id,
            runs=runs,
        )

    def read_predictions(self, run: PublishedRun) -> pd.DataFrame:
        """Return a run's predictions: columns split, image_id, label, p_0 ... Raises StoreError when the run has none."""
        with self._answering(), tempfile.TemporaryDirectory(prefix="ablate-") as scratch:
            return read_predictions(
                self._files.fetch(self._run(run.run_id), PREDICTIONS, into=Path(scratch))
            )

    def lacks_files(self, study: PublishedStudy) -> bool:
        """Whether files that a report reads are gone from a study's runs; `ablate.scheduling.sync` writes them again where its journal is."""
        with self._answering():
            ended = [self._run(run.run_id) for run in study.runs if run.status == "COMPLETE"]
            with ThreadPoolExecutor(_READERS) as readers:
                return any(readers.map(partial(self._files.lacking, names=(PREDICTIONS,)), ended))

    def read_attempts(
        self, study_id: str, *, states: Container[str], but: Container[str]
    ) -> tuple[PublishedAttempt, ...]:
        """The attempts of a study that ended in one of `states`, oldest first, without those of the trials in `but`: their events, made again of their runs.

        Runs of another version whose trial is another one now are left out, and with a warning those whose files cannot be read. Raises StoreError where
        the store does not answer.
        """
        with self._answering():
            if self._client.get_experiment_by_name(self.grid_name) is None:
                return ()
            found = sorted(
                self._search(projection.STUDY, study_id, kind="trial"),
                key=lambda run: run.info.start_time,
            )
            ended = [
                run
                for run in found
                if projection.state_of(run.info.status, run.data.tags) in states
                and run.data.tags[projection.TRIAL] not in but
            ]
            attempts = map(partial(read_attempt, self._client, self._files), ended)
            return tuple(attempt for attempt in attempts if attempt is not None)

    def fetch_files(self, attempt: PublishedAttempt, into: Path) -> None:
        """Copy what an attempt left into a folder, which is made. Raises StoreError for a file that cannot be read."""
        with self._answering():
            into.mkdir(parents=True, exist_ok=True)
            run = self._run(attempt.run_id)
            for name in attempt.files:
                self._files.copy(run, name, into=into)

    def _run(self, run_id: str) -> Run:
        return self._runs.get(run_id) or self._client.get_run(run_id)

    def _find_parent(self, study_id: str | None) -> Run:
        if self._client.get_experiment_by_name(self.grid_name) is None:
            names = [
                experiment.name for experiment in self._client.search_experiments(max_results=1000)
            ]
            near = difflib.get_close_matches(self.grid_name, names, n=1)
            hint = f"did you mean {near[0]}?" if near else "run the grid first."
            raise StoreError(
                f"the tracking store {without_password(self.tracking_uri)!r} must hold the experiment {self.grid_name!r}, it does not; {hint}"
            )
        parents = self._search(projection.KIND, "study", kind="study")
        if study_id is not None:
            parents += self._search(projection.STUDY, study_id, kind="pilot")
        found = [run for run in parents if study_id in (None, run.data.tags[projection.STUDY])]
        if not found:
            held = ", ".join(run.data.tags[projection.STUDY] for run in parents) or "none"
            what = "a study" if study_id is None else f"the study {study_id!r}"
            raise StoreError(
                f"the experiment {self.grid_name!r} of {without_password(self.tracking_uri)!r} must hold {what}; studies there: {held}."
            )
        return found[0]

    def _search(self, tag: str, value: str, *, kind: str) -> list[Run]:
        return list(
            self._pages(f"tags.`{projection.KIND}` = '{kind}' AND tags.`{tag}` = '{value}'")
        )

    def _pages(self, condition: str) -> Iterator[Run]:
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment_id], filter_string=condition, max_results=_PAGE, page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return
