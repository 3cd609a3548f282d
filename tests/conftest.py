"""What holds for every test: a slow machine is no failure."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Both bounds are of wall time, which says more of the machine's other work than of the code.
settings.register_profile(
    "any_machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any_machine")
