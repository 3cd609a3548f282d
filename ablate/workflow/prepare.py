"""Everything that can go wrong before a study starts goes wrong here: nothing is trained until data, backbones, stores and folders are right."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ablate.data.dataset import DataSet, load_data
from ablate.data.duplicates import near_duplicates
from ablate.data.store import build_store, open_store
from ablate.errors import SpecError, StoreError
from ablate.model.backbone import Preprocessing, preprocessing_of
from ablate.model.network import RecipeFacts, check_recipe
from ablate.model.weights import check_weights
from ablate.spec.canonical import canonical
from ablate.spec.expand import Expansion, expand, study_record, study_trials
from ablate.spec.grid import Grid
from ablate.spec.recipe import Recipe
from ablate.spec.request import CacheSpec, Compute, TrialRequest
from ablate.spec.study import StudyRecord
from ablate.spec.trial import DataSpec, Trial
from ablate.training.precision import choose_compute
from ablate.workflow.settings import Places

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


@dataclass(frozen=True)
class Prepared:
    """A study that is ready to run."""

    resolved: Resolved
    folder: Path
    """The study's own folder: journal, attempts, logs."""
    compute: Compute
    stores: dict[str, Path]
    """Backbone -> image store at its resolution."""
    cache: CacheSpec | None
    """Where activations of frozen prefixes are kept; None computes each trial as if it were alone."""
    waypoints: dict[str, tuple[int, ...]]
    """arm_id -> smaller freeze depths at which other arms of its backbone are cut."""

    def request(self, trial: Trial, attempt: int, folder: Path) -> TrialRequest:
        """What an executor is handed for one try."""
        return TrialRequest(
            trial=trial,
            attempt=attempt,
            n_classes=len(self.resolved.data_set.facts.class_names),
            store_path=self.stores[trial.recipe.backbone],
            folder=folder,
            compute=self.compute,
            cache=None if self.cache is None else self.cache.model_copy(update={"waypoints": self.waypoints[trial.arm_id]}),
        )


def resolve(grid: Grid, places: Places, *, seeds: Sequence[int] | None, allow_fallback: bool, command: str) -> Resolved:
    """Find the data and expand the grid on it. Raises DataError, SpecError."""
    data, data_set = load_data(grid.data, data_dir=places.data_dir, allow_fallback=allow_fallback)
    fingerprint = data_set.facts.fingerprint
    expansion = expand(grid, data=data, fingerprint=fingerprint)
    chosen = tuple(seeds) if seeds else grid.seeds
    record = study_record(grid, expansion, facts=data_set.facts, seeds=chosen, command=command)
    trials = study_trials(grid, expansion, data=data, fingerprint=fingerprint, seeds=chosen)
    return Resolved(grid, data, data_set, expansion, record, tuple(trials))


def prepare(resolved: Resolved, places: Places, *, report_dir: Path, threads: int, cache_gb: float, on_progress: Progress) -> Prepared:
    """Check every arm, make the image stores, choose how to compute. Raises RequestError for whatever would stop the study later."""
    check_writable(report_dir)
    check_writable(places.home)
    facts = check_arms(resolved)
    compute = choose_compute(places.home, threads=threads)
    stores = {}
    for backbone, preprocessing in _preprocessings(resolved).items():
        store = build_store(
            resolved.data_set,
            home=places.home,
            side=preprocessing.store_side,
            interpolation=preprocessing.interpolation,
            on_progress=lambda done, total: on_progress("decoding images", done, total),
        )
        stores[backbone] = store.path
    duplicates = near_duplicates(open_store(stores[min(stores)]))
    record = resolved.record.model_copy(update={"data": resolved.record.data.model_copy(update={"near_duplicates": duplicates})})
    folder = places.home / "studies" / f"{record.grid_name}-{record.data.source.replace(':', '-')}-{record.study_id}"
    folder.mkdir(parents=True, exist_ok=True)
    cache = CacheSpec(folder=places.home / "activations", max_gb=cache_gb) if cache_gb > 0 else None
    return Prepared(replace(resolved, record=record), folder, compute, stores, cache, _waypoints(resolved, facts))


def check_arms(resolved: Resolved) -> dict[str, RecipeFacts]:
    """Build every arm without memory for its weights, and make sure of the weights; return facts by arm_id. Raises SpecError, WeightsError."""
    n_classes = len(resolved.data_set.facts.class_names)
    image_size = resolved.data.image_size
    facts = {}
    for arm in resolved.expansion.arms:
        try:
            facts[arm.arm_id] = check_recipe(arm.recipe, n_classes=n_classes, image_size=image_size)
        except SpecError as error:
            raise SpecError(f"arm {arm.name}: {error}") from None
    for backbone, weights in sorted({(arm.recipe.backbone, arm.recipe.weights) for arm in resolved.expansion.arms}):
        check_weights(backbone, weights)
    _check_depths_differ(resolved, facts)
    return facts


def check_writable(folder: Path) -> None:
    """Make sure that a folder can be made and written. Raises StoreError."""
    probe = folder / f".write-test-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise StoreError(f"{folder}: must be a folder that can be written, got {error.strerror or error}; choose another one or free it") from None


def _check_depths_differ(resolved: Resolved, facts: dict[str, RecipeFacts]) -> None:
    """`all` and the number of units are the same place: training both would count one arm twice."""
    seen: dict[str, str] = {}
    for arm in resolved.expansion.arms:
        rest = {name: value for name, value in canonical(arm.recipe).items() if name not in ("freeze_depth", "lr_ratio", "batch_norm")}
        depth = facts[arm.arm_id].depth
        key = repr(sorted({**rest, "depth": depth, **_rates(arm.recipe, depth < facts[arm.arm_id].n_units)}.items(), key=str))
        if key in seen:
            raise SpecError(
                f"arms must differ, but {seen[key]!r} and {arm.name!r} both freeze {depth} of {facts[arm.arm_id].n_units} units of {arm.recipe.backbone}; "
                "name each freeze_depth once (all is the same as the number of units)"
            )
        seen[key] = arm.name


def _waypoints(resolved: Resolved, facts: dict[str, RecipeFacts]) -> dict[str, tuple[int, ...]]:
    cuts = {arm.arm_id: (arm.recipe.backbone, arm.recipe.weights, cut_depth(arm.recipe, facts[arm.arm_id])) for arm in resolved.expansion.arms}
    return {own: tuple(sorted({cut[2] for cut in cuts.values() if cut[:2] == place[:2] and 0 < cut[2] < place[2]})) for own, place in cuts.items()}


def cut_depth(recipe: Recipe, facts: RecipeFacts) -> int:
    """Leading units that are neither free nor adapted."""
    if recipe.lora_rank == 0:
        return facts.depth
    return 0 if recipe.lora_units == "all" else max(0, facts.depth - recipe.lora_units)


def _rates(recipe: Recipe, is_trunk_free: bool) -> dict[str, object]:
    """The fields that matter only where something of the trunk learns."""
    fields: dict[str, object] = {"batch_norm": recipe.batch_norm} if is_trunk_free else {}
    return {**fields, "lr_ratio": recipe.lr_ratio} if is_trunk_free or recipe.lora_rank else fields


def _preprocessings(resolved: Resolved) -> dict[str, Preprocessing]:
    backbones = sorted({arm.recipe.backbone for arm in resolved.expansion.arms})
    return {backbone: preprocessing_of(backbone, image_size=resolved.data.image_size) for backbone in backbones}
