"""From a grid to its report: the one function behind `ablate run` and `ablate.run`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.errors import ReportError
from ablate.reporting.pages.folder import claim_folder
from ablate.scheduling.executors.fork_server import ForkServer
from ablate.scheduling.limits import Limits
from ablate.scheduling.summary import StudySummary
from ablate.tracking.records import PublishedStudy
from ablate.workflow.after.report_folder import check_report_folder, results_kept
from ablate.workflow.commands import report_command, run_command
from ablate.workflow.context import StudyContext
from ablate.workflow.folders import Folders, check_optuna
from ablate.workflow.grid_names import words_for
from ablate.workflow.plan.trials_per_gpu import with_trials_per_gpu
from ablate.workflow.prepare.all_mistakes import all_mistakes
from ablate.workflow.prepare.grid_source import other_source
from ablate.workflow.prepare.prepared import prepare
from ablate.workflow.prepare.resolved import resolve
from ablate.workflow.requests import Request
from ablate.workflow.run.pilot_study import PilotEnd, adopt_pilot, pilot_view, run_pilot
from ablate.workflow.run.report_ahead import reporting_imported
from ablate.workflow.run.run_options import RunOptions
from ablate.workflow.run.run_prepared import adopt_published, log_champion, run_prepared, study_view
from ablate.workflow.run.second_stage import resumed, second_stage
from ablate.workflow.run.thumbnails import take_thumbnails
from ablate.workflow.run.watcher import Watcher
from ablate.workflow.stores import open_store

if TYPE_CHECKING:  # pandas and figures, which nothing before the report needs
    from ablate.reporting.pages.write import ReportPaths


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What one call has achieved."""

    context: StudyContext
    summary: StudySummary | None
    """Of the study; None where its pilot is not over, or chose no arm."""
    pilot: StudySummary | None
    """Of the search or the tuning that came before; None without one."""
    study: PublishedStudy | None
    """The study as the tracking store has it; None where no trial has ever ended."""
    report: ReportPaths | None
    """What was written of it."""
    second_stage: StudySummary | None = None
    """Of fresh seeds and arms around the best one, in the call that chose them; a later call counts
    them in `summary`."""

    def __repr__(self) -> str:
        # Of values that hold whole data sets and studies, somebody who looks wants the counts.
        counts = []
        for summary in self.summaries:
            counts.append(
                f"{summary.n_complete} completed, {summary.n_reused} before, "
                f"{summary.n_failed} failed, {summary.n_left} left"
            )
        return f"RunOutcome of {self.context.record.grid_name}: {'; '.join(counts)}"

    @property
    def summaries(self) -> tuple[StudySummary, ...]:
        """Of the stages that this call ran."""
        stages = []
        for stage in (self.pilot, self.summary, self.second_stage):
            if stage is not None:
                stages.append(stage)
        return tuple(stages)

    @property
    def is_complete(self) -> bool:
        """Whether nothing failed: no trial, no publishing, no choice of a pilot.

        Trials that a limit of this call left for the next one are no failure.
        """
        for summary in self.summaries:
            if summary.n_failed or summary.unpublished.why:
                return False
        return not self.is_without_choice

    @property
    def is_without_choice(self) -> bool:
        """Whether the pilot is over and chose no arm, so that there is no study."""
        is_pilot_over = self.pilot is not None and not self.pilot.n_left
        return self.summary is None and is_pilot_over


def run_grid(
    request: Request,
    options: RunOptions,
    folders: Folders,
    watcher: Watcher,
    *,
    fork_server: ForkServer | None = None,
) -> RunOutcome:
    """Train what is missing of a grid's trials, publish each in MLflow, and write the report.

    A trial that fails is counted, not raised. Raises RequestError before anything is started;
    StudyStopped, ReportError after; KeyboardInterrupt, after which the same call goes on.

    `fork_server` is one that `workers_ahead` began.
    """
    context = prepare_context(request, options, folders, watcher, fork_server=fork_server)
    pilot = None
    if context.resolved.pilot is not None:
        end = _run_pilot(context, watcher)
        pilot = end.summary
        if end.prepared is None:
            return RunOutcome(context, None, pilot, None, None)
        context = context.followed_by(end.prepared, limits=end.limits)
    context = resumed(context)
    began = time.monotonic()
    # Before the view, which counts what is complete already.
    watcher.adopted(adopt_published(context))
    summary = _train(context, watcher)
    # What the study left of the call's limits: a budget holds for the command as a whole.
    left = context.limits.after(n_trials=summary.n_started, seconds=time.monotonic() - began)
    following = _second_stage(context, summary, watcher, limits=left)
    last = summary
    followed = None
    if following is not None:
        context = following
        watcher.second_stage_chosen(context)
        # The same context type, so fresh seeds and added arms are trained as the study was.
        last = followed = _train(context, watcher)
    study, report = _report(context, last, watcher)
    return RunOutcome(context, summary, pilot, study, report, followed)


def _train(context: StudyContext, watcher: Watcher) -> StudySummary:
    with watcher.training(study_view(context)) as on_event, reporting_imported():
        return run_prepared(context, on_event)


def _second_stage(
    context: StudyContext, summary: StudySummary, watcher: Watcher, *, limits: Limits
) -> StudyContext | None:
    """What follows the study's own trials; raises ReportError, after the watcher was told."""
    try:
        with results_kept(again="the same command goes on"):
            return second_stage(context, summary, limits=limits)
    except ReportError:
        watcher.report_failed(context, summary)
        raise


def prepare_context(
    request: Request,
    options: RunOptions,
    folders: Folders,
    watcher: Watcher,
    *,
    fork_server: ForkServer | None = None,
) -> StudyContext:
    """Everything up to the first trial. Raises RequestError for whatever would stop it later."""
    grid = request.grid
    # What costs nothing to check comes before data are read and images are decoded.
    options.check()
    # Checked before anything is trained: a folder of somebody else's is known at once.
    report_dir = Path(options.report_dir or Path("reports") / grid.name)
    check_report_folder(folders, report_dir, grid)
    store = open_store(folders, grid.name)
    check_optuna(folders)
    words = words_for(grid.name, request.file)
    with all_mistakes(request):
        resolved = resolve(
            grid,
            folders,
            seeds=options.seeds,
            allow_fallback=options.allow_fallback,
            command=run_command(words, seeds=options.seeds_text, settings=grid.settings),
        )
    watcher.data_found(resolved)
    with all_mistakes(request), watcher.preparing() as on_progress:
        prepared = prepare(
            resolved,
            folders,
            report_dir=report_dir,
            threads=options.threads,
            cache_gb=options.cache_gb,
            on_progress=on_progress,
            fork_server=fork_server,
        )
    watcher.images_checked(prepared.resolved)
    # Now, not with the report: two studies that write into one folder are found before they train.
    claim_folder(report_dir, grid_name=grid.name, others={})
    _note_source(request, prepared.folder, watcher)
    # `auto` trains a few steps to measure their memory, so the networks were checked before.
    machines = with_trials_per_gpu(
        options.machines,
        str(options.trials_per_gpu),
        resolved,
        folders,
        threads=prepared.compute.threads,
    )
    return StudyContext(
        prepared,
        folders,
        store,
        machines=machines,
        limits=options.limits,
        report_dir=report_dir,
        has_images=options.has_images,
        grid_words=request.words or grid.name,
        fork_server=fork_server,
    )


def _note_source(request: Request, folder: Path, watcher: Watcher) -> None:
    """Remember the grid's file, and tell of another file of the same name."""
    # A grid of the package, or of a mapping: it has no file that could be mixed up.
    if request.file is None:
        return
    other = other_source(folder, request.file)
    if other is not None:
        watcher.shared_name(other)


def _run_pilot(context: StudyContext, watcher: Watcher) -> PilotEnd:
    watcher.adopted(adopt_pilot(context))
    # Filled while the pilot runs: a search names its trials as it proposes them.
    names: dict[str, str] = {}
    with watcher.training(pilot_view(context, names)) as on_event:
        end = run_pilot(context, on_event, names=names)
    watcher.pilot_ended(context, end.summary)
    return end


def _report(
    context: StudyContext, summary: StudySummary, watcher: Watcher
) -> tuple[PublishedStudy | None, ReportPaths | None]:
    """Write the report and log the best model. Nothing is written where no trial ever ended.

    Raises ReportError, after the watcher was told how the trials ended.
    """
    if not (summary.n_started or summary.n_reused):
        return None, None
    # Imported by now: see `reporting_imported`.
    from ablate.workflow.after.reports import report_study

    record = context.record
    again = report_command(
        context.grid_words,
        report_dir=context.report_dir,
        has_images=context.has_images,
        is_published=not summary.unpublished.why,
    )
    try:
        with results_kept(again=again):
            study, report = report_study(
                context.folders,
                grid_name=record.grid_name,
                study_id=record.study_id,
                report_dir=context.report_dir,
                has_images=context.has_images,
                take=partial(take_thumbnails, context.prepared),
            )
        # After the report: what goes wrong with a model costs no table.
        with results_kept(again="the same command logs the best model"):
            helper = None
            if context.fork_server is not None:
                # A process that has torch already: this one need not import it for one model.
                helper = context.fork_server.helper()
            log_champion(study, context.store, folder=context.prepared.folder, helper=helper)
    except ReportError:
        watcher.report_failed(context, summary)
        raise
    return study, report
