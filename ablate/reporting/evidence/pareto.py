"""What an arm costs, and which arms no other beats in both score and cost."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from ablate.study.choosing import is_better


@dataclass(frozen=True)
class Cost:
    """One thing that is measured of every trial."""

    metric: str
    title: str
    digits: int
    is_better_when_high: bool = False
    is_traded: bool = True
    """Whether it stands against the score in a Pareto front."""


# in the order of the report's columns
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
    logged = []
    for cost in COSTS:
        column = f"{cost.metric}/mean"
        if column in arms and arms[column].notna().any():
            logged.append(cost)
    return logged


def pareto_front(arms: pd.DataFrame, cost: Cost, *, metric: str) -> list[str]:
    """arm_ids that no other arm beats: none is as good and cheaper, nor as cheap and better.

    By means over the seeds, the cheapest first. `arms` as `frames.arm_frame`; `metric` is the
    score. Arms without both numbers are left out.
    """
    known = arms.dropna(subset=[f"{cost.metric}/mean", f"{metric}/mean"])
    price = known[f"{cost.metric}/mean"]
    loss = known[f"{metric}/mean"]
    # both as numbers that are better when low, so that one sweep from the cheapest arm is enough
    if cost.is_better_when_high:
        price = -price
    # where 1 is better than 0, high is good
    if is_better(metric, 1.0, than=0.0):
        loss = -loss
    order = pd.DataFrame({"arm_id": known["arm_id"], "price": price, "loss": loss})
    # among equally cheap arms the better one comes first, and alone gets in; stable for whole ties
    order = order.sort_values(["price", "loss"], kind="stable")
    front = []
    lowest = math.inf
    for arm_id, arm_loss in zip(order["arm_id"], order["loss"], strict=True):
        # less than, so of arms equal in both the first of the table stands for all
        if float(arm_loss) < lowest:
            front.append(str(arm_id))
            lowest = float(arm_loss)
    return front


def fronts(arms: pd.DataFrame, *, metric: str) -> dict[str, list[str]]:
    """Title of each traded cost that differs between arms -> its Pareto front."""
    if f"{metric}/mean" not in arms:
        return {}
    by_title = {}
    for cost in measured(arms):
        # a cost that is the same for all arms trades nothing
        if cost.is_traded and arms[f"{cost.metric}/mean"].nunique() > 1:
            by_title[cost.title] = pareto_front(arms, cost, metric=metric)
    return by_title
