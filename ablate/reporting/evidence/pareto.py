"""What an arm costs, and which arms no other beats in both score and cost."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from ablate.study.trial import is_better


@dataclass(frozen=True)
class Cost:
    """One thing that is measured of every trial."""

    metric: str
    title: str
    digits: int
    is_better_when_high: bool = False
    is_traded: bool = True
    """Whether it stands against the score in a Pareto front."""


COSTS = (
    Cost("cost/n_trainable", "trained parameters", 0),
    Cost("cost/n_parameters", "parameters", 0),
    Cost("cost/macs", "multiply-adds per image", 0),
    Cost("time/train_s", "training s", 1),
    Cost("time/saved_s", "s saved by sharing", 1, is_better_when_high=True, is_traded=False),
    Cost("cost/peak_memory_mb", "peak memory, MB", 0),
    Cost("time/images_per_s", "images/s at inference", 0, is_better_when_high=True),
    Cost("time/latency_ms", "latency at batch 1, ms", 1),
    Cost("cost/delta_mb", "trained weights, MB", 2),
    Cost("cost/disk_mb", "whole network on disk, MB", 2),
)


def measured(arms: pd.DataFrame) -> list[Cost]:
    """The costs that any run logged."""
    return [
        cost
        for cost in COSTS
        if f"{cost.metric}/mean" in arms and arms[f"{cost.metric}/mean"].notna().any()
    ]


def pareto_front(arms: pd.DataFrame, cost: Cost, *, metric: str) -> list[str]:
    """arm_ids that no other arm beats: none is as good and cheaper, nor as cheap and better. By means over the seeds, the cheapest first.

    `arms` as `tables.arm_frame`; `metric` is the score. Arms without both numbers are left out.
    """
    sign = -1.0 if cost.is_better_when_high else 1.0
    known = arms.dropna(subset=[f"{cost.metric}/mean", f"{metric}/mean"])
    prices = sign * known[f"{cost.metric}/mean"]
    losses = known[f"{metric}/mean"] * (1.0 if is_better(metric, 0.0, than=1.0) else -1.0)
    order = pd.DataFrame({"arm_id": known["arm_id"], "price": prices, "score": losses}).sort_values(
        ["price", "score"], kind="stable"
    )
    front, best = [], math.inf
    for arm_id, score in zip(order["arm_id"], order["score"], strict=True):
        if float(score) < best:
            front.append(str(arm_id))
            best = float(score)
    return front


def fronts(arms: pd.DataFrame, *, metric: str) -> dict[str, list[str]]:
    """Title of each traded cost that differs between arms -> its Pareto front."""
    if f"{metric}/mean" not in arms:
        return {}
    differing = [
        cost
        for cost in measured(arms)
        if cost.is_traded and arms[f"{cost.metric}/mean"].nunique() > 1
    ]
    return {cost.title: pareto_front(arms, cost, metric=metric) for cost in differing}
