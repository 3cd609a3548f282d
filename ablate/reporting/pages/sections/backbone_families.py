"""CNN against ViT: the best arm of each kind of backbone, where a grid has more than one kind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from ablate.quoting import code, text
from ablate.reporting.evidence.frames import champion
from ablate.reporting.evidence.pareto import Cost, measured
from ablate.reporting.results import NOT_MEASURED, Results, ShowFigure, prose
from ablate.reporting.text import conclusions
from ablate.reporting.text.facts import shared_text
from ablate.reporting.text.markdown import count_or, join_sections, table
from ablate.study.record import ArmRecord

# what differs most between kinds; all costs are in their own section
_COSTS = ("cost/n_parameters", "cost/macs", "time/train_s", "time/latency_ms", "time/images_per_s")
_NOTE = (
    "The best arm on val of each kind of backbone. Kinds differ in size, pretraining and tuning "
    "too: this compares networks, not architectures in general."
)


def families(results: Results) -> dict[str, list[ArmRecord]]:
    """Kind of backbone -> its arms with a complete trial."""
    by_family: dict[str, list[ArmRecord]] = defaultdict(list)
    for arm_id in results.arms["arm_id"]:
        runs = results.complete_runs(arm_id)
        family = shared_text(runs, lambda facts: facts.family)
        # an arm without a complete trial has no run that says its kind
        if family != NOT_MEASURED:
            by_family[family].append(results.arm_of_id[arm_id])
    return dict(by_family)


def best_of_family(results: Results, arms: Sequence[ArmRecord]) -> ArmRecord:
    """The best of some arms that have scores, chosen as the champion is among all."""
    arm_ids = [arm.arm_id for arm in arms]
    # as a study of these arms alone, so that seeds are compared among them
    trials = results.trials[results.trials["arm_id"].isin(arm_ids)]
    best = champion(results.record.model_copy(update={"arms": tuple(arms)}), trials)
    # not reached where arms have scores: `champion` always finds one of those
    if best is None:
        return arms[0]
    return best


def families_text(results: Results, _show: ShowFigure) -> str:
    """One row per kind, and how far the others' best is from the champion.

    Empty where all backbones are of one kind.
    """
    by_family = families(results)
    # Studies of before families were recorded have none.
    if len(by_family) < 2:
        return ""
    known = measured(results.arms)
    costs = [cost for cost in known if cost.metric in _COSTS]
    rows = []
    gaps = []
    for family, arms in by_family.items():
        best = best_of_family(results, arms)
        rows.append([text(family), str(len(arms)), *_cells(results, best, costs)])
        gaps.append(_gap(results, family, best))
    scores = [prose(results.effects.primary), prose(results.effects.secondary)]
    header = ["kind", "arms", "backbone", "best arm on val", *scores]
    for cost in costs:
        header.append(cost.title)
    heading = f"## {' against '.join(map(text, by_family))}"
    listed = table(header, rows, n_text_columns=4)
    return join_sections([heading, _NOTE, listed, " ".join(filter(None, gaps))]).rstrip()


def _cells(results: Results, arm: ArmRecord, costs: Sequence[Cost]) -> list[str]:
    cells = [code(arm.recipe.backbone), code(results.name(arm.arm_id))]
    for metric in (results.effects.primary, results.effects.secondary):
        cells.append(conclusions.metric_cell(results, arm.arm_id, metric))
    for cost in costs:
        cells.append(count_or(results.number(arm.arm_id, f"{cost.metric}/mean"), cost.digits))
    return cells


def _gap(results: Results, family: str, arm: ArmRecord) -> str:
    """The best of a kind against the baseline; empty for the baseline itself."""
    gap = results.gap_to_baseline(arm.arm_id)
    if gap is None:
        return ""
    return f"The best {text(family)} against the baseline: {conclusions.gap_text(results, gap)}."
