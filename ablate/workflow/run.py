"""Run a prepared study and log its champion."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from ablate.reporting.tables import champion, trial_frame
from ablate.scheduling.conductor import run_study
from ablate.scheduling.executors._base import Slot
from ablate.scheduling.executors.local import LocalExecutor
from ablate.scheduling.executors.slots import cpu_slots, gpu_slots
from ablate.scheduling.limits import Limits
from ablate.scheduling.study_folder import JOURNAL
from ablate.scheduling.summary import StudySummary
from ablate.spec.request import Compute
from ablate.spec.trial import is_better
from ablate.tracking.events import Event, TrialState
from ablate.tracking.journal import Journal, attempts
from ablate.tracking.mlflow_store import MlflowStore
from ablate.tracking.records import PublishedRun, PublishedStudy
from ablate.workflow.prepare import Prepared
from ablate.workflow.provenance import provenance_tags

RUN_TRIAL = "ablate.training.trial:run_trial"
LOADER = "ablate.training.serving"
MODEL_NEEDS = ("torch", "torchvision", "timm", "peft", "safetensors", "pydantic", "numpy", "pillow")
MEMORY_PER_WORKER_GB = 2.0
"""What a CPU worker may need; bounds the default number of workers on small machines."""


def choose_slots(compute: Compute, *, workers: int | None, n_trials: int) -> tuple[Slot, ...]:
    """Return every GPU, else as many shares of the cores as fit cores and memory; `workers` overrides, at most one a trial."""
    if compute.device == "cuda":
        import torch

        devices = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(torch.cuda.device_count())))).split(",")
        return gpu_slots(devices[: min(workers or len(devices), n_trials)], threads=compute.threads)
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    fitting = max(1, min(len(os.sched_getaffinity(0)) // compute.threads, int(memory_gb // MEMORY_PER_WORKER_GB)))
    return cpu_slots(min(workers or fitting, n_trials), threads=compute.threads)


def run_prepared(
    prepared: Prepared,
    store: MlflowStore,
    *,
    workers: int | None,
    on_event: Callable[[Event], None],
    limits: Limits | None = None,
    trial_timeout_s: float | None = None,
) -> StudySummary:
    """Run every trial that has not completed yet, within `limits`. A trial that fails is recorded and the others go on.

    KeyboardInterrupt is re-raised, resumable.
    """
    trials = prepared.resolved.trials
    slots = choose_slots(prepared.compute, workers=workers, n_trials=len(trials))
    return run_study(
        record=prepared.resolved.record,
        trials=trials,
        folder=prepared.folder,
        executor=LocalExecutor(RUN_TRIAL, slots=slots, log_folder=prepared.folder / "logs", timeout_s=trial_timeout_s),
        store=store,
        make_request=prepared.request,
        on_event=on_event,
        tags=provenance_tags(),
        limits=limits,
    )


def count_complete(prepared: Prepared) -> int:
    """Return how many of the study's trials an earlier call completed; they are not run again."""
    complete = {trial_id for (trial_id, _), attempt in attempts(Journal(prepared.folder / JOURNAL).read()).items() if attempt.is_complete}
    return len(complete & {trial.trial_id for trial in prepared.resolved.trials})


def log_champion(study: PublishedStudy, store: MlflowStore, *, folder: Path) -> PublishedRun | None:
    """Log the champion arm's best trial by val as a complete MLflow model, once; return its run, or None where nothing completed."""
    from ablate.training.export import export_complete

    arm = champion(study.record, trial_frame(study))
    if arm is None:
        return None
    select_by = study.record.select_by
    runs = sorted((run for run in study.runs if run.arm_id == arm.arm_id and run.status == TrialState.COMPLETE), key=lambda run: run.seed)
    best = runs[0]
    for run in runs[1:]:
        if is_better(select_by, run.metrics[select_by], than=best.metrics[select_by]):
            best = run
    trial_folder = folder / "trials" / f"{best.trial_id}-{best.attempt}"
    if not trial_folder.is_dir() or arm.recipe.classifier == "knn":  # neighbours have no weights to log
        return best
    with tempfile.TemporaryDirectory(prefix="ablate-") as temporary:
        complete = export_complete(trial_folder, Path(temporary) / "model")
        needs = [f"{name}=={version(name)}" for name in MODEL_NEEDS]
        n_classes = len(study.record.data.class_names)
        package = Path(__file__).parents[1]
        store.log_champion(best.run_id, folder=complete, loader_module=LOADER, n_classes=n_classes, requirements=needs, code_paths=[package])
    return best
