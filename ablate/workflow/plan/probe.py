"""Measure a few steps of each kind of arm on this machine, with a few of the study's own images, through the executor that a study uses."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ablate.data.build_store import build_store
from ablate.data.dataset import DataSet, Split
from ablate.errors import SpecError, StoreError
from ablate.model.backbone import preprocessing_of
from ablate.recipe.policy import is_cropped
from ablate.scheduling.executors.local import LocalExecutor
from ablate.scheduling.executors.slots import slots_that_fit
from ablate.study.record import ArmRecord
from ablate.study.request import CacheSpec, Compute, TrialRequest
from ablate.study.trial import Trial
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
from ablate.workflow.plan.estimate import Kind, Measured, kinds_of, study_cost
from ablate.workflow.prepare.machines import Machines, choose_slots
from ablate.workflow.prepare.option_checks import read_trials_per_gpu
from ablate.workflow.prepare.prepared import Resolved, check_arms

RUN_PROBE = "ablate.training.timing_probe:run_probe"
MAX_KINDS = 8
N_HELD_OUT = 64
"""Images of val and of test in a probe: one batch of an evaluation."""
MARGIN = 0.1
"""Share of memory that stays free: a probe is short, and allocators fragment."""
_CACHE_GB = 2.0


@dataclass(frozen=True)
class Probes:
    """What was measured."""

    kinds: dict[Kind, Measured]
    n_slots: int
    """Slots that measured side by side, as the study's trials will run."""
    decode_s: float
    """Decoding one image."""
    worker_start_s: float
    """A worker until its first trial begins."""
    total_mb: float
    """Memory of the slot's GPU, or of the machine."""
    took_s: float


def probe_kinds(
    resolved: Resolved,
    kinds: Mapping[Kind, Sequence[ArmRecord]],
    where: Folders,
    *,
    threads: int,
    workers: int | None,
) -> Probes:
    """Measure the `MAX_KINDS` most common kinds; the others are taken as the nearest of them. Raises StoreError where a probe fails."""
    began = time.perf_counter()
    compute = choose_compute(where.home, threads=threads)
    arms = {kind: of_kind[0] for kind, of_kind in list(kinds.items())[:MAX_KINDS]}
    slots = choose_slots(compute, Machines(workers=workers), n_trials=len(resolved.trials))
    few = {
        size: _few_images(resolved.data_set, n_train=STEPS * size)
        for size in {kind.batch_size for kind in arms}
    }
    with tempfile.TemporaryDirectory(prefix="ablate-probe-") as scratch:
        folder = Path(scratch)
        stores, decode_s = _stores(few, arms, resolved, folder)
        requests = {
            kind: _request(
                resolved,
                arm,
                folder / f"probe-{number}",
                store=stores[kind.backbone, kind.batch_size],
                compute=compute,
            )
            for number, (kind, arm) in enumerate(arms.items())
        }
        outcomes, worker_start_s = _run(
            LocalExecutor(RUN_PROBE, slots=slots, log_folder=folder / "logs"),
            list(requests.values()),
        )
    found = {
        kind: _measured(kind, outcomes[request.trial.trial_id], few[kind.batch_size])
        for kind, request in requests.items()
    }
    total_mb = min(outcome.metrics[TOTAL_MB] for outcome in outcomes.values())
    return Probes(
        found, len(slots), decode_s, worker_start_s, total_mb, time.perf_counter() - began
    )


def _few_images(data_set: DataSet, *, n_train: int) -> DataSet:
    """Just `n_train` images of train, and at most `N_HELD_OUT` of val and test, spread over the classes."""
    wanted = {
        name: n_train if name == "train" else min(len(split.labels), N_HELD_OUT)
        for name, split in data_set.splits.items()
    }
    return DataSet(
        data_set.facts,
        {
            name: _part(split, wanted[name], n_classes=len(data_set.facts.class_names))
            for name, split in data_set.splits.items()
        },
    )


def _part(split: Split, n_images: int, *, n_classes: int) -> Split:
    """The first images of each class, then the second ones, ..., and from the beginning where there are too few."""
    in_turn = targets_of_array(split.labels, n_classes=n_classes).in_turn()
    chosen = np.resize(in_turn, n_images)
    ids = tuple(f"{number} {split.image_ids[i]}" for number, i in enumerate(chosen))
    return Split(ids, split.labels[chosen], lambda i: split.read(int(chosen[i])))


def _stores(
    few: Mapping[int, DataSet], arms: Mapping[Kind, ArmRecord], resolved: Resolved, folder: Path
) -> tuple[dict[tuple[str, int], Path], float]:
    """(backbone, batch size) -> image store of the few, and the seconds that one image took."""
    stores, n_images, began = {}, 0, time.perf_counter()
    for backbone, size in sorted({(kind.backbone, kind.batch_size) for kind in arms}):
        wanted = preprocessing_of(backbone, image_size=resolved.data.image_size)
        home = (
            folder / f"batch-{size}"
        )  # a store's key does not say which images of the data it holds
        fine = (
            wanted.fine_side
            if any(
                is_cropped(arm.recipe) for kind, arm in arms.items() if kind.backbone == backbone
            )
            else None
        )
        stores[backbone, size] = build_store(
            few[size],
            home=home,
            side=wanted.store_side,
            interpolation=wanted.interpolation,
            fine=fine,
        ).path
        n_images += sum(len(split.labels) for split in few[size].splits.values())
    return stores, (time.perf_counter() - began) / n_images


def _request(
    resolved: Resolved, arm: ArmRecord, folder: Path, *, store: Path, compute: Compute
) -> TrialRequest:
    """The arm's first trial, as short as a probe is."""
    folder.mkdir()
    trial: Trial = next(trial for trial in resolved.trials if trial.arm_id == arm.arm_id)
    short = trial.model_copy(
        update={"recipe": trial.recipe.model_copy(update={"epochs": EPOCHS, "patience": None})}
    )
    return TrialRequest(
        trial=short,
        attempt=1,
        n_classes=len(resolved.data_set.facts.class_names),
        store_path=store,
        folder=folder,
        compute=compute,
        cache=CacheSpec(folder=folder / "activations", max_gb=_CACHE_GB),
    )


def _run(
    executor: LocalExecutor, requests: list[TrialRequest]
) -> tuple[dict[str, TrialOutcome], float]:
    """trial_id -> outcome, and what a worker needs before its first trial begins."""
    left, outcomes = list(requests), {}
    started: dict[str, float] = {}
    waits: list[float] = []

    def on_event(event: Event) -> None:
        if isinstance(event, TrialStarted):
            started[event.trial_id] = event.at
        if isinstance(event, TrialEnded):
            if event.outcome is None:
                why = event.failure.message if event.failure is not None else event.state.value
                raise StoreError(
                    f"a probe must run before the cost can be estimated, it did not: {why}; plan without --probe."
                )
            outcomes[event.trial_id] = event.outcome
            waits.append(event.at - started[event.trial_id] - event.outcome.metrics["time/total_s"])

    executor.run(lambda _: left.pop(0) if left else None, on_event)
    return outcomes, max(waits)


def _measured(kind: Kind, outcome: TrialOutcome, few: DataSet) -> Measured:
    """Take the passes through the prefix out of what was timed: train's view is computed before an epoch's first step, test's at the end."""
    sizes = {name: len(split.labels) for name, split in few.splits.items()}
    metrics, n_views = outcome.metrics, EPOCHS if kind.augment != "none" else 1
    prefix_s = metrics["time/prefix_s"] / (n_views * sizes["train"] + sizes["val"] + sizes["test"])
    train_view_s = sizes["train"] * prefix_s
    if kind.classifier != "linear":  # val's view is in the start, train's in the steps
        step_s, start_s = (
            metrics[STEP_S] - train_view_s / STEPS,
            metrics[START_S] - sizes["val"] * prefix_s,
        )
        end_s = (metrics[END_S] - sizes["test"] * prefix_s) / sizes["test"]
        return Measured(
            max(0.0, start_s), max(0.0, step_s), 0.0, max(0.0, end_s), prefix_s, metrics[PEAK_MB]
        )
    first_val_s = (sizes["val"] + (sizes["train"] if n_views > 1 else 0)) * prefix_s
    return Measured(
        start_s=max(0.0, metrics[START_S] - train_view_s),
        step_s=metrics[STEP_S],
        val_s=max(0.0, metrics[VAL_S] - first_val_s) / sizes["val"],
        end_s=max(0.0, metrics[END_S] - sizes["test"] * prefix_s) / sizes["test"],
        prefix_s=prefix_s,
        peak_mb=metrics[PEAK_MB],
    )


def estimate_lines(
    resolved: Resolved, kinds: Mapping[Kind, Sequence[ArmRecord]], probes: Probes
) -> list[str]:
    """The estimate, and what it rests on."""
    cost = study_cost(resolved, kinds, probes.kinds)
    n_images = sum(resolved.data_set.facts.n_images.values())
    n_backbones = len({kind.backbone for kind in kinds})
    before_s = probes.worker_start_s + probes.decode_s * n_images * n_backbones
    slots = f"{probes.n_slots} slot{'s' if probes.n_slots > 1 else ''}"
    untried = len(kinds) - len(probes.kinds)
    return [
        f"estimate: {_duration(cost.wall_s(probes.n_slots, before_s=before_s))} on {slots} of this machine for {len(resolved.trials)} trials: "
        f"{_duration(cost.trials_s)} of trials and {_duration(cost.prefixes_s)} of prefixes computed once, side by side; "
        f"{_duration(before_s)} before, for workers and for decoding images that are not decoded yet.",
        f"It rests on one measured step and evaluation of {len(probes.kinds)} kinds of arm ({_duration(probes.took_s)}, {slots} at work)"
        + (f"; {untried} rarer kinds are taken as the nearest of them" if untried else "")
        + ". Patience and trials that are complete already make it shorter; the report is not in it.",
    ]


def _duration(seconds: float) -> str:
    """E.g. "2.4 s", "3 min 10 s" or "4 h 05 min"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return (
        f"{minutes} min {rest:02d} s"
        if minutes < 60
        else f"{minutes // 60} h {minutes % 60:02d} min"
    )


def packed(
    machines: Machines, asked: str, resolved: Resolved, where: Folders, *, threads: int
) -> Machines:
    """The machines with `--trials-per-gpu` trials on a GPU. "auto" measures: as many as the memory of the largest kind allows, on GPUs or CPU slots.

    Raises SpecError, StoreError.
    """
    number = read_trials_per_gpu(asked)
    if number is not None:
        return replace(machines, trials_per_gpu=number)
    if machines.kind == "ray":
        raise SpecError(
            "--trials-per-gpu auto must come with --executor local, memory is measured on this machine; name a number for a cluster"
        )
    probes = probe_kinds(
        resolved, kinds_of(resolved, check_arms(resolved)), where, threads=threads, workers=1
    )
    largest = max(probes.kinds.values(), key=lambda found: found.peak_mb)
    per_gpu = slots_that_fit(largest.peak_mb, total_mb=probes.total_mb, margin=MARGIN)
    return replace(machines, peak_mb=largest.peak_mb, trials_per_gpu=per_gpu)
