"""Everything that can go wrong before a study starts goes wrong here: nothing is trained until data, backbones, stores and folders are right."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from operator import attrgetter
from pathlib import Path

from ablate.data.dataset import DataSet, load_data
from ablate.errors import SpecError, StoreError
from ablate.grid.expand import Expansion, expand, noise_seeds, study_record, study_trials
from ablate.grid.grid_file import Grid
from ablate.grid.pilot_arms import (
    Candidate,
    candidates,
    check_pilot_seed,
    pilot_record,
    probe_arms,
    tuning_arms,
)
from ablate.model.backbone_facts import RecipeFacts
from ablate.recipe.class_weight_rules import check_class_weights
from ablate.recipe.one_image import asks_for_one_image, one_image_mistake
from ablate.recipe.policy import is_cropped, policy_word
from ablate.recipe.recipe import Recipe
from ablate.study.record import ArmRecord, StudyRecord
from ablate.study.request import CacheSpec, Compute, TrialRequest
from ablate.study.tasks import task_of
from ablate.study.trial import DataSpec, Trial
from ablate.study.view_identity import planned_trunk, train_views_name
from ablate.study.weights_identity import WeightsIdentity, weights_name
from ablate.workflow.folders import Folders
from ablate.workflow.prepare.cut_depths import cut_depths, waypoints_of
from ablate.workflow.prepare.equal_arms import check_depths_differ
from ablate.workflow.prepare.network_facts import Direct, Looks
from ablate.workflow.prepare.same_weights import check_weights_of_past

_FORMLESS = {
    name: Recipe.model_fields[name].default
    for name in (
        "head_lr",
        "lr_ratio",
        "optimizer",
        "momentum",
        "weight_decay",
        "schedule",
        "warmup",
        "batch_size",
        "augment",
        "label_smoothing",
        "class_weights",
    )
}
"""Fields on which the form of a network does not depend: arms that differ in nothing else are looked at once."""
_form = attrgetter(*(name for name in Recipe.model_fields if name not in _FORMLESS))

Progress = Callable[[str, int, int], None]
"""Takes (what is done, done, total)."""


@dataclass(frozen=True)
class Resolved:
    """A grid on the data that is really there."""

    grid: Grid
    data: DataSpec
    data_set: DataSet
    expansion: Expansion
    record: StudyRecord
    trials: tuple[Trial, ...]
    """Empty for a search: what is trained with all seeds is known after it."""
    pilot: PilotPlan | None = None

    @property
    def arms_to_check(self) -> tuple[ArmRecord, ...]:
        """Arms that must be right before anything starts: those of the grid, and what its pilot tries."""
        arms = self.expansion.arms + (() if self.pilot is None else self.pilot.arms_to_check)
        return tuple({arm.arm_id: arm for arm in arms}.values())


@dataclass(frozen=True)
class PilotPlan:
    """A search or a tuning that comes before the study."""

    record: StudyRecord
    """What the pilot is, as a study."""
    arms_to_check: tuple[ArmRecord, ...]
    """The arms of a tuning; for a search, some that together take every level of its axes."""
    tuning: tuple[Candidate, ...] | None
    """The trials of a tuning; None for a search, which proposes its own."""


@dataclass(frozen=True)
class Prepared:
    """A study that is ready to run."""

    resolved: Resolved
    folder: Path
    """The study's own folder: journal, attempts, logs."""
    compute: Compute
    stores: dict[str, Path]
    """Backbone -> image store at its resolution."""
    cache: CacheSpec
    """Where activations of frozen prefixes are kept; a bound of 0 GB computes those of each trial as if it were alone."""
    waypoints: dict[str, tuple[int, ...]]
    """arm_id -> smaller freeze depths at which other arms of its backbone are cut; arms that a search proposes have none."""
    cut_arms: Mapping[str, str]
    """arm_id of a network that has a frozen prefix to share -> its pooling."""
    weights: Mapping[str, WeightsIdentity]
    """`weights_name` of a recipe -> what its trials start from."""

    def _shared(self, trial: Trial) -> dict[str, object]:
        unit = self.unit_of(trial)
        n_users = (
            1 if unit is None else self._unit_sizes.get(unit, 2)
        )  # a pilot's trials are not counted, and are many
        return {"waypoints": self.waypoints.get(trial.arm_id, ()), "n_users": n_users}

    @cached_property
    def _unit_sizes(self) -> Counter[str | None]:
        return Counter(map(self.unit_of, self.resolved.trials))

    def unit_of(self, trial: Trial) -> str | None:
        """The trial's unit: trials that need the same views of train through the same frozen trunk, wherever they are cut. None where it shares nothing."""
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
            store_path=self.stores[trial.recipe.backbone],
            folder=folder,
            compute=self.compute,
            weights=self.weights.get(weights_name(trial.recipe)),
            cache=self.cache.model_copy(update=self._shared(trial)),
        )


def resolve(
    grid: Grid, folders: Folders, *, seeds: Sequence[int] | None, allow_fallback: bool, command: str
) -> Resolved:
    """Find the data and expand the grid on it. Raises DataError, SpecError."""
    data, data_set = load_data(
        grid.data, data_dir=folders.data_dir, allow_fallback=allow_fallback, task=grid.task
    )
    fingerprint = data_set.facts.fingerprint
    _check_metrics(grid, source=data.source, class_names=data_set.facts.class_names)
    expansion = expand(grid, data=data, fingerprint=fingerprint)
    chosen = tuple(seeds) if seeds else grid.seeds
    check_pilot_seed(grid, (*chosen, *noise_seeds(grid, chosen)))
    record = study_record(grid, expansion, facts=data_set.facts, seeds=chosen, command=command)
    trials = study_trials(grid, expansion, data=data, fingerprint=fingerprint, seeds=chosen)
    return Resolved(
        grid,
        data,
        data_set,
        expansion,
        record,
        tuple(trials),
        _pilot_plan(grid, expansion, record, data=data),
    )


def _pilot_plan(
    grid: Grid, expansion: Expansion, record: StudyRecord, *, data: DataSpec
) -> PilotPlan | None:
    if grid.search is not None:
        made = pilot_record(grid, record, kind="search", n_trials=grid.search.n_trials)
        return PilotPlan(
            made, probe_arms(grid, data=data, fingerprint=record.data.fingerprint), None
        )
    if grid.tune:
        tuning = tuple(candidates(grid, expansion, data=data, fingerprint=record.data.fingerprint))
        arms = tuning_arms(expansion, tuning)
        return PilotPlan(
            pilot_record(grid, record, kind="tune", n_trials=len(tuning), arms=arms), arms, tuning
        )
    return None


def prepare(
    resolved: Resolved,
    folders: Folders,
    *,
    report_dir: Path,
    threads: int | None,
    cache_gb: float,
    on_progress: Progress,
) -> Prepared:
    """Check every arm, make the image stores, choose how to compute. Raises RequestError for whatever would stop the study later."""
    from ablate.data.build_store import build_store
    from ablate.data.darkness import brightest_of
    from ablate.data.duplicates import near_duplicates
    from ablate.data.store import open_store
    from ablate.training.machine.precision import choose_compute
    from ablate.training.machine.threads import choose_threads

    check_writable(report_dir)
    check_writable(folders.home)
    n_arms = len(resolved.arms_to_check)
    on_progress("checking arms", 0, n_arms)
    facts, weights = look_at_arms(resolved, Direct())
    check_same_weights(resolved, folders, weights)
    on_progress("checking arms", n_arms, n_arms)
    on_progress("measuring this machine", 0, 1)
    compute = choose_compute(folders.home, threads=threads or choose_threads(folders.home))
    on_progress("measuring this machine", 1, 1)
    stores = {}
    cropped = {arm.recipe.backbone for arm in resolved.arms_to_check if is_cropped(arm.recipe)}
    for backbone, preprocessing in sorted(
        {
            arm.recipe.backbone: facts[arm.arm_id].preprocessing for arm in resolved.arms_to_check
        }.items()
    ):
        store = build_store(
            resolved.data_set,
            home=folders.home,
            side=preprocessing.store_side,
            interpolation=preprocessing.interpolation,
            fine=preprocessing.fine_side if backbone in cropped else None,
            on_progress=lambda done, total: on_progress("decoding images", done, total),
        )
        stores[backbone] = store.path
    decoded = open_store(stores[min(stores)])
    seen = {
        "near_duplicates": near_duplicates(decoded),
        "brightest": brightest_of(
            image for split in decoded.splits.values() for image in split.images
        ),
    }
    record = resolved.record.model_copy(
        update={"data": resolved.record.data.model_copy(update=seen)}
    )
    folder = study_folder(record, folders)
    cache = CacheSpec(folder=folders.home / "activations", max_gb=cache_gb)
    cut_arms = {
        arm.arm_id: facts[arm.arm_id].pooling
        for arm in resolved.arms_to_check
        if max(cut_depths(arm.recipe, facts[arm.arm_id])) > 0
    }
    return Prepared(
        replace(resolved, record=record),
        folder,
        compute,
        stores,
        cache,
        waypoints_of(resolved.arms_to_check, facts, weights, compute),
        cut_arms,
        weights,
    )


def check_arms(resolved: Resolved, *, looks: Looks | None = None) -> dict[str, RecipeFacts]:
    """What `look_at_arms` says of the arms. `looks` is who builds: `Direct` where None."""
    return look_at_arms(resolved, looks or Direct())[0]


def look_at_arms(
    resolved: Resolved, looks: Looks
) -> tuple[dict[str, RecipeFacts], dict[str, WeightsIdentity]]:
    """Build every arm without memory for its weights, and make sure of the weights. Raises SpecError, WeightsError.

    Returns facts by arm_id, and by `weights_name` what recipes with pretrained weights load now.
    """
    n_classes = len(resolved.data_set.facts.class_names)
    image_size = resolved.data.image_size
    facts: dict[str, RecipeFacts] = {}
    known: dict[tuple[object, ...], RecipeFacts] = {}
    for arm in resolved.arms_to_check:
        form = _form(arm.recipe)
        try:
            check_class_weights(arm.recipe, resolved.data_set.facts.class_names)
            if form not in known:
                known[form] = looks.recipe_facts(
                    arm.recipe.model_copy(update=_FORMLESS),
                    n_classes=n_classes,
                    image_size=image_size,
                )
        except SpecError as error:
            raise SpecError(f"arm {arm.name}: {error}") from None
        facts[arm.arm_id] = known[form]
        if asks_for_one_image(arm.recipe) and not known[form].takes_one_image:
            raise SpecError(f"arm {arm.name}: {one_image_mistake(arm.recipe)}")
    recipes = {weights_name(arm.recipe): arm.recipe for arm in resolved.arms_to_check}
    identities = {
        name: looks.check_weights(recipe, image_size=image_size)
        for name, recipe in sorted(recipes.items())
    }
    check_depths_differ(resolved.arms_to_check, facts)
    return facts, {name: identity for name, identity in identities.items() if identity is not None}


def study_folder(record: StudyRecord, folders: Folders) -> Path:
    """The study's own folder; that of its pilot is beside it."""
    return (
        folders.home
        / "studies"
        / f"{record.grid_name}-{record.data.source.replace(':', '-')}-{record.study_id}"
    )


def check_same_weights(
    resolved: Resolved, folders: Folders, weights: Mapping[str, WeightsIdentity]
) -> None:
    """Make sure that what `look_at_arms` found is what finished trials of the study and of its pilot started from. Raises WeightsError."""
    folder = study_folder(resolved.record, folders)
    if resolved.pilot is None:
        check_weights_of_past(
            [folder], resolved.trials, weights, image_size=resolved.data.image_size
        )
        return
    tuning = resolved.pilot.tuning or ()
    study_folders = [folder, pilot_folder_of(folder, resolved.pilot.record)]
    trials = (*resolved.trials, *(candidate.trial for candidate in tuning))
    check_weights_of_past(study_folders, trials, weights, image_size=resolved.data.image_size)


def pilot_folder_of(folder: Path, record: StudyRecord) -> Path:
    """Where a pilot keeps its journal: beside the `folder` of the study that it prepares."""
    assert record.stage is not None
    return folder.with_name(f"{folder.name}-{record.stage.kind}-{record.study_id[:6]}")


def _check_metrics(grid: Grid, *, source: str, class_names: Sequence[str]) -> None:
    """The scores that choose, and a target precision, exist for so many classes. Raises SpecError."""
    has = (
        f"source {source} has {', '.join(class_names[:5])}{', ...' if len(class_names) > 5 else ''}"
    )
    if grid.target_precision is not None and len(class_names) != 2:
        raise SpecError(
            f'target_precision must be left out where there are not two classes: {has}; data.classes can regroup them, e.g. {{good: [...], defect: ["*"]}}'
        )
    known = [f"val/{metric}" for metric in task_of(grid.task).metrics_of(len(class_names))]
    asked = [
        ("select_by", grid.select_by),
        *(
            ("design.search.objectives", metric)
            for metric in (grid.search.objectives if grid.search else ())
        ),
    ]
    for field, metric in asked:
        if metric.startswith("val/") and metric not in known:
            raise SpecError(
                f"{field} must be a score of {len(class_names)} classes ({', '.join(known)}), got {metric!r}, which needs exactly 2: {has}"
            )


def check_writable(folder: Path) -> None:
    """Make sure that a folder can be made and written. Raises StoreError."""
    probe = folder / f".write-test-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise StoreError(
            f"{folder}: must be a folder that can be written, got {error.strerror or error}; choose another one or free it"
        ) from None
