"""The rules as a Markdown table: `docs/advice.md` holds it, and a test compares the two."""

from __future__ import annotations

import json

from ablate.advice.advise import RULES
from ablate.advice.rule import Rule


def _cell(text: str) -> str:
    # A bar would end the cell of a Markdown table.
    return text.replace("|", "/")


def rule_table() -> str:
    """One row a rule, in the order in which they are asked."""
    rows = ["| field | where | value | why | source |", "|---|---|---|---|---|"]
    for rule in RULES:
        cells = [f"`{rule.field}`", rule.where, _value(rule), rule.why, rule.source]
        rows.append(f"| {' | '.join(map(_cell, cells))} |")
    return "\n".join(rows) + "\n"


def _value(rule: Rule) -> str:
    # What is computed is told in words, anything else as a grid file has it.
    if rule.finds is not None:
        return str(rule.value)
    if isinstance(rule.value, str):
        return f"`{rule.value}`"
    return f"`{json.dumps(rule.value)}`"
