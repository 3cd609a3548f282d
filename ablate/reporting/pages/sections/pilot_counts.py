"""How the trials of a pilot ended."""

from __future__ import annotations

from collections import Counter

from ablate.errors import plural
from ablate.study.pilot_record import Pilot


def counts_text(pilot: Pilot) -> str:
    """`5 of 6 trials: 4 complete, 1 pruned; the search space was exhausted`."""
    counts = Counter(trial.state for trial in pilot.trials)
    # by name, so that the order does not depend on which trial ended first
    states = [f"{n_trials} {state.lower()}" for state, n_trials in sorted(counts.items())]
    ended = f"{len(pilot.trials)} of {plural(pilot.n_asked, 'trial')}: {', '.join(states)}"
    if len(pilot.trials) < pilot.n_asked:
        return f"{ended}; the search space was exhausted"
    return ended
