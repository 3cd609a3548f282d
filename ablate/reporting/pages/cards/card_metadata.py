"""The metadata of a card, as the Hugging Face hub reads it. The hub's own class checks its form."""

from __future__ import annotations

import math
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from ablate.errors import plural
from ablate.quoting import one_line
from ablate.reporting.results import Results, prose
from ablate.study.record import ArmRecord
from ablate.study.tasks import HubMetric


def card_metadata(results: Results, arm: ArmRecord) -> ModelCardData:
    """`model-index` holds the metrics that the hub knows and that were measured, on test."""
    evaluated = []
    for metric in results.task.metrics:
        # the hub shows a metric by its own name, so only those that it knows are listed
        is_measured = not math.isnan(results.number(arm.arm_id, f"test/{metric.name}/mean"))
        if metric.hub is not None and is_measured:
            evaluated.append(_evaluated(results, arm, metric.name, metric.hub))
    tags = ["ablate", "transfer-learning", arm.recipe.backbone, *results.task.hub_tags]
    if results.record.data.is_synthetic:
        tags.append("synthetic-data")
    return ModelCardData(
        # the slug, because names on the hub have no spaces or equals signs
        model_name=results.slugs[arm.arm_id],
        library_name="timm",
        pipeline_tag=results.task.hub_task,
        tags=tags,
        # An empty list would write an empty `model-index`.
        eval_results=evaluated or None,
    )


def _evaluated(results: Results, arm: ArmRecord, metric: str, hub: HubMetric) -> EvalResult:
    data = results.record.data
    n_seeds = int(results.number(arm.arm_id, "n_seeds"))
    return EvalResult(
        task_type=results.task.hub_task,
        dataset_type=data.source,
        dataset_name=one_line(data.title),
        dataset_split="test",
        # what stands for a git revision: it changes with any image or label
        dataset_revision=data.fingerprint,
        metric_type=hub.type,
        metric_name=f"{prose(metric)}, mean over {plural(n_seeds, 'seed')}",
        # four digits: the rest is noise
        metric_value=round(results.number(arm.arm_id, f"test/{metric}/mean"), 4),
        metric_args={**hub.args, "n_seeds": n_seeds, **_spread(results, arm, metric)},
    )


def _spread(results: Results, arm: ArmRecord, metric: str) -> dict[str, Any]:
    """SD and interval of a score, as far as they are known."""
    spread: dict[str, Any] = {}
    sd = results.number(arm.arm_id, f"test/{metric}/sd")
    if not math.isnan(sd):
        spread["sd_over_seeds"] = round(sd, 4)
    low = results.number(arm.arm_id, f"test/{metric}/low")
    high = results.number(arm.arm_id, f"test/{metric}/high")
    if not math.isnan(low):
        spread["interval_95"] = [round(low, 4), round(high, 4)]
    return spread
