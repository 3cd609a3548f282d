"""What a grid would train: the one function behind `ablate plan` and `ablate.plan`.

Trains nothing. A plan of networks that were built before needs neither torch nor pandas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ablate.grid.arm_names import level_word
from ablate.grid.grid_file import Grid
from ablate.grid.seeds import check_seeds
from ablate.model.backbone_facts import RecipeFacts
from ablate.study.record import ArmRecord
from ablate.workflow.commands import run_command
from ablate.workflow.folders import Folders
from ablate.workflow.plan.sharing import SharedPasses, sharing_table
from ablate.workflow.prepare.check_arms import check_arms
from ablate.workflow.prepare.network_facts import CachedFacts, NetworkFacts
from ablate.workflow.prepare.resolved import Resolved, resolve
from ablate.workflow.prepare.same_weights import check_same_weights
from ablate.workflow.prepare.seen_shares import seen_shares

if TYPE_CHECKING:
    import pandas as pd

    from ablate.workflow.plan.estimate_grid import Estimate
    from ablate.workflow.plan.prospects import Prospects

Rows = Sequence[Mapping[str, object]]


@dataclass(frozen=True)
class Plan:
    """A grid on its data, and what is known of its networks before any is trained."""

    resolved: Resolved
    facts: Mapping[str, RecipeFacts]
    """By arm_id."""
    folders: Folders
    networks: NetworkFacts

    @property
    def grid(self) -> Grid:
        """What was asked."""
        return self.resolved.grid

    @property
    def n_trials(self) -> int:
        """Trials of the study; 0 for a search, whose arms are known after it."""
        return len(self.resolved.trials)

    @property
    def planned_arms(self) -> Sequence[ArmRecord]:
        """The arms of the study; for a search, some that it may propose."""
        return self.resolved.expansion.arms or self.resolved.arms_to_check

    @property
    def arm_rows(self) -> Rows:
        """One row per arm; the columns are declared in `columns.PLANNED_ARMS`."""
        baseline = self.resolved.record.baseline_arm_id
        rows = []
        for arm in self.planned_arms:
            facts = self.facts[arm.arm_id]
            rows.append(
                {
                    "arm": arm.name,
                    "arm_id": arm.arm_id,
                    "is_baseline": arm.arm_id == baseline,
                    "n_cells": len(arm.cells),
                    "freeze_depth": facts.depth,
                    "n_units": facts.n_units,
                    "n_trainable": facts.n_trainable,
                    "n_parameters": facts.n_parameters,
                }
            )
        return rows

    @property
    def arms(self) -> pd.DataFrame:
        """`arm_rows` as a DataFrame."""
        import pandas as pd

        return pd.DataFrame(list(self.arm_rows))

    @property
    def left_out(self) -> Rows:
        """One row per cell of the grid that is not trained: cell, why."""
        rows = []
        for excluded in self.resolved.expansion.excluded:
            # As names of arms spell them.
            levels = [f"{axis}={level_word(level)}" for axis, level in excluded.cell.items()]
            rows.append({"cell": ", ".join(levels), "why": excluded.why})
        return rows

    @property
    def shared(self) -> Rows:
        """One row per frozen prefix: which trials share it, and what that saves, as text."""
        return self._sharing[0]

    @property
    def passes(self) -> SharedPasses:
        """Passes of an image through frozen prefixes, alone and together."""
        return self._sharing[1]

    @cached_property
    def _sharing(self) -> tuple[Rows, SharedPasses]:
        if not self.resolved.expansion.arms:
            return [], SharedPasses(0, 0)
        return sharing_table(self.resolved, self.facts, networks=self.networks)

    @property
    def seen_shares(self) -> dict[str, float]:
        """arm_id -> share of an image's pixels that val and test show it; empty if unknown."""
        return seen_shares(self.resolved, self.facts)

    @property
    def warnings(self) -> list[str]:
        """What a user should know of the arms before they are trained."""
        lines = []
        for arm in self.resolved.expansion.arms:
            larger = self.facts[arm.arm_id].oversized
            if larger:
                # Three say what is wrong; a ViT has dozens of layers alike.
                shown = [f"{name}: {sizes}" for name, sizes in list(larger.items())[:3]]
                lines.append(
                    f"warning: arm {arm.name} has adapters with more parameters than the layer "
                    f"they adapt, {len(larger)} in all ({'; '.join(shown)})"
                )
        return lines

    def estimate(self, *, workers: int | None = None) -> Estimate:
        """Measure a few steps of each kind of arm on this machine, and estimate the study's cost.

        Raises SpecError where the arms are not known yet, StoreError where a measurement fails.
        """
        from ablate.workflow.plan.estimate_grid import estimate_grid

        return estimate_grid(self.resolved, self.facts, self.folders, workers=workers)

    def prospects(self, estimate: Estimate | None = None) -> Prospects | None:
        """What the design can show, and what more seeds would cost; None for a search.

        Times are those of `estimate`, or of earlier studies on the same data.
        """
        record = self.resolved.record
        # A search has neither: what its design can show depends on what it will propose.
        if not record.arms or not record.baseline_arm_id:
            return None
        # numpy and scipy take a moment to import, and a plan of a search needs neither.
        from ablate.workflow.plan.past_studies import past_studies
        from ablate.workflow.plan.prospects import prospects_of

        probed_s = None
        if estimate is not None:
            probed_s = estimate.trial_s
        past = past_studies(self.folders, record)
        return prospects_of(self.grid, record, past, probed_s=probed_s)

    def __repr__(self) -> str:
        return (
            f"Plan of grid {self.grid.name}: {len(self.planned_arms)} arms, {self.n_trials} trials"
        )

    def _repr_html_(self) -> str:
        from ablate.workflow.notebook import page

        facts = self.resolved.data_set.facts
        n_images = sum(facts.n_images.values())
        lines = [
            f"{facts.title}: {len(facts.class_names)} classes, {n_images} images",
            f"{len(self.planned_arms)} arms, {self.n_trials} trials, "
            f"{len(self.left_out)} cells left out",
        ]
        if self.passes.together:
            lines.append(
                f"{self.passes.together:,} of {self.passes.alone:,} passes through frozen "
                "prefixes remain after sharing"
            )
        arms = self.arms.drop(columns="arm_id")
        return page(f"Plan of grid {self.grid.name}", self.grid.question, lines, arms)


def plan_grid(
    grid: Grid,
    folders: Folders,
    *,
    seeds: tuple[int, ...] | None = None,
    allow_fallback: bool = True,
) -> Plan:
    """Find the data, expand the grid on it, and look at every network. Raises RequestError."""
    if seeds is not None:
        check_seeds(seeds)
    # As `--seeds` takes them: the plan names the command that runs it.
    seeds_text = None
    if seeds is not None:
        seeds_text = ",".join(map(str, seeds))
    resolved = resolve(
        grid,
        folders,
        seeds=seeds,
        allow_fallback=allow_fallback,
        command=run_command(grid.name, seeds=seeds_text, settings=grid.settings),
    )
    # A plan may take remembered answers; a run builds every network anew.
    networks = CachedFacts(folders.home / "looks")
    arms = check_arms(resolved, networks=networks)
    check_same_weights(resolved, folders, arms.weights)
    return Plan(resolved, arms.facts, folders, networks)
