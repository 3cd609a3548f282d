"""What the report and the cards say of a target precision."""

from __future__ import annotations

import math

from ablate.quoting import code
from ablate.reporting.predictions.target_precision import REACHED, SEEDS, VALUES
from ablate.reporting.results import Results
from ablate.reporting.text.markdown import bullets, join_sections, mean_sd, plural, table


def target_section(results: Results) -> str:
    """The operating point of every arm, in the order of the arms; empty where the grid asks for none."""
    record = results.record
    if record.target_precision is None:
        return ""
    names = {arm.arm_id: arm.name for arm in record.arms}
    rows = [
        [code(names[arm_id]), _reached(results, arm_id), *_values(results, arm_id)]
        for arm_id in results.arms["arm_id"]
    ]
    positive, wanted = (
        code(record.data.class_names[1]),
        f"a precision of {record.target_precision:g} on val",
    )
    how = (
        f"In each seed, the lowest threshold on the probability of {positive} that keeps {wanted}; "
        "precision and recall are of test at that threshold, where precision may be lower or higher. Mean ± SD over the seeds that have such a threshold."
    )
    missed = [
        f"{code(names[arm_id])}: {_missed(results, arm_id)}."
        for arm_id in results.arms["arm_id"]
        if _missed(results, arm_id)
    ]
    header = ["arm", "reached on val, seeds", "threshold", "test precision", "test recall"]
    return join_sections([f"## At {wanted}", how, table(header, rows), bullets(missed)]).rstrip()


def target_sentence(results: Results, arm_id: str) -> str:
    """The same of one arm in a sentence; empty where the grid asks for none."""
    record = results.record
    if record.target_precision is None:
        return ""
    threshold, precision, recall = _values(results, arm_id)
    missed = _missed(results, arm_id)
    n_reached = _count(results, arm_id, REACHED)
    told = (
        f"threshold {threshold}, test precision {precision}, test recall {recall} (mean ± SD over {plural(n_reached, 'seed')})"
        if n_reached
        else ""
    )
    said = "; ".join(filter(None, [told, missed])) or "no predictions of this arm could be read"
    positive = code(record.data.class_names[1])
    return f"At a precision of {record.target_precision:g} on val, with the lowest threshold on the probability of {positive} that keeps it there: {said}."


def _reached(results: Results, arm_id: str) -> str:
    return f"{_count(results, arm_id, REACHED)} of {_count(results, arm_id, SEEDS)}"


def _missed(results: Results, arm_id: str) -> str:
    n_seeds, n_reached = _count(results, arm_id, SEEDS), _count(results, arm_id, REACHED)
    return (
        f"not reachable on val in {n_seeds - n_reached} of {plural(n_seeds, 'seed')}"
        if n_reached < n_seeds
        else ""
    )


def _values(results: Results, arm_id: str) -> list[str]:
    return [
        mean_sd(
            results.number(arm_id, f"at_target/{name}/mean"),
            results.number(arm_id, f"at_target/{name}/sd"),
        )
        for name in VALUES
    ]


def _count(results: Results, arm_id: str, column: str) -> int:
    value = results.number(arm_id, column)
    return 0 if math.isnan(value) else int(value)
