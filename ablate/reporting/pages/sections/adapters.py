"""What adapters cost and give: a section where a grid varies one of their fields."""

from __future__ import annotations

import math

from ablate.quoting import code, text
from ablate.recipe.recipe import Recipe
from ablate.reporting.results import NOT_MEASURED, Results, ShowFigure, prose
from ablate.reporting.text.conclusions import metric_cell
from ablate.reporting.text.facts import merge_text
from ablate.reporting.text.markdown import count, join_sections, table
from ablate.study.record import ArmRecord

# any of these as an axis asks what adapters are worth
ADAPTER_FIELDS = (
    "adapter",
    "lora_rank",
    "lora_alpha",
    "adapter_dropout",
    "adapter_targets",
    "adapter_units",
    "bottleneck_width",
    "prompt_tokens",
)
_HEADER = (
    "arm",
    "adapter",
    "size",
    "merged into the backbone",
    "trained parameters",
    "share of all",
    "peak memory, MB",
    "training s",
)
_NOTE = (
    "Mean ± SD over seeds. The share includes head and adapters. Memory and seconds depend on the "
    "machine and on what a trial could take from the cache."
)


def adapters_section(results: Results, _show: ShowFigure) -> str:
    """Arms with an adapter, and the baseline; empty where the grid varies no adapter's field."""
    if not _varies_adapters(results):
        return ""
    header = [*_HEADER, prose(results.effects.primary)]
    rows = []
    for arm_id in results.arms["arm_id"]:
        arm = results.arm_of_id[arm_id]
        # what the others train is in the table of costs
        if arm.recipe.adapter_kind != "none" or arm == results.baseline:
            rows.append(_row(results, arm))
    return join_sections(["## Adapters", _NOTE, table(header, rows, n_text_columns=4)]).rstrip()


def _varies_adapters(results: Results) -> bool:
    for axis, levels in results.record.axes.items():
        if axis in ADAPTER_FIELDS and len(levels) > 1:
            return True
    return False


def size_of(recipe: Recipe) -> str:
    """What makes the recipe's adapter large or small: "rank 8", "width 64", "10 tokens", "-"."""
    kind = recipe.adapter_kind
    if kind in ("lora", "dora"):
        return f"rank {recipe.lora_rank}"
    if kind in ("bottleneck", "adaptformer"):
        return f"width {recipe.bottleneck_width}"
    if kind == "vpt":
        return f"{recipe.prompt_tokens} tokens"
    # the others scale or train what is there: they have no size to choose
    return "-"


def _row(results: Results, arm: ArmRecord) -> list[str]:
    arm_id = arm.arm_id
    n_trained = results.number(arm_id, "cost/n_trainable/mean")
    n_all = results.number(arm_id, "cost/n_parameters/mean")
    # runs of older versions did not log both numbers
    share = NOT_MEASURED
    if not (math.isnan(n_trained) or math.isnan(n_all)):
        share = f"{100 * n_trained / n_all:.2f} %"
    merged = "-"
    if arm.recipe.adapter_kind != "none":
        runs = results.complete_runs(arm_id)
        merged = text(merge_text([run.facts.adapter_merge for run in runs]))
    return [
        code(results.name(arm_id)),
        arm.recipe.adapter_kind,
        size_of(arm.recipe),
        merged,
        count(n_trained),
        share,
        metric_cell(results, arm_id, "cost/peak_memory_mb", digits=0),
        metric_cell(results, arm_id, "time/train_s", digits=1),
        metric_cell(results, arm_id, results.effects.primary),
    ]
