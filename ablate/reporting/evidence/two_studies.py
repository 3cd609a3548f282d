"""Two studies beside each other: the arms that both trained, with what changed between them.

For a repeated study, another backbone, other data. Nothing of it is part of what a report promises.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from ablate.recipe.canonical import canonical
from ablate.reporting.evidence.frames import champion, trial_frame
from ablate.reporting.evidence.judged_metrics import judged_metrics
from ablate.reporting.evidence.paired import summarise
from ablate.study.record import ArmRecord, StudyRecord
from ablate.tracking.records import PublishedStudy


@dataclass(frozen=True)
class SharedArm:
    """An arm of both studies: its recipes differ at most in what all arms of a study share."""

    name: str
    first: ArmRecord
    second: ArmRecord


@dataclass(frozen=True)
class StudyComparison:
    """What two studies say together."""

    shared: tuple[SharedArm, ...]
    metrics: tuple[str, str]
    """What they are compared in: the primary and the secondary metric of the first."""
    differing: dict[str, tuple[str, str]]
    """What differs between the studies as a whole: field -> (in the first, in the second)."""
    is_paired: bool
    """Whether seeds of the two stand for the same draws of images: same data."""
    table: pd.DataFrame
    """One row per shared arm: arm, then `<metric> first`, `<metric> second`,
    `<metric> difference` (second less first), `... low`, `... high`."""
    champions: tuple[str, str]
    rank_agreement: float
    """Kendall's tau between the two orders of the shared arms by the primary metric.

    NaN below three arms.
    """


def compare_studies(first: PublishedStudy, second: PublishedStudy) -> StudyComparison:
    """Compare two studies on the arms that they share."""
    frames = (trial_frame(first), trial_frame(second))
    shared = shared_arms(first.record, second.record)
    # equal data: then a seed draws the same images in both
    is_paired = _are_same_draws(first.record, second.record)
    metrics = judged_metrics(first.record)
    rows = []
    for arm in shared:
        rows.append(_row(arm, frames, metrics, is_paired=is_paired))
    table = pd.DataFrame(rows)
    best_of_first = _champion_name(first.record, frames[0])
    best_of_second = _champion_name(second.record, frames[1])
    return StudyComparison(
        shared=shared,
        metrics=metrics,
        differing=_differing(first.record, second.record),
        is_paired=is_paired,
        table=table,
        champions=(best_of_first, best_of_second),
        rank_agreement=_agreement(table, metrics[0]),
    )


def _are_same_draws(first: StudyRecord, second: StudyRecord) -> bool:
    if first.data.fingerprint != second.data.fingerprint:
        return False
    if first.data.splits is None:
        return True
    # The place of a seed decides its split: one has to begin with the seeds of the other.
    n_shared = min(len(first.seeds), len(second.seeds))
    return first.seeds[:n_shared] == second.seeds[:n_shared]


def _champion_name(record: StudyRecord, trials: pd.DataFrame) -> str:
    best = champion(record, trials)
    if best is None:
        return "none"
    return best.name


def shared_arms(first: StudyRecord, second: StudyRecord) -> tuple[SharedArm, ...]:
    """Arms with equal levels of the axes of either study, and equal in all other fields.

    Fields in which the studies as a whole differ are not compared.
    """
    # constant within both, whatever their values: another backbone for all arms is what changed
    common = _constant_fields(first).keys() & _constant_fields(second).keys()

    def key(arm: ArmRecord) -> str:
        # canonical: fields that cannot matter for this recipe are no difference
        fields = canonical(arm.recipe)
        for name in common:
            fields.pop(name, None)
        return repr(sorted(fields.items()))

    others = {key(arm): arm for arm in second.arms}
    shared = []
    for arm in first.arms:
        other = others.get(key(arm))
        if other is not None:
            shared.append(SharedArm(arm.name, arm, other))
    return tuple(shared)


def _constant_fields(record: StudyRecord) -> dict[str, str]:
    """Fields of the recipe with one value in all arms."""
    dumps = [arm.recipe.model_dump(mode="json") for arm in record.arms]
    if not dumps:
        return {}
    constant = {}
    # all arms have the same fields; str, because a list cannot stand in a set
    for name in dumps[0]:
        values = {str(dump[name]) for dump in dumps}
        if len(values) == 1:
            constant[name] = values.pop()
    return constant


def _differing(first: StudyRecord, second: StudyRecord) -> dict[str, tuple[str, str]]:
    in_first = {**_constant_fields(first), **_facts(first)}
    in_second = {**_constant_fields(second), **_facts(second)}
    differing = {}
    for name, value in in_first.items():
        # a field that varies within one of the studies is an axis there, no difference as a whole
        other = in_second.get(name, value)
        if other != value:
            differing[name] = (value, other)
    return differing


def _facts(record: StudyRecord) -> dict[str, str]:
    return {
        "task": record.task,
        "data": record.data.title,
        # 12 digits, as everywhere where people compare two by eye
        "data fingerprint": record.data.fingerprint[:12],
        "image size": record.image_size,
        "seeds": ", ".join(map(str, record.seeds)),
    }


def _row(
    arm: SharedArm,
    frames: tuple[pd.DataFrame, pd.DataFrame],
    metrics: tuple[str, str],
    *,
    is_paired: bool,
) -> dict[str, object]:
    row: dict[str, object] = {"arm": arm.name}
    for metric in metrics:
        first = _scores(frames[0], arm.first.arm_id, metric)
        second = _scores(frames[1], arm.second.arm_id, metric)
        difference = _mean(second) - _mean(first)
        # on other data equal seeds draw other images: nothing pairs them, so there is no interval
        low = math.nan
        high = math.nan
        if is_paired:
            # subtracted by seed: pandas aligns the two, and seeds of one study alone drop out
            gap = summarise((second - first).dropna().tolist())
            low = gap.low
            high = gap.high
        row[f"{metric} first"] = _mean(first)
        row[f"{metric} second"] = _mean(second)
        row[f"{metric} difference"] = difference
        row[f"{metric} low"] = low
        row[f"{metric} high"] = high
    return row


def _scores(frame: pd.DataFrame, arm_id: str, metric: str) -> pd.Series[float]:
    """The arm's scores by seed, none of them NaN."""
    if metric not in frame:
        return pd.Series(dtype=float)
    return frame[frame["arm_id"] == arm_id].set_index("seed")[metric].dropna()


def _mean(scores: pd.Series[float]) -> float:
    """NaN where there is none."""
    return float(scores.mean())


def _agreement(table: pd.DataFrame, metric: str) -> float:
    if table.empty:  # it has no columns either
        return math.nan
    known = table.dropna(subset=[f"{metric} first", f"{metric} second"])
    # two arms agree or not: tau would be 1 or -1 by a coin's toss
    if len(known) < 3:
        return math.nan
    from scipy.stats import kendalltau

    return float(kendalltau(known[f"{metric} first"], known[f"{metric} second"]).statistic)
