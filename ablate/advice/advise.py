"""From facts to a plan for a first study: one recommendation a field of the grid file."""

from __future__ import annotations

from collections.abc import Mapping

from ablate.advice.case import Case
from ablate.advice.facts import ImageSetFacts, MachineFacts
from ablate.advice.image_rules import IMAGE_RULES
from ablate.advice.recommendation import Advice, Recommendation
from ablate.advice.rule import Rule
from ablate.advice.sources import GIVEN
from ablate.advice.study_rules import STUDY_RULES
from ablate.advice.task_rules import TASK_RULES
from ablate.advice.training_rules import TRAINING_RULES
from ablate.advice.transfer_rules import BACKBONE_RULES, FREEZE_RULES, RATE_RULES

__all__ = ["RULES", "Advice", "Recommendation", "advise"]

RULES: tuple[Rule, ...] = (
    *TASK_RULES,
    *BACKBONE_RULES,
    *IMAGE_RULES,
    *FREEZE_RULES,
    *TRAINING_RULES,
    *RATE_RULES,
    *STUDY_RULES,
)
"""In the order in which fields are settled: a rule may look at fields above it."""
_SECTIONS = ("task", "data", "base", "axes", "seeds", "baseline", "select_by")
"""The order of a grid file."""


def advise(
    facts: ImageSetFacts, machine: MachineFacts, *, given: Mapping[str, object] | None = None
) -> Advice:
    """The plan that the rules give. Pure: the same facts give the same advice.

    `given` are fields (`base.epochs`) that are settled already: they are taken over, and the rules
    for other fields look at them.
    """
    settled: dict[str, object] = {}
    recommendations: list[Recommendation] = []
    for field, value in (given or {}).items():
        settled[field] = value
        recommendations.append(Recommendation(field, value, "it is given", GIVEN))
    for rule in RULES:
        case = Case(facts, machine, settled)
        # The first rule that holds has settled the field.
        if rule.field in settled or not rule.holds(case):
            continue
        recommendation = rule.applied(case)
        settled[rule.field] = recommendation.value
        recommendations.append(recommendation)
    # Stable: within a section, fields stay in the order in which they were settled.
    recommendations.sort(key=_place)
    return Advice(tuple(recommendations))


def _place(recommendation: Recommendation) -> int:
    section, _, _ = recommendation.field.partition(".")
    return _SECTIONS.index(section)
