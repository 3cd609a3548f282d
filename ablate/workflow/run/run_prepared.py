"""Run a prepared study and log its champion."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from ablate.errors import WeightsError
from ablate.reporting.evidence.tables import best_run, champion, trial_frame
from ablate.scheduling.adopt import adopt
from ablate.scheduling.conductor import run_study
from ablate.scheduling.limits import Limits
from ablate.scheduling.remaining import StudyClock
from ablate.scheduling.study_folder import JOURNAL
from ablate.scheduling.summary import StudySummary
from ablate.tracking.events import Event, TrialState
from ablate.tracking.journal import Journal, attempts
from ablate.tracking.mlflow_store import MlflowStore
from ablate.tracking.records import PublishedRun, PublishedStudy
from ablate.workflow.prepare.machines import Machines, executor_for
from ablate.workflow.prepare.prepared import Prepared
from ablate.workflow.prepare.provenance import provenance_tags
from ablate.workflow.prepare.same_weights import check_weights_of_past

_LOG = logging.getLogger(__name__)
LOADER = "ablate.training.serving"
MODEL_NEEDS = ("torch", "torchvision", "timm", "peft", "safetensors", "pydantic", "numpy", "pillow")


def run_prepared(
    prepared: Prepared,
    store: MlflowStore,
    *,
    machines: Machines,
    on_event: Callable[[Event], None],
    limits: Limits | None = None,
    optuna_url: str | None = None,
) -> StudySummary:
    """Run every trial that has not completed yet, within `limits`. A trial that fails is recorded and the others go on.

    KeyboardInterrupt is re-raised, resumable.
    """
    with executor_for(prepared, machines) as (here, executor):
        return run_study(
            record=here.resolved.record,
            trials=here.resolved.trials,
            folder=here.folder,
            executor=executor,
            store=store,
            make_request=here.request,
            on_event=on_event,
            tags=provenance_tags(),
            optuna_url=optuna_url,
            limits=limits,
            unit_of=prepared.unit_of,
        )


def adopt_published(prepared: Prepared, store: MlflowStore) -> int:
    """Take over trials of the study that MLflow holds and this home's journal does not, so that they are not trained again; return how many.

    Raises WeightsError where they started from other weights than those that are here, StoreError.
    """
    resolved = prepared.resolved
    n_adopted = adopt(
        prepared.folder,
        store,
        resolved.record,
        trial_ids=[trial.trial_id for trial in resolved.trials],
    )
    check_weights_of_past(
        [prepared.folder], resolved.trials, prepared.weights, image_size=resolved.data.image_size
    )
    return n_adopted


def count_complete(prepared: Prepared) -> int:
    """Return how many of the study's trials an earlier call completed; they are not run again."""
    complete = {
        trial_id
        for (trial_id, _), attempt in attempts(Journal(prepared.folder / JOURNAL).read()).items()
        if attempt.is_complete
    }
    return len(complete & {trial.trial_id for trial in prepared.resolved.trials})


def study_clock(prepared: Prepared) -> StudyClock:
    """Return a clock that knows what earlier calls took."""
    recipes = {trial.trial_id: trial.recipe for trial in prepared.resolved.trials}
    clock = StudyClock(recipes, len(recipes))
    past = attempts(Journal(prepared.folder / JOURNAL).read())
    for (trial_id, _), attempt in past.items():
        if attempt.is_complete and trial_id in recipes:
            clock.hear_all(attempt.events)
    return clock


def count_ended(folder: Path) -> int:
    """Return how many trials of a pilot earlier calls completed or pruned."""
    found = attempts(Journal(folder / JOURNAL).read()).items()
    return len(
        {
            key[0]
            for key, attempt in found
            if attempt.ended is not None
            and attempt.ended.state in (TrialState.COMPLETE, TrialState.PRUNED)
        }
    )


def log_champion(study: PublishedStudy, store: MlflowStore, *, folder: Path) -> PublishedRun | None:
    """Log the champion arm's best trial by val as a complete MLflow model, once; return its run, or None where nothing completed."""
    from ablate.training.serving.export import export_complete

    arm = champion(study.record, trial_frame(study))
    if arm is None:
        return None
    best = best_run(study, arm.arm_id)
    if best is None:
        return None
    trial_folder = folder / "trials" / f"{best.trial_id}-{best.attempt}"
    if (
        not trial_folder.is_dir() or arm.recipe.classifier == "knn"
    ):  # neighbours have no weights to log
        return best
    with tempfile.TemporaryDirectory(prefix="ablate-") as temporary:
        try:
            complete = export_complete(trial_folder, Path(temporary) / "model")
        except WeightsError as error:  # the study stands all the same
            _LOG.warning("the champion is not logged as a model: %s", error)
            return best
        needs = [f"{name}=={version(name)}" for name in MODEL_NEEDS]
        n_classes = len(study.record.data.class_names)
        package = Path(__file__).parents[2]
        store.log_champion(
            best.run_id,
            folder=complete,
            loader_module=LOADER,
            n_classes=n_classes,
            requirements=needs,
            code_paths=[package],
        )
    return best
