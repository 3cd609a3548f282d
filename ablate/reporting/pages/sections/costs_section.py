"""The report on what arms cost, and which of them no other beats."""

from __future__ import annotations

from ablate.quoting import code
from ablate.reporting.evidence.pareto import COSTS, fronts, measured
from ablate.reporting.results import Results, ShowFigure, prose
from ablate.reporting.text.markdown import bullets, count_or, join_sections, table


def costs_section(results: Results, show: ShowFigure) -> str:
    """The costs of every arm, the Pareto fronts of score and cost, and their figure."""
    costs = measured(results.arms)
    missing = [cost.title for cost in COSTS if cost not in costs]
    note = "Means over seeds."
    if missing:
        note += f" Not measured: {', '.join(missing)}."
    parts = ["## Cost", note, _costs_table(results), _fronts(results), show("cost")]
    return join_sections(parts).rstrip()


def _costs_table(results: Results) -> str:
    costs = measured(results.arms)
    if not costs:
        return ""
    rows = []
    for arm, arm_id in zip(results.arms["arm"], results.arms["arm_id"], strict=True):
        row = [code(arm)]
        for cost in costs:
            row.append(count_or(results.number(arm_id, f"{cost.metric}/mean"), cost.digits))
        rows.append(row)
    return table(["arm", *(cost.title for cost in costs)], rows)


def _fronts(results: Results) -> str:
    names = {arm.arm_id: arm.name for arm in results.record.arms}
    score = results.effects.primary
    lines = []
    for title, front in fronts(results.arms, metric=score).items():
        arms = ", ".join(code(names[arm_id]) for arm_id in front)
        lines.append(f"{prose(score)} against {title}: {arms}")
    if not lines:
        return ""
    heading = "Pareto front: arms that no other arm beats in both (by means; the cheapest first):"
    return f"{heading}\n\n{bullets(lines)}"
