"""All that a run can be asked for besides its grid: one value, for the command and the library."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ablate.grid.seeds import check_seeds, seeds_text
from ablate.scheduling.limits import Limits
from ablate.workflow.prepare.machines import Kind, Machines, parse_kind
from ablate.workflow.prepare.option_checks import (
    check_cache_gb,
    check_retries,
    check_threads,
    check_workers,
    read_trials_per_gpu,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a study is run. The defaults are those of `ablate run`."""

    seeds: tuple[int, ...] | None = None
    """Seeds instead of the grid's."""
    report_dir: Path | str | None = None
    """Where the report goes; None: `reports/<grid>`."""
    has_images: bool = True
    """Whether the report and MLflow show example images."""
    allow_fallback: bool = True
    """Whether the grid's fallback data set may stand in for data that are not available."""
    executor: Kind = "local"
    """`inline` runs trials in this process, where a debugger reaches them."""
    address: str | None = None
    """Of a Ray cluster; None: `$RAY_ADDRESS`."""
    workers: int | None = None
    """Slots at most; None: one per GPU, else as many as fit cores and memory."""
    threads: int | None = None
    """CPU threads of a slot; None: as the study began, else 1."""
    trials_per_gpu: int | str = 1
    """Trials that share a GPU, or "auto"."""
    cache_gb: float = 20.0
    """Bound on stored activations of frozen prefixes; 0 shares nothing between trials."""
    max_trials: int | None = None
    """Trials that this call starts at most."""
    budget_s: float | None = None
    """No trial starts that would end later than this, in seconds from now."""
    trial_timeout_s: float | None = None
    """A trial that takes longer has hung."""
    retries: int = 2
    """More attempts for a trial whose worker died or hung."""
    only_failed: bool = False
    """Run only trials that failed last time."""

    def check(self) -> None:
        """Raises SpecError for what no machine can keep."""
        kind = parse_kind(self.executor, address=self.address, workers=self.workers)
        check_threads(self.threads)
        check_workers(self.workers, is_local=kind != "ray")
        check_cache_gb(self.cache_gb)
        check_retries(self.retries)
        if self.seeds is not None:
            check_seeds(self.seeds)
        read_trials_per_gpu(str(self.trials_per_gpu))

    @property
    def limits(self) -> Limits:
        """How much one call may do."""
        return Limits(
            retries=self.retries,
            max_trials=self.max_trials,
            budget_s=self.budget_s,
            only_failed=self.only_failed,
        )

    @property
    def machines(self) -> Machines:
        """Where trials run, before it is known how many share a GPU."""
        return Machines(self.executor, self.address, self.workers, self.trial_timeout_s)

    @property
    def seeds_text(self) -> str | None:
        """As `--seeds` takes them; None for the grid's own."""
        if self.seeds is None:
            return None
        return seeds_text(self.seeds)
