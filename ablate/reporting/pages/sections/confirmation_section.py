"""The report on fresh seeds: whether what the study chose holds where nothing was chosen."""

from __future__ import annotations

from ablate.errors import plural
from ablate.quoting import code
from ablate.reporting.evidence.confirmed import Confirmed, FreshGap
from ablate.reporting.results import NOT_MEASURED, Results, ShowFigure, prose
from ablate.reporting.text.confirmation_sentences import chosen_sentence, fresh_seeds_text
from ablate.reporting.text.markdown import interval_in_points, join_sections, points, table

_HEADER = ("fresh seeds", "less", "difference, points", "interval", "verdict", "seeds")


def confirmation_section(results: Results, _show: ShowFigure) -> str:
    """One row per comparison; empty where nothing is confirmed."""
    confirmed = results.confirmed
    if confirmed is None:
        return ""
    # at most two: the best arm less the baseline, the cheapest less the best
    rows = [_row(results, fresh) for fresh in confirmed.gaps]
    parts = [
        "## Confirmed with fresh seeds",
        f"{chosen_sentence(results, confirmed)} {_note(results, confirmed)}",
        table(_HEADER, rows, n_text_columns=2),
    ]
    return join_sections(parts).rstrip()


def _note(results: Results, confirmed: Confirmed) -> str:
    # as far as it has come: a report may be written before the last fresh trial ends
    trials = plural(len(confirmed.trials), "trial")
    return (
        f"Then they were trained with fresh seeds ({fresh_seeds_text(confirmed)}); "
        f"{confirmed.n_complete} of {trials} complete. These seeds had no part in the choice, so "
        "a difference over them owes nothing to having been chosen, and they are in no other "
        f"table. In points of {prose(results.effects.primary)}, by one t test each, paired by "
        "fresh seed; an interval holds by itself in 95 % of such studies."
    )


def _row(results: Results, fresh: FreshGap) -> list[str]:
    judged = fresh.judged
    # no fresh seed has completed in both arms yet
    difference = NOT_MEASURED
    if judged.estimate.n_seeds:
        difference = points(judged.estimate.value)
    return [
        f"{fresh.what} {code(results.name(fresh.arm_id))}",
        code(results.name(fresh.against)),
        difference,
        interval_in_points(judged.low, judged.high) or NOT_MEASURED,
        judged.verdict.value,
        str(judged.estimate.n_seeds),
    ]
