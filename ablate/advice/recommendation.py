"""What the rules give: one value a field of the grid file, and why."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One value of a grid file, and why."""

    field: str
    """Dotted, as in a grid file: `data.image_size`, `base.epochs`, `axes.freeze_depth`, `seeds`."""
    value: object
    """As `yaml.safe_load` would give it: text, number, bool, None, list or dict."""
    why: str
    """A sentence with the numbers that decided, for a comment or a table."""
    source: str
    """Where the rule comes from: a paper, or a report of this repository."""
    alternatives: tuple[object, ...] = ()
    """Values that the rules see as next best, the best first."""


@dataclass(frozen=True, slots=True)
class Advice:
    """All recommendations, in the order of a grid file: task, data, base, axes, seeds, ...

    `task`, `seeds`, `baseline` and `select_by` are fields of their own. What a grid file says of
    splits and groups is not among them: that follows from the images, and not from a rule.
    """

    recommendations: tuple[Recommendation, ...]

    def value(self, field: str) -> object:
        """The value recommended for a field; None where nothing is recommended."""
        for recommendation in self.recommendations:
            if recommendation.field == field:
                return recommendation.value
        return None

    def below(self, section: str) -> dict[str, object]:
        """Fields and values of one section, without its name: `data`, `base`, `axes`."""
        values = {}
        for recommendation in self.recommendations:
            start, dot, name = recommendation.field.partition(".")
            if dot and start == section:
                values[name] = recommendation.value
        return values
