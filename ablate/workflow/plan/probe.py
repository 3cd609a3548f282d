"""Measure a few steps of each kind of arm on this machine.

With a few of the study's own images, and through the executor that a study uses.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ablate.data.build_store import WantedImages, build_stores
from ablate.data.dataset import DataSet, Split
from ablate.errors import StoreError
from ablate.model.backbone import preprocessing_of
from ablate.recipe.policy import is_cropped
from ablate.scheduling.executors.local import LocalExecutor
from ablate.study.record import ArmRecord
from ablate.study.request import CacheSpec, Compute, TrialRequest
from ablate.study.view_identity import CLEAN
from ablate.targets import targets_of_array
from ablate.tracking.events import Event, TrialEnded, TrialOutcome, TrialStarted
from ablate.training.machine.precision import choose_compute
from ablate.training.timing_probe import (
    END_S,
    EPOCHS,
    PEAK_MB,
    START_S,
    STEP_S,
    STEPS,
    TOTAL_MB,
    VAL_S,
)
from ablate.workflow.folders import Folders
from ablate.workflow.plan.estimate import Kind, Measured
from ablate.workflow.prepare.image_stores import wanted_images
from ablate.workflow.prepare.machines import Machines, choose_slots
from ablate.workflow.prepare.resolved import Resolved

RUN_PROBE = "ablate.training.timing_probe:run_probe"
# A probe takes some seconds, and a grid can have hundreds of kinds.
MAX_KINDS = 8
N_HELD_OUT = 64
"""Images of val and of test in a probe: one batch of an evaluation."""
# Room for the views of one probe's few images.
_CACHE_GB = 2.0


@dataclass(frozen=True)
class Probes:
    """What was measured."""

    kinds: dict[Kind, Measured]
    n_slots: int
    """Slots that measured side by side, as the study's trials will run."""
    decode_s: float
    """One image of one store, decoded once for all stores of a study."""
    worker_start_s: float
    """A worker until its first trial begins."""
    total_mb: float
    """Memory of the slot's GPU, or of the machine."""
    took_s: float


@dataclass(frozen=True)
class _Samples:
    """The few images of each batch size, decoded for each backbone."""

    of_size: Mapping[int, DataSet]
    stores: Mapping[Kind, Path]
    """Image stores."""
    decode_s: float
    """Seconds that one image took for one store."""


@dataclass(frozen=True)
class _ProbeRun:
    """What the executor brought back."""

    outcomes: Mapping[str, TrialOutcome]
    """By trial_id."""
    worker_start_s: float


def probe_kinds(
    resolved: Resolved,
    kinds: Mapping[Kind, Sequence[ArmRecord]],
    folders: Folders,
    *,
    threads: int,
    workers: int | None,
) -> Probes:
    """Measure the `MAX_KINDS` most common kinds; the others are taken as the nearest of them.

    Raises StoreError where a probe fails.
    """
    began = time.perf_counter()
    compute = choose_compute(folders.home, threads=threads)
    # Any arm of a kind will do: they cost the same.
    arms = {}
    for kind in list(kinds)[:MAX_KINDS]:
        arms[kind] = kinds[kind][0]
    slots = choose_slots(compute, Machines(workers=workers), n_trials=len(resolved.trials))
    # A folder of its own: nothing of a probe may be taken for the study's, whose caches it would
    # fill with views of the wrong images.
    with tempfile.TemporaryDirectory(prefix="ablate-probe-") as scratch:
        folder = Path(scratch)
        samples = _take_samples(arms, resolved, folder)
        requests = {}
        for number, (kind, arm) in enumerate(arms.items()):
            store = samples.stores[kind]
            probe_folder = folder / f"probe-{number}"
            requests[kind] = _request(resolved, arm, probe_folder, store=store, compute=compute)
        # Side by side, as trials will run: a step takes longer where others use the same memory.
        executor = LocalExecutor(RUN_PROBE, slots=slots, log_folder=folder / "logs")
        run = _run(executor, list(requests.values()))
    measured = {}
    for kind, request in requests.items():
        outcome = run.outcomes[request.trial.trial_id]
        measured[kind] = _measured(kind, outcome, samples.of_size[kind.batch_size])
    return Probes(
        measured,
        n_slots=len(slots),
        decode_s=samples.decode_s,
        worker_start_s=run.worker_start_s,
        total_mb=min(outcome.metrics[TOTAL_MB] for outcome in run.outcomes.values()),
        took_s=time.perf_counter() - began,
    )


def _take_samples(arms: Mapping[Kind, ArmRecord], resolved: Resolved, folder: Path) -> _Samples:
    """Just as many images as a probe shows, in image stores below `folder`."""
    of_size = {}
    for kind in arms:
        n_train = STEPS * kind.batch_size
        of_size[kind.batch_size] = _few_images(resolved.data_set, n_train=n_train)
    stores: dict[Kind, Path] = {}
    n_stored = 0
    began = time.perf_counter()
    for size, few in of_size.items():
        wanted = _wanted_by_kind(arms, resolved, batch_size=size)
        # A store's key does not say which images of the data it holds.
        home = folder / f"batch-{size}"
        built = build_stores(few, list(wanted.values()), home=home)
        for kind, one in wanted.items():
            stores[kind] = built[one].path
        n_stored += len(built) * sum(_sizes(few).values())
    return _Samples(of_size, stores, (time.perf_counter() - began) / n_stored)


def _wanted_by_kind(
    arms: Mapping[Kind, ArmRecord], resolved: Resolved, *, batch_size: int
) -> dict[Kind, WantedImages]:
    """How the images of each kind with this batch size are stored."""
    cropped = set()
    for arm in arms.values():
        if is_cropped(arm.recipe):
            cropped.add(arm.recipe.backbone)
    wanted = {}
    for kind, arm in arms.items():
        if kind.batch_size == batch_size:
            shown = resolved.data.shown_to(arm.recipe)
            own = preprocessing_of(kind.backbone, image_size=shown.image_size)
            # The finer images of one kind are there for others, too: one store for both.
            has_crops = kind.backbone in cropped
            wanted[kind] = wanted_images(own.as_shown(shown), has_crops=has_crops)
    return wanted


def _few_images(data_set: DataSet, *, n_train: int) -> DataSet:
    """Just `n_train` images of train, at most `N_HELD_OUT` of val and test, of all classes."""
    n_classes = len(data_set.facts.class_names)
    splits = {}
    for name, split in data_set.splits.items():
        n_images = min(len(split.labels), N_HELD_OUT)
        if name == "train":
            n_images = n_train  # whole batches, whatever the data have
        splits[name] = _part(split, n_images, n_classes=n_classes)
    return DataSet(data_set.facts, splits)


def _part(split: Split, n_images: int, *, n_classes: int) -> Split:
    """The first images of each class, then the second ones, and so on.

    From the beginning again where there are too few.
    """
    in_turn = targets_of_array(split.labels, n_classes=n_classes).in_turn()
    # np.resize repeats from the beginning, unlike ndarray.resize, which fills up with zeros.
    chosen = np.resize(in_turn, n_images)
    # Numbered, since an image that comes twice must not have the same id twice.
    ids = tuple(f"{number} {split.image_ids[i]}" for number, i in enumerate(chosen))
    return Split(ids, split.labels[chosen], lambda i: split.read(int(chosen[i])))


def _request(
    resolved: Resolved, arm: ArmRecord, folder: Path, *, store: Path, compute: Compute
) -> TrialRequest:
    """The arm's first trial, as short as a probe is."""
    folder.mkdir()
    trial = resolved.first_trial(arm)
    # Its id is another one then, which does not matter: it stays in the scratch folder.
    short = trial.recipe.model_copy(update={"epochs": EPOCHS, "patience": None})
    return TrialRequest(
        trial=trial.model_copy(update={"recipe": short}),
        attempt=1,
        n_classes=len(resolved.data_set.facts.class_names),
        store_path=store,
        folder=folder,
        compute=compute,
        # A cache of its own: a view that another kind had left there would cost nothing.
        cache=CacheSpec(folder=folder / "activations", max_gb=_CACHE_GB),
    )


def _run(executor: LocalExecutor, requests: Sequence[TrialRequest]) -> _ProbeRun:
    """Run every probe once. Raises StoreError where one fails."""
    left = list(requests)
    outcomes: dict[str, TrialOutcome] = {}
    started_at: dict[str, float] = {}
    waits_s: list[float] = []

    def next_request(_: object) -> TrialRequest | None:
        if not left:
            return None
        return left.pop(0)

    def on_event(event: Event) -> None:
        if isinstance(event, TrialStarted):
            started_at[event.trial_id] = event.at
        if isinstance(event, TrialEnded):
            outcome = _outcome_of(event)
            outcomes[event.trial_id] = outcome
            # What the trial did not spend went into starting its worker, the imports of torch
            # among it. The longest is a worker's first; later trials find it running.
            lasted_s = event.at - started_at[event.trial_id]
            waits_s.append(lasted_s - outcome.metrics["time/total_s"])

    executor.run(next_request, on_event)
    return _ProbeRun(outcomes, max(waits_s))


def _outcome_of(event: TrialEnded) -> TrialOutcome:
    if event.outcome is not None:
        return event.outcome
    why = event.state.value
    if event.failure is not None:
        why = event.failure.message
    raise StoreError(
        f"a probe must run before the cost can be estimated, it did not: {why}; "
        "plan without --probe."
    )


def _measured(kind: Kind, outcome: TrialOutcome, few: DataSet) -> Measured:
    """Take the passes through the prefix out of what was timed: they are counted apart."""
    sizes = _sizes(few)
    metrics = outcome.metrics
    # Augmented images are other images in every epoch; clean ones pass the prefix once.
    n_views = EPOCHS
    if kind.augment == CLEAN:
        n_views = 1
    n_passes = n_views * sizes["train"] + sizes["val"] + sizes["test"]
    prefix_s = metrics["time/prefix_s"] / n_passes
    train_s = sizes["train"] * prefix_s
    val_s = sizes["val"] * prefix_s
    # Never below 0: the passes are a mean, and a clock's noise can make a part smaller than it.
    end_s = max(0.0, metrics[END_S] - sizes["test"] * prefix_s) / sizes["test"]
    if kind.classifier != "linear":
        # Fitted at once: val's view is computed before the fit, train's is in its "steps".
        return Measured(
            start_s=max(0.0, metrics[START_S] - val_s),
            step_s=max(0.0, metrics[STEP_S] - train_s / STEPS),
            val_s=0.0,
            end_s=end_s,
            prefix_s=prefix_s,
            peak_mb=metrics[PEAK_MB],
        )
    # Train's view is computed before an epoch's first step. Between the two epochs come val's view
    # and, where images are augmented, train's next one.
    between_s = val_s
    if n_views > 1:
        between_s += train_s
    return Measured(
        start_s=max(0.0, metrics[START_S] - train_s),
        step_s=metrics[STEP_S],
        val_s=max(0.0, metrics[VAL_S] - between_s) / sizes["val"],
        end_s=end_s,
        prefix_s=prefix_s,
        peak_mb=metrics[PEAK_MB],
    )


def _sizes(data_set: DataSet) -> dict[str, int]:
    """Images of each split."""
    return {name: len(split.labels) for name, split in data_set.splits.items()}
