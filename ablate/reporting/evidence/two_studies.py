"""Two studies beside each other: the arms that both trained, with what changed between them. For a repeated study, another backbone, other data."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from ablate.recipe.canonical import canonical
from ablate.reporting.evidence.judged_metrics import judged_metrics
from ablate.reporting.evidence.paired import Gap, summarise
from ablate.reporting.evidence.tables import champion, trial_frame
from ablate.study.record import ArmRecord, StudyRecord
from ablate.tracking.records import PublishedStudy


@dataclass(frozen=True)
class SharedArm:
    """An arm of both studies: their recipes differ at most in what all arms of a study have in common."""

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
    """One row a shared arm: arm, then `<metric> first`, `<metric> second`, `<metric> difference` (second less first), `... low`, `... high`."""
    champions: tuple[str, str]
    rank_agreement: float
    """Kendall's tau between the two orders of the shared arms by the primary metric; NaN below three arms."""


def compare_studies(first: PublishedStudy, second: PublishedStudy) -> StudyComparison:
    """Compare two studies on the arms that they share, by the levels of the axes that they have in common."""
    records = (first.record, second.record)
    frames = (trial_frame(first), trial_frame(second))
    shared = shared_arms(*records)
    is_paired = first.record.data.fingerprint == second.record.data.fingerprint
    metrics = judged_metrics(first.record)
    rows = [_row(arm, frames, metrics, is_paired=is_paired) for arm in shared]
    table = pd.DataFrame(rows)
    best = [champion(record, frame) for record, frame in zip(records, frames, strict=True)]
    return StudyComparison(
        shared=shared,
        metrics=metrics,
        differing=_differing(*records),
        is_paired=is_paired,
        table=table,
        champions=(best[0].name if best[0] else "none", best[1].name if best[1] else "none"),
        rank_agreement=_agreement(table, metrics[0]),
    )


def shared_arms(first: StudyRecord, second: StudyRecord) -> tuple[SharedArm, ...]:
    """Arms with equal levels of the axes of either study, and equal in all other fields but those in which the studies as a whole differ."""
    common = _constant_fields(first).keys() & _constant_fields(second).keys()

    def key(arm: ArmRecord) -> str:
        return repr(
            sorted(
                (name, value) for name, value in canonical(arm.recipe).items() if name not in common
            )
        )

    others = {key(arm): arm for arm in second.arms}
    return tuple(
        SharedArm(arm.name, arm, others[key(arm)]) for arm in first.arms if key(arm) in others
    )


def _constant_fields(record: StudyRecord) -> dict[str, str]:
    """Fields of the recipe with one value in all arms."""
    dumps = [arm.recipe.model_dump(mode="json") for arm in record.arms]
    return (
        {
            name: str(dumps[0][name])
            for name in dumps[0]
            if len({str(dump[name]) for dump in dumps}) == 1
        }
        if dumps
        else {}
    )


def _differing(first: StudyRecord, second: StudyRecord) -> dict[str, tuple[str, str]]:
    one, other = ({**_constant_fields(record), **_facts(record)} for record in (first, second))
    return {
        name: (one[name], other[name]) for name in one if name in other and one[name] != other[name]
    }


def _facts(record: StudyRecord) -> dict[str, str]:
    return {
        "task": record.task,
        "data": record.data.title,
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
        scores = [
            _scores(frame, own.arm_id, metric)
            for frame, own in zip(frames, (arm.first, arm.second), strict=True)
        ]
        means = [float(own.mean()) if len(own) else math.nan for own in scores]
        gap = (
            _paired(scores)
            if is_paired
            else Gap(means[1] - means[0], math.nan, math.nan, math.nan, 0)
        )
        row |= {
            f"{metric} first": means[0],
            f"{metric} second": means[1],
            f"{metric} difference": means[1] - means[0],
            f"{metric} low": gap.low,
            f"{metric} high": gap.high,
        }
    return row


def _scores(frame: pd.DataFrame, arm_id: str, metric: str) -> pd.Series[float]:
    if metric not in frame:
        return pd.Series(dtype=float)
    return frame[frame["arm_id"] == arm_id].set_index("seed")[metric].dropna()


def _paired(scores: list[pd.Series[float]]) -> Gap:
    return summarise((scores[1] - scores[0]).dropna().tolist())


def _agreement(table: pd.DataFrame, metric: str) -> float:
    known = table.dropna(subset=[f"{metric} first", f"{metric} second"]) if len(table) else table
    if len(known) < 3:
        return math.nan
    from scipy.stats import kendalltau

    return float(kendalltau(known[f"{metric} first"], known[f"{metric} second"]).statistic)
