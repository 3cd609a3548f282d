"""CNN against ViT: the best arm of each kind of backbone beside the others, where a grid has more than one kind."""

from __future__ import annotations

from collections import defaultdict

from ablate.quoting import code, text
from ablate.reporting.evidence.pareto import COSTS, measured
from ablate.reporting.results import NOT_MEASURED, Results, ShowFigure, prose, shared_fact
from ablate.reporting.text import conclusions
from ablate.reporting.text.markdown import count_or, join_sections, table
from ablate.study.record import ArmRecord

_COSTS = ("cost/n_parameters", "cost/macs", "time/train_s", "time/latency_ms", "time/images_per_s")


def families(results: Results) -> dict[str, list[ArmRecord]]:
    """Kind of backbone -> its arms with a complete trial, the best on val first."""
    arms = {arm.arm_id: arm for arm in results.record.arms}
    found: dict[str, list[ArmRecord]] = defaultdict(list)
    for arm_id in results.arms["arm_id"]:
        family = shared_fact(results.complete_runs(arm_id), "family")
        if family != NOT_MEASURED:
            found[family].append(arms[arm_id])
    return dict(found)


def families_text(results: Results, _show: ShowFigure) -> str:
    """A table with one row a kind, and how far the others' best is from the champion. Empty where all backbones are of one kind."""
    found = families(results)
    if len(found) < 2:
        return ""
    costs = [cost for cost in COSTS if cost.metric in _COSTS and cost in measured(results.arms)]
    rows = [
        [
            text(family),
            str(len(arms)),
            code(arms[0].recipe.backbone),
            code(arms[0].name),
            *(
                conclusions.metric_cell(results, arms[0].arm_id, metric)
                for metric in (results.effects.primary, results.effects.secondary)
            ),
            *(
                count_or(results.number(arms[0].arm_id, f"{cost.metric}/mean"), cost.digits)
                for cost in costs
            ),
        ]
        for family, arms in found.items()
    ]
    header = [
        "kind",
        "arms",
        "backbone",
        "best arm on val",
        prose(results.effects.primary),
        prose(results.effects.secondary),
        *(cost.title for cost in costs),
    ]
    how = "The best arm on val of each kind of backbone. Kinds differ in size, pretraining and tuning too: this compares networks, not principles."
    told = [_gap(results, family, arms[0]) for family, arms in found.items()]
    return join_sections(
        [
            f"## {' against '.join(map(text, found))}",
            how,
            table(header, rows, n_text_columns=4),
            " ".join(filter(None, told)),
        ]
    ).rstrip()


def _gap(results: Results, family: str, arm: ArmRecord) -> str:
    gap = next((gap for gap in results.to_champion if gap.arm_id == arm.arm_id), None)
    return (
        ""
        if gap is None
        else f"The best {text(family)} against the best arm of all: {conclusions.gap_text(results, gap)}."
    )
