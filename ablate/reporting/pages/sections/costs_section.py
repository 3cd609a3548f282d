"""The report on what arms cost, and which of them no other beats."""

from __future__ import annotations

from collections import defaultdict

from ablate.quoting import code
from ablate.reporting.evidence.pareto import COSTS, fronts, measured
from ablate.reporting.results import Results, ShowFigure, prose
from ablate.reporting.text.layout import folded, in_pairs
from ablate.reporting.text.markdown import bullets, count_or, join_sections, table


def costs_section(results: Results, show: ShowFigure) -> str:
    """The costs of every arm, the Pareto fronts of score and cost, and their figure."""
    costs = measured(results.arms)
    missing = []
    for cost in COSTS:
        # named, so that an empty place is not read as zero
        if cost not in costs:
            missing.append(cost.title)
    note = "Means over seeds."
    if missing:
        note += f" Not measured: {', '.join(missing)}."
    # what a reader decides by first, the reference for all arms folded below it
    pictured = in_pairs([show("cost"), _fronts(results)])
    listed = folded("Costs of every arm", _costs_table(results))
    return join_sections(["## Cost", note, pictured, listed]).rstrip()


def _costs_table(results: Results) -> str:
    costs = measured(results.arms)
    if not costs:
        return ""
    rows = []
    for arm_id in results.arms["arm_id"]:
        row = [code(results.name(arm_id))]
        for cost in costs:
            row.append(count_or(results.number(arm_id, f"{cost.metric}/mean"), cost.digits))
        rows.append(row)
    header = ["arm"]
    for cost in costs:
        header.append(cost.title)
    return table(header, rows)


def _fronts(results: Results) -> str:
    score = results.effects.primary
    # several costs of a network rise together, and then have one front
    costs_of_front: dict[str, list[str]] = defaultdict(list)
    for title, front in fronts(results.arms, metric=score).items():
        arms = ", ".join(code(results.name(arm_id)) for arm_id in front)
        costs_of_front[arms].append(title)
    lines = []
    for arms, titles in costs_of_front.items():
        lines.append(f"{prose(score)} against {'; '.join(titles)}: {arms}")
    if not lines:
        return ""
    heading = "Pareto front: arms that no other arm beats in both (by means; the cheapest first):"
    return f"{heading}\n\n{bullets(lines)}"
