"""What is searched and how: Optuna's samplers and pruners, as ablate sets them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PatientPruner,
    WilcoxonPruner,
)
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)

from ablate.grid.search_space import Search, SearchAxis
from ablate.streams import stream

# Optuna takes 32 bits.
_N_SEEDS = 2**32


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """What is searched, how, and with which seed the sampler draws."""

    search: Search
    space: Mapping[str, SearchAxis]
    select_by: str
    n_epochs: int
    """The most epochs of a trial."""
    seed: int

    @property
    def objectives(self) -> tuple[str, ...]:
        """The scores that are weighed, `select_by` first."""
        return self.search.objectives or (self.select_by,)


def sampler_of(plan: SearchPlan, *, n_past: int) -> BaseSampler:
    """The sampler that proposes the next trials, after `n_past` of earlier calls.

    A call that goes on draws from another place of the stream than the calls before it, or it would
    propose what they did; qmc has one set of points.
    """
    n_trials = plan.search.n_trials
    seed = stream(plan.seed, "search", n_past) % _N_SEEDS
    # Random proposals before a model of the scores is fitted to them.
    n_startup = min(10, max(2, n_trials // 4))
    match plan.search.sampler:
        case "random":
            return RandomSampler(seed=seed)
        case "tpe":
            # A constant liar: several slots ask before others have ended.
            return TPESampler(seed=seed, n_startup_trials=n_startup, constant_liar=True)
        case "gp":
            # Gaussian processes: for few trials over ranges; its time grows with the cube of the
            # trials.
            return GPSampler(seed=seed, n_startup_trials=n_startup)
        case "cma-es":
            # It moves ranges together; every other axis it draws by itself, which is said before
            # the search.
            return CmaEsSampler(
                seed=seed, n_startup_trials=n_startup, warn_independent_sampling=False
            )
        case "qmc":
            # The same points in every call: where the sequence goes on, `Proposals` knows.
            points = stream(plan.seed, "search", "points") % _N_SEEDS
            return QMCSampler(seed=points, scramble=True, warn_independent_sampling=False)
        case "nsga2":
            # A generation must end before the next one learns from it. Optuna's own 50 trials are
            # more than most searches have.
            return NSGAIISampler(seed=seed, population_size=max(4, n_trials // 5))


def pruner_of(plan: SearchPlan) -> BasePruner:
    """What ends hopeless trials early."""
    match plan.search.pruner:
        case "none":
            return NopPruner()
        case "median":
            # Optuna's default, less one start-up trial: searches here have tens of trials, not
            # hundreds. One epoch of grace, as the first says little.
            return MedianPruner(n_startup_trials=4, n_warmup_steps=1)
        case "hyperband":
            # By 3, the usual factor: of the trials of a rung a third goes on (Li et al., 2018).
            return HyperbandPruner(min_resource=1, max_resource=plan.n_epochs, reduction_factor=3)
        case "wilcoxon":
            # Optuna's default p.
            return WilcoxonPruner(p_threshold=0.1)
        case "patient":
            # One worse epoch is no verdict yet.
            return PatientPruner(MedianPruner(n_startup_trials=4), patience=1)
