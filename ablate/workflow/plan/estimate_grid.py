"""What a study will cost on this machine, from a few measured steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ablate.errors import SpecError
from ablate.model.backbone_facts import RecipeFacts
from ablate.workflow.folders import Folders
from ablate.workflow.plan.estimate import cost_table, kinds_of
from ablate.workflow.plan.probe import estimate_lines, probe_kinds
from ablate.workflow.prepare.option_checks import check_workers
from ablate.workflow.prepare.prepared import Resolved


@dataclass(frozen=True, slots=True)
class Estimate:
    """The cost of a study."""

    rows: Sequence[Mapping[str, object]]
    """One per kind of arm, as text."""
    lines: Sequence[str]
    """The whole, and what it rests on."""


def estimate_grid(
    resolved: Resolved,
    facts: Mapping[str, RecipeFacts],
    folders: Folders,
    *,
    workers: int | None = None,
) -> Estimate:
    """Measure a few steps of each kind of arm. Raises SpecError, StoreError."""
    check_workers(workers)
    if not resolved.expansion.arms:
        raise SpecError(
            "a cost can be estimated where the arms are known; "
            "a search proposes them while it runs, plan it without an estimate"
        )
    kinds = kinds_of(resolved, dict(facts))
    probes = probe_kinds(resolved, kinds, folders, threads=1, workers=workers)
    rows = cost_table(resolved, kinds, probes.kinds)
    return Estimate(rows, estimate_lines(resolved, kinds, probes))
