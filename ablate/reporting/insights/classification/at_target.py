"""What the report and the cards say of a target precision."""

from __future__ import annotations

import math

from ablate.errors import plural
from ablate.quoting import code
from ablate.reporting.predictions.target_precision import REACHED, SEEDS, VALUES
from ablate.reporting.results import Results
from ablate.reporting.text.conclusions import metric_cell
from ablate.reporting.text.markdown import bullets, join_sections, table


def target_section(results: Results) -> str:
    """The operating point of every arm, in the order of the arms; empty where none is asked for."""
    record = results.record
    if record.target_precision is None:
        return ""
    # the threshold keeps it on val by construction; what it keeps on test is what the table shows
    target = f"a precision of {record.target_precision:g} on val"
    rows = []
    not_reached = []
    # best arm on val first, as in the table of arms
    for arm_id in results.arms["arm_id"]:
        reached = f"{_count(results, arm_id, REACHED)} of {_count(results, arm_id, SEEDS)}"
        rows.append([code(results.name(arm_id)), reached, *_values(results, arm_id)])
        if missed := _missed(results, arm_id):
            not_reached.append(f"{code(results.name(arm_id))}: {missed}.")
    note = (
        "For each seed, the lowest threshold on the probability of "
        f"{_positive(results)} that reaches {target}; precision and recall are those on test at "
        "that threshold, where precision may be lower or higher. Mean ± SD over the seeds that "
        "have such a threshold."
    )
    header = ["arm", "reached on val, seeds", "threshold", "test precision", "test recall"]
    parts = [f"## At {target}", note, table(header, rows), bullets(not_reached)]
    return join_sections(parts).rstrip()


def target_sentence(results: Results, arm_id: str) -> str:
    """The same of one arm in a sentence; empty where the grid asks for none."""
    target = results.record.target_precision
    if target is None:
        return ""
    # both may hold: some seeds reach the target, others do not
    outcomes = []
    if n_reached := _count(results, arm_id, REACHED):
        threshold, precision, recall = _values(results, arm_id)
        outcomes.append(
            f"threshold {threshold}, test precision {precision}, test recall {recall} "
            f"(mean ± SD over {plural(n_reached, 'seed')})"
        )
    if missed := _missed(results, arm_id):
        outcomes.append(missed)
    outcome = "; ".join(outcomes) or "no predictions of this arm could be read"
    return (
        f"At a precision of {target:g} on val, with the lowest threshold on the probability of "
        f"{_positive(results)} that reaches it there: {outcome}."
    )


def _positive(results: Results) -> str:
    """The class that precision and recall are of: the second of the two."""
    return code(results.record.data.class_names[1])


def _missed(results: Results, arm_id: str) -> str:
    n_seeds = _count(results, arm_id, SEEDS)
    n_missed = n_seeds - _count(results, arm_id, REACHED)
    if not n_missed:
        return ""
    return f"not reachable on val in {n_missed} of {plural(n_seeds, 'seed')}"


def _values(results: Results, arm_id: str) -> list[str]:
    return [metric_cell(results, arm_id, f"at_target/{name}") for name in VALUES]


def _count(results: Results, arm_id: str, column: str) -> int:
    value = results.number(arm_id, column)
    # no column, or none of the arm's predictions could be read
    if math.isnan(value):
        return 0
    return int(value)
