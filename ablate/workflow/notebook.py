"""Plans and studies as HTML, for notebooks."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from ablate.workflow.plan.plan_grid import Plan
    from ablate.workflow.study import Study

_MOST_ROWS = 50
_SCORE = re.compile(r"(val|test)/.+/(mean|sd)")


def plan_html(plan: Plan) -> str:
    """The arms of a plan, and what is shared."""
    facts = plan.resolved.data_set.facts
    lines = [
        f"{facts.title}: {len(facts.class_names)} classes, {sum(facts.n_images.values())} images",
        f"{len(plan.planned_arms)} arms, {plan.n_trials} trials, "
        f"{len(plan.left_out)} cells left out",
    ]
    if plan.passes.together:
        lines.append(
            f"{plan.passes.together:,} of {plan.passes.alone:,} passes through frozen prefixes "
            "remain after sharing"
        )
    arms = plan.arms.drop(columns="arm_id")
    return _page(f"Plan of grid {plan.grid.name}", plan.grid.question, lines, arms)


def study_html(study: Study, arms: pd.DataFrame) -> str:
    """The arms of a study with their scores. `arms` is an arm frame."""
    states = study.trials["state"].value_counts()
    counts = [f"{count} {state}" for state, count in states.items()]
    scores = [name for name in map(str, arms) if _SCORE.fullmatch(name)]
    shown = arms[["arm", "is_baseline", "is_champion", "n_seeds", *scores]]
    record = study.record
    return _page(
        f"Study of grid {study.grid_name}", record.question, [f"trials: {', '.join(counts)}"], shown
    )


def _page(title: str, question: str, lines: list[str], table: pd.DataFrame) -> str:
    parts = [f"<h4>{escape(title)}</h4>"]
    if question:
        parts.append(f"<p><em>{escape(question)}</em></p>")
    parts += [f"<p>{escape(line)}</p>" for line in lines]
    parts.append(
        table.head(_MOST_ROWS).to_html(index=False, float_format="{:.3f}".format, border=0)
    )
    if len(table) > _MOST_ROWS:
        parts.append(f"<p>... and {len(table) - _MOST_ROWS} more rows</p>")
    return "\n".join(parts)
