"""The JSON documents of commands whose values hold more than a program needs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ablate.reporting.pages.write import ReportPaths
    from ablate.tracking.records import PublishedStudy
    from ablate.workflow.advice.advised import Advised
    from ablate.workflow.after.studies import Standing
    from ablate.workflow.plan.estimate_grid import Estimate
    from ablate.workflow.plan.plan_grid import Plan
    from ablate.workflow.run.run_grid import RunOutcome

Document = dict[str, object]


def run_document(outcome: RunOutcome) -> Document:
    """What a call of `ablate run` has achieved."""
    # The names are an interface: programs read them, and tests hold them still.
    record = outcome.context.record
    document: Document = {
        "grid": record.grid_name,
        "study_id": record.study_id,
        "is_complete": outcome.is_complete,
        "trials": outcome.summary,
        "pilot": outcome.pilot,
        "second_stage": outcome.second_stage,
        # Empty until a report is written: the keys of a document never depend on how a call ended.
        "arms": [],
        "report": None,
    }
    if outcome.study is not None and outcome.report is not None:
        document |= report_document(outcome.study, outcome.report)
    return document


def report_document(study: PublishedStudy, report: ReportPaths) -> Document:
    """A report that was written, and the arms of its study."""
    # pandas: only documents with tables wait for it.
    from ablate.reporting.evidence.frames import arm_frame, trial_frame

    return {
        "grid": study.record.grid_name,
        "study_id": study.record.study_id,
        "arms": arm_frame(study, trial_frame(study)),
        "report": {"readme": report.readme, "files": report.files},
    }


def status_document(standing: Standing) -> Document:
    """How a study stands: the fields of its trials' status, and `report` beside them."""
    # Flat, as it was before there was a report in it.
    return {**asdict(standing.trials), "report": standing.report}


def plan_document(plan: Plan, estimate: Estimate | None) -> Document:
    """What a grid would train."""
    resolved = plan.resolved
    pilot = None
    if resolved.pilot is not None:
        pilot = resolved.pilot.record.stage
    return {
        "grid": plan.grid.name,
        "question": plan.grid.question,
        "study_id": resolved.record.study_id,
        "data": resolved.data_set.facts,
        "seeds": resolved.record.seeds,
        "n_cells": resolved.expansion.n_cells,
        "n_trials": plan.n_trials,
        "pilot": pilot,
        "arms": plan.arm_rows,
        "left_out": plan.left_out,
        "shared": plan.shared,
        "passes": plan.passes,
        "warnings": plan.warnings,
        "estimate": estimate,
        "prospects": plan.prospects(estimate),
    }


def advice_document(advised: Advised, estimate: Estimate | None) -> Document:
    """A plan for a first study: what it rests on, each value with its reason, and a grid file."""
    return {
        "target": advised.target.name,
        "data": advised.data_set.facts,
        "facts": advised.facts,
        "machine": advised.machine,
        "recommendations": advised.advice.recommendations,
        "grid": advised.document,
        "cost": advised.cost,
        "estimate": estimate,
    }
