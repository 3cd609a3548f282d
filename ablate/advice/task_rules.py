"""Which task a grid has."""

from __future__ import annotations

from ablate.advice.rule import Rule
from ablate.advice.sources import CONVENTION

TASK_RULES: tuple[Rule, ...] = (
    Rule(
        field="task",
        where="images have several labels",
        holds=lambda case: case.facts.has_several_labels,
        value="multilabel",
        why="each label is asked for on its own",
        source=CONVENTION,
    ),
    Rule(
        field="task",
        value="classification",
        why="each image has one label",
        source=CONVENTION,
    ),
)
