"""Run the trials of a prepared study, and log its champion."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from ablate.errors import WeightsError
from ablate.reporting.evidence.frames import best_run, champion, trial_frame
from ablate.scheduling.adopt import adopt
from ablate.scheduling.conductor import run_study
from ablate.scheduling.executors.fork_server import Helper
from ablate.scheduling.executors.forking import named_function
from ablate.scheduling.remaining import StudyClock
from ablate.scheduling.study_folder import JOURNAL, StudyPlan
from ablate.scheduling.summary import StudySummary
from ablate.study.arm_record import trial_names
from ablate.study.trial import Trial, recipes_by_id, trials_by_id
from ablate.tracking.events import TrialState
from ablate.tracking.journal import Attempt, Journal, attempts
from ablate.tracking.mlflow_store import MlflowStore
from ablate.tracking.records import PublishedRun, PublishedStudy
from ablate.workflow.context import StudyContext
from ablate.workflow.prepare.current_provenance import provenance_tags
from ablate.workflow.prepare.machines import executor_for
from ablate.workflow.prepare.prepared import Prepared
from ablate.workflow.prepare.same_weights import check_weights_of_past
from ablate.workflow.run.watcher import OnEvent, StageView

_LOG = logging.getLogger(__name__)
LOADER = "ablate.training.serving"
EXPORT = "ablate.training.serving.export:export_complete"
MODEL_NEEDS = ("torch", "torchvision", "timm", "peft", "safetensors", "pydantic", "numpy", "pillow")


def run_prepared(context: StudyContext, on_event: OnEvent) -> StudySummary:
    """Run every trial that has not completed yet, within the context's limits.

    A trial that fails is recorded and the others go on. KeyboardInterrupt is re-raised, resumable.
    """
    prepared = context.prepared
    with executor_for(
        prepared,
        context.machines,
        folder=prepared.folder,
        n_trials=len(context.trials),
        fork_server=context.fork_server,
    ) as (there, executor):
        plan = StudyPlan(there.resolved.record, there.resolved.trials, provenance_tags())
        # The folder is that of `there`: on a cluster, the same study as its nodes compute it.
        session = context.session(there.folder, executor, there.request, on_event)
        return run_study(plan, session, unit_of=prepared.unit_of)


def adopt_published(context: StudyContext) -> int:
    """Take over trials of the study that MLflow holds and this home's journal does not.

    They are not trained again. Returns how many there were. Raises WeightsError where they started
    from other weights than those that are here, StoreError.
    """
    prepared = context.prepared
    resolved = context.resolved
    trial_ids = list(trials_by_id(resolved.trials))
    n_adopted = adopt(prepared.folder, context.store, resolved.record, trial_ids=trial_ids)
    check_weights_of_past(
        [prepared.folder],
        resolved.trials,
        prepared.weights,
        image_size=resolved.data.image_size,
    )
    return n_adopted


def study_view(context: StudyContext) -> StageView:
    """What a display must know of the study's trials."""
    resolved = context.resolved
    completed = _completed_before(context.prepared)
    return StageView(
        trial_names(resolved.record.all_arms, resolved.trials),
        n_trials=len(resolved.trials),
        select_by=resolved.grid.select_by,
        n_before=len(completed),
        clock=_study_clock(resolved.trials, completed.values()),
        is_inline=context.machines.kind == "inline",
    )


def _completed_before(prepared: Prepared) -> dict[str, Attempt]:
    """trial_id -> how an earlier call completed it; such trials are not run again."""
    asked = trials_by_id(prepared.resolved.trials)
    completed = {}
    # A seed that the grid no longer asks for stays in the journal and does not count.
    for (trial_id, _), attempt in attempts(Journal(prepared.folder / JOURNAL).read()).items():
        if attempt.is_complete and trial_id in asked:
            completed[trial_id] = attempt
    return completed


def _study_clock(trials: Iterable[Trial], completed: Iterable[Attempt]) -> StudyClock:
    """A clock that knows what earlier calls took."""
    recipes = recipes_by_id(trials)
    # By recipe, since trials of one kind take about the same time.
    clock = StudyClock(recipes, len(recipes))
    for attempt in completed:
        clock.hear_all(attempt.events)
    return clock


def count_ended(folder: Path) -> int:
    """Return how many trials of a pilot earlier calls completed or pruned."""
    ended = set()
    for (trial_id, _), attempt in attempts(Journal(folder / JOURNAL).read()).items():
        end = attempt.ended
        if end is not None and end.state in (TrialState.COMPLETE, TrialState.PRUNED):
            ended.add(trial_id)
    return len(ended)


def log_champion(
    study: PublishedStudy, store: MlflowStore, *, folder: Path, helper: Helper | None = None
) -> PublishedRun | None:
    """Log the champion arm's best trial by val as a complete MLflow model, once.

    Returns its run, or None where nothing completed. `helper` puts the model together, where this
    process does without torch.
    """
    arm = champion(study.record, trial_frame(study))
    if arm is None:
        return None
    best = best_run(study, arm.arm_id)
    if best is None:
        return None
    trial_folder = folder / "trials" / f"{best.trial_id}-{best.attempt}"
    has_weights = arm.recipe.classifier != "knn"  # neighbours are the train images themselves
    # No folder: the trial was taken over from MLflow, trained in another home.
    if trial_folder.is_dir() and has_weights:
        _log_model(study, store, best, trial_folder, helper)
    return best


def _log_model(
    study: PublishedStudy,
    store: MlflowStore,
    run: PublishedRun,
    trial_folder: Path,
    helper: Helper | None,
) -> None:
    with tempfile.TemporaryDirectory(prefix="ablate-") as temporary:
        try:
            complete = _exported(trial_folder, Path(temporary) / "model", helper)
        except WeightsError as error:  # the study stands all the same
            _LOG.warning("the champion is not logged as a model: %s", error)
            return
        store.log_champion(
            run.run_id,
            folder=complete,
            loader_module=LOADER,
            n_classes=len(study.record.data.class_names),
            # Exact versions: other ones may compute other scores.
            requirements=[f"{name}=={version(name)}" for name in MODEL_NEEDS],
            code_paths=[Path(__file__).parents[2]],  # the package travels with its model
        )


def _exported(trial_folder: Path, out: Path, helper: Helper | None) -> Path:
    """The complete model of a trial, in the folder that is returned. Raises WeightsError."""
    complete: Path
    # torch is only needed here: everything else about a study works without it.
    if helper is None:
        complete = named_function(EXPORT)(trial_folder, out)
    else:
        complete = helper.call(EXPORT, trial_folder, out)
    return complete
