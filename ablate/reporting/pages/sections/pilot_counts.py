"""How the trials of a pilot ended."""

from __future__ import annotations

from collections import Counter

from ablate.reporting.text.markdown import plural
from ablate.study.pilot_record import Pilot


def counts_text(pilot: Pilot) -> str:
    """`5 of 6 trials: 4 complete, 1 pruned; the search space was exhausted`."""
    counts = Counter(trial.state for trial in pilot.trials)
    # by name, so that the order does not depend on which trial ended first
    states = ", ".join(f"{counts[state]} {state.lower()}" for state in sorted(counts))
    ended = f"{len(pilot.trials)} of {plural(pilot.n_asked, 'trial')}: {states}"
    if len(pilot.trials) < pilot.n_asked:
        return f"{ended}; the search space was exhausted"
    return ended
