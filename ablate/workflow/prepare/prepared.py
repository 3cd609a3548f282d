"""A study that is ready to run.

Everything that can go wrong before a study starts goes wrong here: nothing is trained until data,
backbones, stores and folders are right.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from ablate.recipe.policy import policy_word
from ablate.recipe.shown_part import ShownTo
from ablate.recipe.strategy import phases_of
from ablate.scheduling.executors.fork_server import ForkServer, Helper
from ablate.scheduling.executors.forking import named_function
from ablate.study.request import CacheSpec, Compute, TrialRequest
from ablate.study.trial import Trial
from ablate.study.view_identity import CLEAN, planned_trunk, train_views_name
from ablate.study.weights_identity import WeightsIdentity, weights_name
from ablate.workflow.folders import Folders
from ablate.workflow.prepare.check_arms import CheckedArms, check_arms
from ablate.workflow.prepare.cut_depths import cut_depths, waypoints_of
from ablate.workflow.prepare.image_stores import Progress, build_stores, with_pixel_facts
from ablate.workflow.prepare.network_facts import HelpedFacts, NetworkFacts
from ablate.workflow.prepare.own_splits import sides_of
from ablate.workflow.prepare.resolved import Resolved
from ablate.workflow.prepare.same_weights import check_same_weights
from ablate.workflow.prepare.seen_shares import seen_shares
from ablate.workflow.prepare.slot_threads import slot_threads
from ablate.workflow.prepare.study_folders import pilot_folder_of, study_folder
from ablate.workflow.prepare.writable import check_writable

CHOOSE_COMPUTE = "ablate.training.machine.precision:choose_compute"
"""By name: it brings torch, which this process may do without."""
DrawnViewsName = tuple[str, str, str, int]
"""Image store, side, policy and seed."""
_MANY_USERS = 2
"""Users of a view that the plan does not count, as those of a pilot: more than one."""


@dataclass(frozen=True)
class Prepared:
    """A study that is ready to run."""

    resolved: Resolved
    folder: Path
    """The study's own folder: journal, attempts, logs."""
    compute: Compute
    stores: Mapping[ShownTo, Path]
    """The image stores, by backbone and by how images are shown to it."""
    cache: CacheSpec
    """Where activations of frozen prefixes are kept.

    A bound of 0 GB computes those of each trial as if it were alone.
    """
    waypoints: dict[str, tuple[int, ...]]
    """arm_id -> smaller freeze depths at which other arms split the same trunk.

    Arms that a search proposes are not in it.
    """
    cut_arms: Mapping[str, str]
    """arm_id of a network that has a frozen prefix to share -> its pooling."""
    weights: Mapping[str, WeightsIdentity]
    """`weights_name` of a recipe -> what its trials start from."""

    def unit_of(self, trial: Trial) -> str | None:
        """The name of the trial's work unit, None where it shares nothing.

        Its trials need the same views of train through the same frozen trunk, wherever they split
        it.
        """
        # Nothing is kept, so no trial waits for another one's views.
        if self.cache.max_gb == 0 or trial.arm_id not in self.cut_arms:
            return None
        trunk = planned_trunk(
            trial.recipe,
            pooling=self.cut_arms[trial.arm_id],
            seed=trial.seed,
            weights=self.weights,
            compute=self.compute,
        )
        policy = policy_word(trial.recipe, source=trial.data.source)
        return train_views_name(trunk, policy=policy, seed=trial.seed)

    def request(self, trial: Trial, attempt: int, folder: Path) -> TrialRequest:
        """What an executor is handed for one try."""
        return TrialRequest(
            trial=trial,
            attempt=attempt,
            n_classes=len(self.resolved.data_set.facts.class_names),
            store_path=self._store_path(trial),
            folder=folder,
            compute=self.compute,
            sides=sides_of(trial, self.resolved.record, self.resolved.data_set),
            weights=self.weights.get(weights_name(trial.recipe)),
            cache=self._cache_of(trial),
        )

    def _cache_of(self, trial: Trial) -> CacheSpec:
        unit = self.unit_of(trial)
        # How many trials need the same views: the cache keeps augmented ones only for several.
        n_users = 1
        if unit is not None:
            n_users = self._unit_sizes.get(unit, _MANY_USERS)
        # Of a trial that a search proposes nobody knows who else draws its views.
        n_drawers = len(self._drawers.get(self._drawn_views(trial), ())) or 1
        sharing = {
            "waypoints": self.waypoints.get(trial.arm_id, ()),
            "n_users": n_users,
            "n_drawers": n_drawers,
        }
        return self.cache.model_copy(update=sharing)

    def _drawn_views(self, trial: Trial) -> DrawnViewsName | None:
        """Names a trial's views of train as images; None where it draws too few to keep them."""
        policy = policy_word(trial.recipe, source=trial.data.source)
        if policy == CLEAN or trial.recipe.shots is not None:
            return None
        image_size = str(trial.shown.image_size)
        return (str(self._store_path(trial)), image_size, policy, trial.seed)

    def _store_path(self, trial: Trial) -> Path:
        return self.stores[trial.recipe.backbone, trial.shown]

    @cached_property
    def _drawers(self) -> Mapping[DrawnViewsName | None, set[str]]:
        """Who draws which views: trials that train all of their network, and units of others."""
        drawers: defaultdict[DrawnViewsName | None, set[str]] = defaultdict(set)
        for trial in self.resolved.trials:
            name = self._drawn_views(trial)
            if name is None:
                continue
            unit = self.unit_of(trial)
            if unit is not None:
                drawers[name].add(unit)
            # In a later phase, all of it may be free.
            if unit is None or len(phases_of(trial.recipe)) > 1:
                drawers[name].add(trial.trial_id)
        return drawers

    @cached_property
    def _unit_sizes(self) -> Counter[str | None]:
        # Counted once: a conductor asks for the size of a unit at every trial that it starts.
        return Counter(map(self.unit_of, self.resolved.trials))


def prepare(
    resolved: Resolved,
    folders: Folders,
    *,
    report_dir: Path,
    threads: int | None,
    cache_gb: float,
    on_progress: Progress,
    fork_server: ForkServer | None = None,
) -> Prepared:
    """Check every arm, make the image stores, choose how to compute.

    `threads` of each trial; None leaves them to the rule of `slot_threads`. Raises RequestError
    for whatever would stop the study later.

    With `fork_server` networks are built and the machine is measured in processes of its own, the
    one beside the other and beside the decoding of images; this process then needs no torch.
    """
    # Folders first: it costs nothing, and a report that cannot be written is found out before
    # images are decoded for minutes.
    check_writable(report_dir)
    check_writable(folders.home)
    n_threads = slot_threads(threads, _study_folders(resolved, folders))
    measuring = None
    if fork_server is not None:
        measuring = fork_server.helper()
        # Begun here and asked for below: networks and images take longer than the measuring.
        measuring.begin(CHOOSE_COMPUTE, folders.home, threads=n_threads)
    arms = _check(resolved, folders, _networks(fork_server), on_progress=on_progress)
    stores = build_stores(resolved, arms, folders, on_progress=on_progress)
    compute = _choose_compute(folders, measuring, threads=n_threads, on_progress=on_progress)
    # Only now: what pixels tell is known when all of them were decoded.
    data = with_pixel_facts(resolved.record.data, stores)
    seen = {"data": data, "seen_shares": seen_shares(resolved, arms.facts)}
    record = resolved.record.model_copy(update=seen)
    return Prepared(
        replace(resolved, record=record),
        study_folder(record, folders),
        compute,
        stores,
        CacheSpec(folder=folders.home / "activations", max_gb=cache_gb),
        waypoints_of(resolved.arms_to_check, arms.facts, arms.weights, compute),
        _cut_arms(resolved, arms),
        arms.weights,
    )


def prepared_again(
    prepared: Prepared,
    resolved: Resolved,
    folders: Folders,
    *,
    on_progress: Progress,
    fork_server: ForkServer | None = None,
) -> Prepared:
    """The study after results have added arms to it: those are checked as the others were.

    It computes as before. Raises RequestError.
    """
    arms = _check(resolved, folders, _networks(fork_server), on_progress=on_progress)
    return replace(
        prepared,
        resolved=resolved,
        stores=build_stores(resolved, arms, folders, on_progress=on_progress),
        waypoints=waypoints_of(resolved.arms_to_check, arms.facts, arms.weights, prepared.compute),
        cut_arms=_cut_arms(resolved, arms),
        weights=arms.weights,
    )


def _networks(fork_server: ForkServer | None) -> NetworkFacts | None:
    """Where facts of networks come from; None: they are built in this process."""
    if fork_server is None:
        return None
    return HelpedFacts(fork_server.helper())


def _check(
    resolved: Resolved, folders: Folders, networks: NetworkFacts | None, *, on_progress: Progress
) -> CheckedArms:
    n_arms = len(resolved.arms_to_check)
    on_progress("checking arms", 0, n_arms)
    # Built anew, never from what a plan has remembered: a run must be sure.
    arms = check_arms(resolved, networks=networks)
    check_same_weights(resolved, folders, arms.weights)
    on_progress("checking arms", n_arms, n_arms)
    return arms


def _study_folders(resolved: Resolved, folders: Folders) -> list[Path]:
    """The folders of the pilot, where there is one, and of the study, in the order they run in."""
    folder = study_folder(resolved.record, folders)
    if resolved.pilot is None:
        return [folder]
    return [pilot_folder_of(folder, resolved.pilot.record), folder]


def _choose_compute(
    folders: Folders, measuring: Helper | None, *, threads: int, on_progress: Progress
) -> Compute:
    """What `measuring` was asked to find out, or measured now where that is None."""
    on_progress("measuring this machine", 0, 1)
    compute: Compute
    if measuring is None:
        compute = named_function(CHOOSE_COMPUTE)(folders.home, threads=threads)
    else:
        compute = measuring.end()
        # Its process holds a GPU's memory, which the first trial will want.
        measuring.close()
    on_progress("measuring this machine", 1, 1)
    return compute


def _cut_arms(resolved: Resolved, arms: CheckedArms) -> dict[str, str]:
    """arm_id -> pooling, of the arms that have a frozen prefix in some phase."""
    pooling_of = {}
    for arm in resolved.arms_to_check:
        facts = arms.facts[arm.arm_id]
        # In any phase: one that frees everything later still shares its first.
        if max(cut_depths(arm.recipe, facts)) > 0:
            pooling_of[arm.arm_id] = facts.pooling
    return pooling_of
