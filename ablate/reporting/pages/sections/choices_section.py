"""The report on what each choice of the best arm is worth."""

from __future__ import annotations

from ablate.quoting import code
from ablate.reporting.evidence.choices import Choice
from ablate.reporting.results import NOT_MEASURED, Results, ShowFigure, prose
from ablate.reporting.text.effect_sentences import verdict_cell
from ablate.reporting.text.markdown import interval_in_points, join_sections, points, table
from ablate.study.arm_record import arms_by_id

_HEADER = ("axis", "best arm", "instead of", "other arm", "worth, points", "interval", "verdict")


def choices_section(results: Results, _show: ShowFigure) -> str:
    """One row per neighbour; says so where none was trained, empty without a best arm."""
    heading = "## What each choice of the best arm is worth"
    if results.champion is None:
        return ""
    if not results.choices:
        return (
            f"{heading}\n\n{NOT_MEASURED.capitalize()}: no arm differs from it in one axis alone."
        )
    # the sign must be clear: positive is good for the best arm
    note = (
        f"The best arm, {code(results.name(results.champion.arm_id))}, less the arm that differs "
        f"from it in one axis, in points of {prose(results.effects.primary)}, paired by seed. "
        "These intervals hold together with the other verdicts of this report, in 95 % of such "
        "studies. Rows with ◆ are compared elsewhere in the report too, and have the same answer "
        "there."
    )
    if results.added is not None:
        note += (
            " Arms marked ＋ were added after the results of the others, to complete this table."
        )
    added = arms_by_id(results.record.added_arms)
    rows = []
    for choice in results.choices:
        mark = ""
        # an added arm is compared nowhere else, so one place for a mark is enough
        if choice.is_shared:
            mark = " ◆"
        if choice.neighbour.arm_id in added:
            mark = " ＋"
        rows.append(_row(results, choice, mark))
    return join_sections([heading, note, table(_HEADER, rows, n_text_columns=4)]).rstrip()


def _row(results: Results, choice: Choice, mark: str) -> list[str]:
    neighbour = choice.neighbour
    judged = choice.judged
    return [
        code(neighbour.axis),
        code(neighbour.chosen),
        code(neighbour.level),
        f"{code(results.name(neighbour.arm_id))}{mark}",
        points(judged.estimate.value),
        # one shared seed: a difference without an interval
        interval_in_points(judged.low, judged.high) or NOT_MEASURED,
        verdict_cell(judged),
    ]
