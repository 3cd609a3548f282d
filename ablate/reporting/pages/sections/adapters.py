"""What adapters cost and give: a section of the report where a grid varies one of their fields."""

from __future__ import annotations

import math
import re

from ablate.quoting import code, text
from ablate.recipe.recipe import Recipe
from ablate.reporting.results import NOT_MEASURED, Results, ShowFigure, prose, run_fact
from ablate.reporting.text.markdown import count, join_sections, mean_sd, table

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
_DIFFERENCE = re.compile(r"(?P<how>merged .* differ by at most )(?P<difference>\d\.\de[-+]\d\d)")
_HEADER = (
    "arm",
    "adapter",
    "size",
    "trained parameters",
    "share of all",
    "peak memory, MB",
    "training s",
)


def adapters_section(results: Results, _show: ShowFigure) -> str:
    """The table of adapters; empty where the grid varies none of `ADAPTER_FIELDS`."""
    if not any(
        len(levels) > 1 for axis, levels in results.record.axes.items() if axis in ADAPTER_FIELDS
    ):
        return ""
    note = "Means over seeds, ± SD. The share counts head and adapters. Memory and seconds depend on the machine, and on what a trial took from the cache."
    header = [*_HEADER, prose(results.effects.primary), "merged into the backbone"]
    rows = [_row(results, arm_id) for arm_id in results.arms["arm_id"]]
    return join_sections(["## Adapters", note, table(header, rows, n_text_columns=3)]).rstrip()


def size_of(recipe: Recipe) -> str:
    """What makes the recipe's adapter large or small, in words: "rank 8", "width 64", "10 tokens", or a dash."""
    kind = recipe.adapter_kind
    if kind in ("lora", "dora"):
        return f"rank {recipe.lora_rank}"
    if kind in ("bottleneck", "adaptformer"):
        return f"width {recipe.bottleneck_width}"
    return f"{recipe.prompt_tokens} tokens" if kind == "vpt" else "-"


def _row(results: Results, arm_id: str) -> list[str]:
    arm = next(arm for arm in results.record.arms if arm.arm_id == arm_id)
    trained, every = (
        results.number(arm_id, f"cost/{name}/mean") for name in ("n_trainable", "n_parameters")
    )
    share = (
        NOT_MEASURED
        if math.isnan(trained) or math.isnan(every)
        else f"{100 * trained / every:.2f} %"
    )
    merged = (
        "-"
        if arm.recipe.adapter_kind == "none"
        else text(
            _merged([run_fact(run, "adapter_merge") for run in results.complete_runs(arm_id)])
        )
    )
    measured = [
        _measured(results, arm_id, metric, digits=digits)
        for metric, digits in (
            ("cost/peak_memory_mb", 0),
            ("time/train_s", 1),
            (results.effects.primary, 3),
        )
    ]
    return [
        code(arm.name),
        arm.recipe.adapter_kind,
        size_of(arm.recipe),
        count(trained),
        share,
        *measured,
        merged,
    ]


def _merged(facts: list[str]) -> str:
    """What the runs of an arm say of merging; of runs that differ in the difference alone, the one with the largest."""
    told = [_DIFFERENCE.fullmatch(fact) for fact in facts]
    if facts and len({found and found["how"] for found in told}) == 1 and told[0] is not None:
        return max(
            (found for found in told if found is not None),
            key=lambda found: float(found["difference"]),
        ).group()
    return ", ".join(dict.fromkeys(facts)) or NOT_MEASURED


def _measured(results: Results, arm_id: str, metric: str, *, digits: int) -> str:
    return mean_sd(
        results.number(arm_id, f"{metric}/mean"),
        results.number(arm_id, f"{metric}/sd"),
        digits=digits,
    )
