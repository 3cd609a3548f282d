"""A study's predictions: each run's read once and digested, and what all runs say of each image."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ablate.errors import CheckFailed, StoreError
from ablate.metrics import SCORING
from ablate.metrics.group_resampling import group_weights
from ablate.metrics.resampling import image_weights
from ablate.reporting.evidence.frames import run_of_trial
from ablate.reporting.predictions import READERS
from ablate.reporting.predictions._base import Draws, HeldOut, Reading
from ablate.study.arm_record import arms_by_id
from ablate.study.record import StudyRecord
from ablate.targets import Targets
from ablate.targets.codecs import CODECS, SplitPredictions
from ablate.tracking.events import TrialState
from ablate.tracking.records import PublishedRun, PublishedStudy

Predictions = Callable[[PublishedRun], pd.DataFrame]
"""Reads a run's predictions: columns split, image_id and those of the task's codec."""
Kind = TypeVar("Kind")
# val first, as reports list splits; both were never trained on
HELD_OUT = ("val", "test")
_N_DRAWS = 400
"""Resamples of the test images: an SD over so many is known to 3.5 %."""
_MOST_WEIGHTS = 40_000_000
"""Draws times images: 160 MB in float32, which all runs of a study share."""


@dataclass(frozen=True)
class Pooled:
    """What all complete trials say of the images of a split that none of them was trained on."""

    split: str
    image_ids: tuple[str, ...]
    labels: NDArray[np.int64]
    """(N,)"""
    probabilities: NDArray[np.float64]
    """(N, C) mean over the trials."""
    votes: NDArray[np.int64]
    """(N, C) trials that predict the class."""


@dataclass(frozen=True)
class Readings:
    """The complete runs whose predictions the store could give."""

    runs: Mapping[tuple[str, int], Reading]
    """(arm_id, seed) -> what the task's reader made of the run."""
    pooled: tuple[Pooled, ...]
    """Splits that were stored, val first; none where runs do not vote for one class per image."""

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
        return {key: reading.resampled for key, reading in self.runs.items()}


def read_study(study: PublishedStudy, predictions: Predictions) -> Readings:
    """Read the predictions of each complete run once.

    Raises CheckFailed where runs were scored on different images.
    """
    record = study.record
    reader = READERS[record.task]
    # runs are read one after another and only their digests kept: all predictions of a study at
    # once would not fit into memory
    images = _SameImages()
    sums: dict[str, _VoteSum] = {}
    weights: NDArray[np.float32] | None = None
    readings: dict[tuple[str, int], Reading] = {}
    for key, run, frame in _frames(study, predictions):
        splits = _held_out(frame, run, record)
        for name, of_split in splits.items():
            # pairs by seed and pooled votes both take for granted that rows are the same images
            images.check(of_split, run, split=name)
            if reader.is_pooled:
                sums.setdefault(name, _VoteSum.of(of_split)).add(of_split)
        # Drawn once, from the first run's labels: the same draw for every run keeps them paired.
        group_of = _group_of(splits["test"])
        if weights is None:
            weights = _weights(splits["test"].targets, group_of)
        held_out = HeldOut(splits["test"], splits.get("val"), weights, group_of)
        readings[key] = reader.read(held_out, record)
    pooled = []
    for name in HELD_OUT:
        if name in sums:
            pooled.append(sums[name].pooled(name))
    return Readings(readings, tuple(pooled))


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

    first: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Split -> digest of its images and labels, and the id of the run."""

    def check(self, predictions: SplitPredictions, run: PublishedRun, *, split: str) -> None:
        """Raises CheckFailed where a run's images, or their labels, are others than before."""
        digest = _digest(predictions)
        # the first run sets what is right: nothing else says which images a study has
        known, run_id = self.first.setdefault(split, (digest, run.run_id))
        if digest != known:
            raise CheckFailed(
                f"runs of a study must be scored on the same {split} images and labels, those of "
                f"run {run.run_id} differ from those of {run_id}"
            )


@dataclass
class _VoteSum:
    """The sum of what runs said of the classes of one split's images."""

    image_ids: Sequence[str]
    targets: Targets
    probabilities: NDArray[np.float64]
    votes: NDArray[np.int64]
    n_runs: int = field(default=0)

    @classmethod
    def of(cls, predictions: SplitPredictions) -> _VoteSum:
        """No run was added yet."""
        # sums, not a list of arrays: hundreds of runs cost what one costs
        shape = predictions.outputs.shape
        votes = np.zeros(shape, dtype=np.int64)
        return cls(predictions.image_ids, predictions.targets, np.zeros(shape), votes)

    def add(self, predictions: SplitPredictions) -> None:
        """Add a run's probabilities, and its vote for one class of each image."""
        self.probabilities += predictions.outputs.astype(np.float64)
        self.votes[np.arange(len(self.votes)), predictions.outputs.argmax(axis=1)] += 1
        self.n_runs += 1

    def pooled(self, split: str) -> Pooled:
        """The mean over the runs."""
        image_ids = tuple(map(str, self.image_ids))
        mean = self.probabilities / self.n_runs
        return Pooled(split, image_ids, self.targets.array, mean, self.votes)


def _digest(predictions: SplitPredictions) -> str:
    """Of the images, their labels and groups, whatever was predicted for them."""
    # order counts as well: rows are compared by place
    image_ids = "\n".join(predictions.image_ids).encode()
    groups = "\n".join(predictions.groups or ()).encode()
    content = image_ids + predictions.targets.array.tobytes() + groups
    return hashlib.sha256(content).hexdigest()


def _group_of(predictions: SplitPredictions) -> NDArray[np.int64] | None:
    """(N,) number of each image's group; None where nothing groups them."""
    if predictions.groups is None:
        return None
    names = np.array(list(map(str, predictions.groups)), dtype=object)
    _, group_of = np.unique(names, return_inverse=True)
    return np.asarray(group_of.ravel(), dtype=np.int64)


def _weights(targets: Targets, group_of: NDArray[np.int64] | None) -> NDArray[np.float32]:
    """Resamples of the test images, or of their groups; fewer where there are very many images."""
    # 100 draws at least: fewer would leave intervals to chance
    n_draws = int(np.clip(_MOST_WEIGHTS // len(targets), 100, _N_DRAWS))
    if group_of is not None:
        return group_weights(group_of, n_draws=n_draws, seed=0)
    return image_weights(targets, n_draws=n_draws, seed=0)
