"""A study's predictions: each run's read once and digested, and what all runs say of each image."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import pandas as pd

from ablate.errors import CheckFailed, StoreError
from ablate.metrics import SCORING
from ablate.reporting.evidence.frames import run_of_trial
from ablate.reporting.predictions import READERS
from ablate.reporting.predictions._base import Draws, HeldOut, Reading
from ablate.reporting.predictions.pooled_votes import HELD_OUT, Pooled, Votes
from ablate.reporting.predictions.redrawn import moved_away, resampling_of
from ablate.study.arm_record import arms_by_id
from ablate.study.record import StudyRecord
from ablate.targets.codecs import CODECS, SplitPredictions
from ablate.tracking.events import TrialState
from ablate.tracking.records import PublishedRun, PublishedStudy

Predictions = Callable[[PublishedRun], pd.DataFrame]
"""Reads a run's predictions: columns split, image_id and those of the task's codec."""
Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Readings:
    """The complete runs whose predictions the store could give."""

    runs: Mapping[tuple[str, int], Reading]
    """(arm_id, seed) -> what the task's reader made of the run."""
    pooled: tuple[Pooled, ...]
    """Splits that were stored, val first; none where runs do not vote for one class per image."""
    factors: Mapping[int, float] = field(default_factory=dict)
    """Seed -> by how much its resampled scores must move away from their mean; 1 where it is not in
    it."""
    repeats: float = 0.0
    """Of groups that several seeds test, see `metrics.split_resampling.repeats`; 0 without."""

    def of_arm(self, arm_id: str, seeds: Sequence[int], kind: type[Kind]) -> list[Kind]:
        """What was read of an arm's runs, in the order of `seeds`; all are of the task's `kind`."""
        of_arm: list[Kind] = []
        for seed in seeds:
            reading = self.runs.get((arm_id, seed))
            if isinstance(reading, kind):
                of_arm.append(reading)
        return of_arm

    @property
    def resampled(self) -> Mapping[tuple[str, int], Draws]:
        """(arm_id, seed) -> metric -> (draws,) scores on resampled test images."""
        resampled = {}
        for (arm_id, seed), reading in self.runs.items():
            factor = self.factors.get(seed, 1.0)
            resampled[arm_id, seed] = moved_away(reading.resampled, factor)
        return resampled


def read_study(study: PublishedStudy, predictions: Predictions) -> Readings:
    """Read the predictions of each complete run once.

    Raises CheckFailed where runs were scored on different images: all of them, or those of a seed
    where each has a split of its own.
    """
    record = study.record
    reader = READERS[record.task]
    # runs are read one after another and only their digests kept: all predictions of a study at
    # once would not fit into memory
    images = _SameImages()
    votes = Votes(is_own_split=record.data.splits is not None)
    resampling = resampling_of(record)
    readings: dict[tuple[str, int], Reading] = {}
    for key, run, frame in _frames(study, predictions):
        splits = _held_out(frame, run, record)
        _, seed = key
        for name, of_split in splits.items():
            # pairs by seed and pooled votes both take for granted that rows are the same images
            images.check(of_split, run, split=name, seed=resampling.seed_of(seed))
            if reader.is_pooled:
                votes.add(of_split, split=name, seed=seed)
        # Drawn once, from the first run's labels: the same draw for every run keeps them paired.
        drawn = resampling.of(splits["test"], seed=seed)
        held_out = HeldOut(splits["test"], splits.get("val"), drawn.weights, drawn.group_of)
        readings[key] = reader.read(held_out, record)
    return Readings(readings, votes.pooled(), resampling.factors(), resampling.repeats())


def _frames(
    study: PublishedStudy, predictions: Predictions
) -> Iterator[tuple[tuple[str, int], PublishedRun, pd.DataFrame]]:
    """The complete runs whose predictions can be read, in the order of the record.

    Never in the order of the runs: sums of floats depend on it.
    """
    runs = run_of_trial(study)
    for key in itertools.product(arms_by_id(study.record.arms), study.record.seeds):
        run = runs.get(key)
        if run is None or run.status != TrialState.COMPLETE:
            continue
        try:
            frame = predictions(run)
        # a pruned artifact takes the run's intervals, not its scores: those were logged as metrics
        except (StoreError, FileNotFoundError):
            continue
        yield key, run, frame


def _held_out(
    frame: pd.DataFrame, run: PublishedRun, record: StudyRecord
) -> dict[str, SplitPredictions]:
    """The held-out splits that a run stored. Raises CheckFailed where test is not among them."""
    splits = {}
    for name in HELD_OUT:
        rows = frame[frame["split"] == name]
        # a run without val can be judged, one without test says nothing
        if name == "test":
            rows = split_of(frame, name, run)
        if not rows.empty:
            splits[name] = decoded(rows, record)
    return splits


def split_of(frame: pd.DataFrame, split: str, run: PublishedRun) -> pd.DataFrame:
    """The rows of one split. Raises CheckFailed where the run stored none."""
    rows = frame[frame["split"] == split]
    if rows.empty:
        raise CheckFailed(
            f"predictions of run {run.run_id} must hold the split {split}, "
            f"got {sorted(frame['split'].unique())}"
        )
    return rows


def decoded(rows: pd.DataFrame, record: StudyRecord) -> SplitPredictions:
    """The predictions that the rows of one split hold."""
    columns = dict(rows.items())
    return CODECS[record.task].decode(columns, n_classes=len(record.data.class_names))


def split_scores(rows: pd.DataFrame, record: StudyRecord) -> dict[str, float]:
    """Every score of one split, as its trial computed it."""
    predictions = decoded(rows, record)
    outputs = predictions.outputs.astype(np.float64)
    return SCORING[record.task].score(outputs, predictions.targets.array)


@dataclass
class _SameImages:
    """The images and labels that the first run was scored on, by split."""

    first: dict[tuple[str, int | None], tuple[str, str]] = field(default_factory=dict)
    """Split, and seed where each has its own -> digest of its images and labels, id of the run."""

    def check(
        self, predictions: SplitPredictions, run: PublishedRun, *, split: str, seed: int | None
    ) -> None:
        """Raises CheckFailed where a run's images, or their labels, are others than before."""
        digest = _digest(predictions)
        # the first run sets what is right: nothing else says which images a study has
        known, run_id = self.first.setdefault((split, seed), (digest, run.run_id))
        if digest != known:
            which = "of a study" if seed is None else f"with seed {seed}"
            raise CheckFailed(
                f"runs {which} must be scored on the same {split} images and labels, those of "
                f"run {run.run_id} differ from those of {run_id}"
            )


def _digest(predictions: SplitPredictions) -> str:
    """Of the images, their labels and groups, whatever was predicted for them."""
    # order counts as well: rows are compared by place
    image_ids = "\n".join(predictions.image_ids).encode()
    groups = "\n".join(predictions.groups or ()).encode()
    content = image_ids + predictions.targets.array.tobytes() + groups
    return hashlib.sha256(content).hexdigest()
