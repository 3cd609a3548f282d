"""The backbone that a worker loaded last, so that its next trial need not load it again.

To build EfficientNet-Lite0 and to read, place and digest its weights takes longer than to train a
head on activations that are there already. A copy of the module as it was loaded takes a tenth.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from threading import Lock

from torch import nn

from ablate.model.backbone import classifier_names, head_names_of, set_pooling
from ablate.model.backbone_facts import ImageSize
from ablate.model.drop_path import drop_path_of
from ablate.model.weights.load import digest_of, load_backbone, weight_file
from ablate.recipe.recipe import Recipe
from ablate.study.weights_identity import WeightsIdentity


@dataclass(frozen=True)
class LoadedTrunk:
    """A backbone with its weights, pooled as the recipe asks."""

    module: nn.Module
    """The caller's own: nobody else holds it."""
    weights: WeightsIdentity


@dataclass(frozen=True)
class _Key:
    """All that decides what `load_trunk` returns."""

    backbone: str
    weights: str
    pooling: str
    drop_path: float
    n_classes: int
    image_size: ImageSize
    file: tuple[str, int, int]
    """Path, bytes and time of change (ns) of the weights: a file that is replaced while a study
    runs must be read again, since the trial has to notice it."""


MOST_BYTES = 512 * 2**20
"""Of the weights that are kept: every worker has a copy of its own, and beside what training a
larger backbone takes, loading it is nothing."""
_lock = Lock()
_kept: dict[Hashable, LoadedTrunk] = {}
"""At most one."""


def load_trunk(recipe: Recipe, *, n_classes: int, image_size: ImageSize) -> LoadedTrunk:
    """Return the backbone with its weights and the recipe's pooling; the head is to be drawn anew.

    Equal to loading it anew in every bit that a caller keeps. Where weights are random, or where
    nobody can say which file they came from, it is loaded anew, from torch's global generator.
    Raises SpecError and WeightsError.
    """
    key = key_of(recipe, n_classes=n_classes, image_size=image_size)
    if key is None:
        return _load(recipe, n_classes=n_classes, image_size=image_size)
    with _lock:
        if key not in _kept:
            # first of all, so that two of them are never in memory together
            _kept.clear()
            loaded = _load(recipe, n_classes=n_classes, image_size=image_size)
            if not _is_redrawn(loaded.module) or n_bytes(loaded.module) > MOST_BYTES:
                return loaded
            _kept[key] = loaded
        kept = _kept[key]
    # a trial draws another head, wraps modules and trains them, all in place
    module = copy.deepcopy(kept.module)
    return LoadedTrunk(module, kept.weights)


def key_of(recipe: Recipe, *, n_classes: int, image_size: ImageSize) -> Hashable | None:
    """All that decides what `load_trunk` returns; None where it depends on more than a file."""
    if recipe.weights == "none":
        return None
    path = weight_file(recipe.backbone, recipe.weights)
    if path is None:
        return None
    try:
        status = path.stat()
    except (OSError, ValueError):
        # what is wrong with it, loading says in its own words
        return None
    return _Key(
        backbone=recipe.backbone,
        weights=recipe.weights,
        pooling=recipe.pooling,
        drop_path=drop_path_of(recipe),
        n_classes=n_classes,
        image_size=image_size,
        file=(str(path.resolve()), status.st_size, status.st_mtime_ns),
    )


def _is_redrawn(module: nn.Module) -> bool:
    """Whether all that is random after loading is drawn anew for every trial.

    The trunk comes from the file. Of the head, `build_network` draws what torch can reset; a head
    with further parameters would keep those of the trial that loaded it.
    """
    resettable: list[str] = []
    for name in classifier_names(module):
        classifier = module.get_submodule(name)
        if hasattr(classifier, "reset_parameters"):
            for parameter_name in _own_names(classifier):
                resettable.append(f"{name}.{parameter_name}")
    return set(head_names_of(module)) <= set(resettable)


def _own_names(module: nn.Module) -> Sequence[str]:
    """What `reset_parameters` of a module draws: its own parameters, not its children's."""
    return [name for name, _ in module.named_parameters(recurse=False)]


def n_bytes(module: nn.Module) -> int:
    """Bytes of all that a module's state dict holds."""
    return sum(tensor.nbytes for tensor in module.state_dict().values())


def _load(recipe: Recipe, *, n_classes: int, image_size: ImageSize) -> LoadedTrunk:
    loaded = load_backbone(
        recipe.backbone,
        recipe.weights,
        n_classes=n_classes,
        image_size=image_size,
        drop_path=drop_path_of(recipe),
    )
    module = loaded.module
    # files of weights can say how they want to be pooled; a recipe that says more is followed
    pooling = loaded.pooling if recipe.pooling == "auto" else recipe.pooling
    set_pooling(module, pooling, n_classes=n_classes)
    digest = digest_of(module, head_names_of(module))
    weights = WeightsIdentity(source=loaded.source, digest=digest, content=loaded.content)
    return LoadedTrunk(module, weights)
