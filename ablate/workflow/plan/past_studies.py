"""What earlier studies of this home say of a planned one: how noisy a trial is, how long it takes.

Studies of the same data. Their plans and journals are read as text: nothing heavy is imported, and
what cannot be read is as if it were not there.
"""

from __future__ import annotations

import json
import math
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ablate.errors import StoreError
from ablate.reporting.statistics.contrast import complete_arms
from ablate.scheduling.study_folder import JOURNAL, STUDY, StudyFolder
from ablate.study.choosing import is_score
from ablate.study.record import StudyRecord
from ablate.tracking.journal import attempts
from ablate.workflow.folders import Folders

MOST_READ = 8
"""Studies that are looked at, the latest first: a home may hold hundreds."""
# Seconds of a whole trial, its files included.
_TRIAL_S = "time/total_s"


@dataclass(frozen=True)
class PastStudy:
    """The complete trials of an earlier study on the same data."""

    grid: str
    study_id: str
    backbones: Mapping[str, str]
    """arm_id -> backbone."""
    metrics: Mapping[tuple[str, int], Mapping[str, float]]
    """(arm_id, seed) -> final metrics."""


@dataclass(frozen=True)
class MeasuredNoise:
    """SD of a trial around its arm and its seed."""

    sd: float
    df: int
    grid: str
    """The grid whose study measured it."""


@dataclass
class PastStudies:
    """Earlier studies on the data of a planned one; its own first."""

    studies: Sequence[PastStudy] = field(default_factory=list)

    def noise(self, metric: str, *, backbones: frozenset[str]) -> MeasuredNoise | None:
        """Return the noise that was measured best, in arms of these backbones; None where nowhere.

        That of the study's own trials where it has some.
        """
        found = []
        for study in self.studies:
            measured = _noise(study, metric, backbones)
            if measured is not None:
                found.append(measured)
        # The most degrees of freedom; of equals the first, which is the study's own.
        return max(found, key=lambda measured: measured.df, default=None)

    def trial_s(self) -> dict[str, float]:
        """Return arm_id -> seconds of one of its trials: the median, of the latest study."""
        seconds: dict[str, float] = {}
        for study in self.studies:
            of_arm: dict[str, list[float]] = defaultdict(list)
            for (arm_id, _), metrics in study.metrics.items():
                if is_score(metrics.get(_TRIAL_S, math.nan)):
                    of_arm[arm_id].append(metrics[_TRIAL_S])
            for arm_id, measured in of_arm.items():
                # The studies come latest first, so the first that timed an arm is the one.
                seconds.setdefault(arm_id, statistics.median(measured))
        return seconds


def past_studies(folders: Folders, record: StudyRecord) -> PastStudies:
    """Read the journals of the home's studies with the data of `record`."""
    root = folders.home / "studies"
    source = record.data.source.replace(":", "-")
    # By name first: most of a home's studies have other data, and need not be opened.
    journals = list(root.glob(f"*-{source}-*/{JOURNAL}"))
    journals.sort(key=_written_at, reverse=True)
    studies = []
    for journal in journals:
        study = _read(journal.parent, record.data.fingerprint)
        if study is not None:
            studies.append(study)
        if len(studies) == MOST_READ:
            break
    # The study itself to the front; the sort is stable, so the others stay latest first.
    studies.sort(key=lambda study: study.study_id != record.study_id)
    return PastStudies(studies)


def _written_at(path: Path) -> float:
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0


def _read(folder: Path, fingerprint: str) -> PastStudy | None:
    """The study in a folder; None where it has other data, or cannot be read."""
    with suppress(OSError, ValueError, LookupError, TypeError, AttributeError, StoreError):
        # Not `read_plan`: it would validate every arm of studies that turn out to have other data.
        values = json.loads((folder / STUDY).read_text())
        record = values["record"]
        if record["data"]["fingerprint"] != fingerprint:
            return None
        arms = {arm["arm_id"]: str(arm["recipe"]["backbone"]) for arm in record["arms"]}
        trials = dict(_trials(folder, values["trials"], arms))
        return PastStudy(record["grid_name"], record["study_id"], arms, trials)
    return None


def _trials(
    folder: Path, planned: Sequence[Any], arms: Mapping[str, str]
) -> Iterator[tuple[tuple[str, int], Mapping[str, float]]]:
    """The complete trials of the journal that the study's plan names."""
    from ablate.study.trial import Trial

    ended = {}
    for (trial_id, _), attempt in attempts(StudyFolder(folder).journal.read()).items():
        end = attempt.ended
        if end is not None and end.outcome is not None and attempt.is_complete:
            ended[trial_id] = end.outcome.metrics
    if not ended:
        return
    for values in planned:
        trial = Trial.model_validate(values)
        if trial.trial_id in ended and trial.arm_id in arms:
            yield (trial.arm_id, trial.seed), ended[trial.trial_id]


def _noise(study: PastStudy, metric: str, backbones: frozenset[str]) -> MeasuredNoise | None:
    scores = _scores(study, metric, backbones)
    complete = complete_arms(scores)
    if complete is None:
        return None
    # The largest part of the table without a hole: a missing trial would unbalance the means.
    arms, seeds = complete
    table = scores[arms][:, seeds]
    # Of the interaction of arms and seeds, which is what a trial's noise looks like here.
    df = (table.shape[0] - 1) * (table.shape[1] - 1)
    if df < 1:
        return None
    # What is left of a two-way table without its arms' means and its seeds' means (a randomised
    # complete block design: Montgomery, Design and Analysis of Experiments, ch. 4).
    around_arms = table - table.mean(axis=1, keepdims=True)
    residuals = around_arms - around_arms.mean(axis=0, keepdims=True)
    sd = math.sqrt(float((residuals**2).sum()) / df)
    # Fitted classifiers score alike with every seed: such a study measured no noise.
    if sd <= 0:
        return None
    return MeasuredNoise(sd, df, study.grid)


def _scores(study: PastStudy, metric: str, backbones: frozenset[str]) -> NDArray[np.float64]:
    """(arms, seeds) of the arms with these backbones; NaN where a trial has no score."""
    arm_ids = []
    for arm_id, backbone in study.backbones.items():
        if backbone in backbones:
            arm_ids.append(arm_id)
    seeds = sorted({seed for _, seed in study.metrics})
    scores = np.full((len(arm_ids), len(seeds)), np.nan)
    for row, arm_id in enumerate(arm_ids):
        for column, seed in enumerate(seeds):
            score = study.metrics.get((arm_id, seed), {}).get(metric, math.nan)
            if is_score(score):
                scores[row, column] = score
    return scores
