"""A study's events as MLflow's runs.

A run is RUNNING until everything of it is there, so a run that has ended is whole. Publishing again
what is there already changes nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlflow.entities import Metric, Param, Run, RunTag

from ablate.errors import CheckFailed, StoreError
from ablate.study.record import StudyRecord
from ablate.study.trial import Trial
from ablate.study.trial_facts import facts_to_tags
from ablate.tracking import mlflow_fields
from ablate.tracking.artifacts import PREDICTIONS, add_confusion, curves_of, curves_to_json
from ablate.tracking.events import EpochEnded, Event, TrialEnded, TrialStarted
from ablate.tracking.mlflow_experiment import Experiment
from ablate.tracking.mlflow_files import CURVES, FAILURE, SPEC, STUDY
from ablate.tracking.mlflow_runs import dataset_input, milliseconds, run_tags, start_key

_PARENT = "mlflow.parentRunId"
# Characters of a run's name, which MLflow keeps in a column of 250.
_LONGEST_NAME = 250
# Tags of a run that was left RUNNING by a conductor that nobody heard of again.
_UNKNOWN_END = {
    mlflow_fields.STATE: "KILLED",
    mlflow_fields.FAILURE: "ConductorDied: nothing is known of its end",
}


# The most that MLflow takes in one call are 1,000 metrics; an end brings some of its own.
_MOST_HELD = 500


@dataclass
class _Held:
    """Params and metrics that wait for what comes next of their attempt, or for a rest.

    A call of MLflow costs as much with one value as with a hundred, and a probe is over before its
    start is written.
    """

    params: list[Param] = field(default_factory=list)
    metrics: list[Metric] = field(default_factory=list)
    has_inputs: bool = True
    """Whether the run knows its data set already."""


@dataclass
class _Attempt:
    """What was published of an attempt, by this object."""

    run_id: str
    epochs: list[EpochEnded] = field(default_factory=list)
    held: _Held = field(default_factory=_Held)
    """What was told of it and is not in the store yet."""
    ended_before: Run | None = None
    """The run, where it had ended before this object saw it."""
    is_over: bool = False
    """Whether nothing that comes is of interest any more."""


class Publication:
    """The runs of one study: its parent run, and a child run for each attempt of a trial."""

    def __init__(self, experiment: Experiment) -> None:
        self._experiment = experiment
        self._record: StudyRecord | None = None
        self._tags: dict[str, str] = {}
        self._parent_run_id = ""
        # (trial_id, attempt, start in ms) -> (run id, whether it is RUNNING), as they were when the
        # study was started.
        self._known: dict[tuple[str, int, int], tuple[str, bool]] = {}
        # Ids of runs that this object has written to; the others of `_known` are stale.
        self._touched: set[str] = set()
        # (trial_id, attempt) of the starts that were published, or may have been.
        self._tried: set[tuple[str, int]] = set()
        self._attempts: dict[tuple[str, int], _Attempt] = {}

    def start(self, record: StudyRecord, tags: Mapping[str, str]) -> str:
        """Make or find the study's parent run, set it RUNNING and return its id.

        `tags` (commit, versions, ...) go on it and on the runs that follow.
        """
        client = self._experiment.client
        all_tags = {**tags, **mlflow_fields.study_tags(record)}
        if record.stage is not None:
            # A pilot's run stands below the study's in MLflow's table.
            all_tags[_PARENT] = self._outer_run(record, tags)
        kind = mlflow_fields.study_kind(record)
        parents = self._experiment.search(mlflow_fields.STUDY, record.study_id, kind=kind)
        if parents:
            self._parent_run_id = parents[0].info.run_id
            client.update_run(self._parent_run_id, status="RUNNING")
            # Tags can be written again, params cannot: MLflow refuses a param that changes.
            client.log_batch(self._parent_run_id, tags=run_tags(all_tags))
        else:
            name = record.grid_name
            if record.stage is not None:
                name = f"{name} {record.stage.kind}"
            self._parent_run_id = self._create_run(name, all_tags)
        # Also where the run was there: an edited grid, or a second stage, has another record.
        self._log_record(self._parent_run_id, record)
        self._record = record
        self._tags = dict(tags)
        self._find_known(record)
        return self._parent_run_id

    def _find_known(self, record: StudyRecord) -> None:
        runs = self._experiment.search(mlflow_fields.STUDY, record.study_id, kind="trial")
        self._known = {}
        for run in runs:
            self._known[start_key(run)] = (run.info.run_id, run.info.status == "RUNNING")
        self._experiment.remember(runs)

    def _outer_run(self, record: StudyRecord, tags: Mapping[str, str]) -> str:
        """Id of the run of the study that a pilot prepares.

        Made where it is not there, as KILLED: the study is taken up once the pilot is over.
        """
        outer = mlflow_fields.outer_study(record)
        runs = self._experiment.search(mlflow_fields.STUDY, outer.study_id, kind="study")
        if runs:
            return str(runs[0].info.run_id)
        run_id = self._create_run(outer.grid_name, {**tags, **mlflow_fields.study_tags(outer)})
        self._log_record(run_id, outer)
        self._experiment.client.set_terminated(run_id, status="KILLED")
        return run_id

    def _create_run(
        self, name: str, tags: Mapping[str, str], *, start_time: int | None = None
    ) -> str:
        run = self._experiment.client.create_run(
            self._experiment.experiment_id, start_time=start_time, tags=tags, run_name=name
        )
        return str(run.info.run_id)

    def _log_record(self, run_id: str, record: StudyRecord) -> None:
        client = self._experiment.client
        client.log_text(run_id, record.model_dump_json(indent=2), STUDY)
        client.log_inputs(run_id, datasets=[dataset_input(record)])

    def publish(
        self, event: Event, *, trial: Trial, folder: Path, tags: Mapping[str, str] | None = None
    ) -> None:
        """Publish one event of `trial`, whose attempt left its files in `folder`.

        `tags` go on a run that is made now; None: those of `start`.
        """
        if isinstance(event, TrialStarted):
            self._publish_start(event, trial, self._tags if tags is None else tags)
            return
        key = (event.trial_id, event.attempt)
        if key not in self._attempts:
            raise CheckFailed(
                f"a trial's start must be published before its {type(event).__name__}, "
                f"{key} was not."
            )
        attempt = self._attempts[key]
        # An earlier call has told it: the journal is read from its beginning each time.
        if attempt.is_over:
            return
        if isinstance(event, EpochEnded):
            self._publish_epoch(attempt, event, trial)
            return
        if attempt.ended_before is None:
            self._publish_end(attempt, event, trial=trial, folder=folder)
        else:
            self._restore_files(attempt, event, trial=trial, folder=folder)
        # Without its epochs: a study has thousands of attempts.
        self._attempts[key] = _Attempt(attempt.run_id, is_over=True)

    def _publish_start(self, event: TrialStarted, trial: Trial, tags: Mapping[str, str]) -> None:
        key = (event.trial_id, event.attempt)
        # The start belongs to the key: the same attempt of another home is another run.
        run_id, is_running = self._known.get((*key, milliseconds(event.at)), ("", True))
        # The run was whole before this call, so only files that are gone from it are written again.
        if not is_running:
            run = self._experiment.run(run_id)
            self._attempts[key] = _Attempt(run_id, ended_before=run)
            return
        # A server can have made the run and lost the answer.
        if not run_id and key in self._tried:
            run_id = self._find_started(event)
        self._tried.add(key)
        if not run_id:
            run_id = self._create_trial_run(event, trial, tags)
        self._touched.add(run_id)
        params = []
        for name, value in mlflow_fields.trial_params(trial).items():
            params.append(Param(name, value))
        # Also for a run that is there: a broken call may have made it and logged nothing.
        self._attempts[key] = _Attempt(run_id, held=_Held(params, has_inputs=False))

    def _create_trial_run(
        self, event: TrialStarted, trial: Trial, made_by: Mapping[str, str]
    ) -> str:
        record = self._started_record()
        of_trial = mlflow_fields.trial_tags(
            trial, attempt=event.attempt, slot=event.slot, record=record
        )
        tags = {**made_by, **of_trial, _PARENT: self._parent_run_id}
        name = f"{mlflow_fields.arm_name(trial, record)} seed={trial.seed}"[:_LONGEST_NAME]
        start_time = milliseconds(event.at)
        run_id = self._create_run(name, tags, start_time=start_time)
        self._known[(event.trial_id, event.attempt, start_time)] = run_id, True
        return run_id

    def _find_started(self, event: TrialStarted) -> str:
        """Id of the run that an earlier, broken call made of this start, or an empty text."""
        wanted = (event.trial_id, event.attempt, milliseconds(event.at))
        for run in self._experiment.search(mlflow_fields.TRIAL, event.trial_id, kind="trial"):
            if start_key(run) == wanted:
                return str(run.info.run_id)
        return ""

    def _publish_epoch(self, attempt: _Attempt, event: EpochEnded, trial: Trial) -> None:
        # First what may fail, so that an epoch that is told again is kept once.
        if len(attempt.held.metrics) > _MOST_HELD:
            self._log_held(attempt)
        # Kept for `curves.json`, also those of a run that has ended: its file may be gone.
        attempt.epochs.append(event)
        if attempt.ended_before is None:
            metrics = mlflow_fields.curve_metrics(event, first=trial.select_by)
            attempt.held.metrics += _logged(metrics, at=event.at, step=event.epoch)

    def rest(self) -> None:
        """Write what is held back: nothing comes for now, and somebody may be looking."""
        for attempt in self._attempts.values():
            # Of thousands of attempts few go on.
            if not attempt.is_over:
                self._log_held(attempt)

    def _log_held(
        self, attempt: _Attempt, *, metrics: Sequence[Metric] = (), tags: Sequence[RunTag] = ()
    ) -> None:
        """Write what is held of an attempt, and what comes with it, in as few calls as can be."""
        held = attempt.held
        client = self._experiment.client
        # In the order in which they were told: the UI's plots begin with the first metric.
        metrics = [*held.metrics, *metrics]
        if held.params or metrics or tags:
            client.log_batch(attempt.run_id, params=held.params, metrics=metrics, tags=tags)
        if not held.has_inputs:
            client.log_inputs(attempt.run_id, datasets=[dataset_input(self._started_record())])
        # Only now: a call that failed comes again, with all of it.
        attempt.held = _Held()

    def _publish_end(
        self, attempt: _Attempt, event: TrialEnded, *, trial: Trial, folder: Path
    ) -> None:
        run_id = attempt.run_id
        tags = {mlflow_fields.STATE: event.state.value, mlflow_fields.CURVES: CURVES}
        files: tuple[str, ...] = ()
        metrics: list[Metric] = []
        if event.failure is not None:
            tags[mlflow_fields.FAILURE] = mlflow_fields.failure_line(event.failure)
        if event.outcome is not None:
            outcome = event.outcome
            tags |= facts_to_tags(outcome.facts, longest=mlflow_fields.TAG_LENGTH)
            tags[mlflow_fields.NOTE] = mlflow_fields.trial_note(
                trial, outcome, self._started_record()
            )
            files = outcome.files
            metrics += _logged(outcome.metrics, at=event.at, step=outcome.best_epoch)
        self._log_files(attempt, event, trial, folder, names=files)
        # Last: the UI's plots begin with the metric that was logged first.
        metrics += _logged(mlflow_fields.param_metrics(trial), at=event.at, step=0)
        self._log_held(attempt, metrics=metrics, tags=run_tags(tags))
        # After everything else: a run that has ended is whole, and is not written to again.
        self._experiment.client.set_terminated(
            run_id, status=mlflow_fields.STATUS[event.state], end_time=milliseconds(event.at)
        )

    def _restore_files(
        self, attempt: _Attempt, event: TrialEnded, *, trial: Trial, folder: Path
    ) -> None:
        """Write again the files that are gone from the store, of a run that had ended before."""
        assert attempt.ended_before is not None
        files: tuple[str, ...] = ()
        if event.outcome is not None:
            files = event.outcome.files
        gone = self._experiment.files.lacking(attempt.ended_before, (SPEC, CURVES, *files))
        # Without predictions nothing can be recomputed: worth an error. Other files are for
        # comfort.
        if PREDICTIONS in gone and not (folder / PREDICTIONS).is_file():
            raise StoreError(
                f"the run {attempt.run_id} must hold {PREDICTIONS}, "
                f"it is gone from MLflow and from {folder}"
            )
        if gone:
            here = [name for name in files if name in gone and (folder / name).is_file()]
            self._log_files(attempt, event, trial, folder, names=here)

    def _log_files(
        self,
        attempt: _Attempt,
        event: TrialEnded,
        trial: Trial,
        folder: Path,
        *,
        names: Sequence[str],
    ) -> None:
        """Put an attempt's files with its run.

        Those called `names` from its folder, and what is made of its events.
        """
        class_names = self._started_record().data.class_names
        with tempfile.TemporaryDirectory(prefix="ablate-") as scratch:
            made = Path(scratch)
            (made / CURVES).write_text(curves_to_json(curves_of(attempt.epochs)))
            (made / SPEC).write_text(trial.model_dump_json(indent=2))
            if event.failure is not None:
                (made / FAILURE).write_text(mlflow_fields.failure_text(event.failure))
            add_confusion(made, folder, files=names, class_names=class_names, task=trial.task)
            for name in names:
                self._experiment.client.log_artifact(attempt.run_id, str(folder / name))
            self._experiment.client.log_artifacts(attempt.run_id, scratch)

    def close_stale(self) -> int:
        """Close as KILLED every run of the study of which nobody knows the end; return how many.

        Those are the runs that were RUNNING at the start and of which nothing was published since.
        """
        client = self._experiment.client
        n_closed = 0
        for run_id, is_running in self._known.values():
            if is_running and run_id not in self._touched:
                client.log_batch(run_id, tags=run_tags(_UNKNOWN_END))
                client.set_terminated(run_id, status="KILLED")
                n_closed += 1
        return n_closed

    def finish(self, status: str) -> None:
        """Close the parent run: FINISHED, FAILED (some trial failed) or KILLED (interrupted)."""
        self._experiment.client.set_terminated(self._parent_run_id, status=status)

    def _started_record(self) -> StudyRecord:
        if self._record is None:
            raise CheckFailed("start_study must come before publish.")
        return self._record


def _logged(metrics: Mapping[str, float], *, at: float, step: int) -> list[Metric]:
    """Metrics as MLflow takes them, in their order."""
    timestamp = milliseconds(at)
    return [Metric(name, float(value), timestamp, step) for name, value in metrics.items()]
