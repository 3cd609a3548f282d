"""Fresh seeds in words, for the section on them, the first screen and the summary."""

from __future__ import annotations

import math

from ablate.errors import plural
from ablate.grid.seeds import seeds_text
from ablate.quoting import code
from ablate.reporting.evidence.confirmed import Confirmed
from ablate.reporting.results import Results
from ablate.reporting.text.effect_sentences import interval_text
from ablate.reporting.text.markdown import points


def chosen_sentence(results: Results, confirmed: Confirmed) -> str:
    """Who was chosen, and by which seeds; says so where the study has another best arm by now."""
    choice = confirmed.choice
    noun = "seed" if len(choice.chosen_with) == 1 else "seeds"
    by = f"by the trials with {noun} {seeds_text(choice.chosen_with)}"
    best = code(results.name(choice.champion_arm_id))
    chosen = f"The best arm on val, {best}, was chosen {by}"
    if choice.cheapest_arm_id is not None:
        cheapest = code(results.name(choice.cheapest_arm_id))
        chosen += f", and so was {cheapest}, the cheapest of the arms that may be the best"
    if is_of_champion(results, confirmed):
        return f"{chosen}."
    # `is_of_champion` holds without a champion
    assert results.champion is not None
    now = code(results.name(results.champion.arm_id))
    return (
        f"{chosen}. **Trials that were added since make another arm the best, {now}: "
        "it is not the one that is confirmed here.**"
    )


def is_of_champion(results: Results, confirmed: Confirmed) -> bool:
    """Whether the arm that was confirmed is still the best on val."""
    champion = results.champion
    return champion is None or champion.arm_id == confirmed.choice.champion_arm_id


def fresh_seeds_text(confirmed: Confirmed) -> str:
    """`10000 to 10004`."""
    # fresh seeds are consecutive, see `StudyRecord.fresh_seeds`
    seeds = sorted(set(confirmed.trials["seed"]))
    return f"{seeds[0]} to {seeds[-1]}"


def confirmation_line(results: Results) -> str:
    """The confirmation in one line for the first screen; empty where nothing is confirmed."""
    confirmed = results.confirmed
    if confirmed is None:
        return ""
    whose = ""
    if not is_of_champion(results, confirmed):
        whose = f" of {code(results.name(confirmed.choice.champion_arm_id))}, then the best arm"
    fresh = confirmed.of_champion
    if fresh is None:
        return f"{plural(_n_asked(confirmed), 'fresh seed')}{whose}: for the cheapest arm, below"
    n_seeds = fresh.judged.estimate.n_seeds
    # the pair has as many seeds as completed in both arms
    if n_seeds < _n_asked(confirmed):
        whose += f" ({n_seeds} of {_n_asked(confirmed)} complete)"
    if math.isnan(fresh.judged.low):
        return f"fresh seeds{whose}: nothing can be said yet"
    return (
        f"{plural(n_seeds, 'fresh seed')}{whose}: **{fresh.judged.verdict.value}**, "
        f"{points(fresh.judged.estimate.value)} points to the baseline "
        f"({interval_text(fresh.judged)})"
    )


def card_sentence(results: Results, arm_id: str) -> str:
    """The confirmation for the card of the arm that it is of; empty for every other arm."""
    confirmed = results.confirmed
    if confirmed is None or confirmed.of_champion is None:
        return ""
    # Also where another arm is the best by now: the confirmation stays with its arm.
    if confirmed.choice.champion_arm_id != arm_id:
        return ""
    judged = confirmed.of_champion.judged
    seeds = f"seeds {fresh_seeds_text(confirmed)}, which had no part in its choice"
    if math.isnan(judged.low):
        return f"Fresh seeds ({seeds}): nothing can be said yet."
    return (
        f"With fresh seeds ({seeds}; {judged.estimate.n_seeds} of {_n_asked(confirmed)} complete): "
        f"**{judged.verdict.value}**, {points(judged.estimate.value)} points to the baseline "
        f"({interval_text(judged)})."
    )


def _n_asked(confirmed: Confirmed) -> int:
    return confirmed.trials["seed"].nunique()
