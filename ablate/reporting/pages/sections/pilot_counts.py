"""How the trials of a pilot ended."""

from __future__ import annotations

from collections import Counter

from ablate.reporting.text.markdown import plural
from ablate.study.pilot_record import Pilot


def counts_text(pilot: Pilot) -> str:
    """`5 of 6 trials: 4 complete, 1 pruned; the space had no more to propose`."""
    counts = Counter(trial.state for trial in pilot.trials)
    states = ", ".join(f"{counts[state]} {state.lower()}" for state in sorted(counts))
    few = "; the search space was exhausted" if len(pilot.trials) < pilot.n_asked else ""
    return f"{len(pilot.trials)} of {plural(pilot.n_asked, 'trial')}: {states}{few}"
