"""The backbone that a worker loaded last, so that its next trial need not load it again.

To build EfficientNet-Lite0 and to read, place and digest its weights takes longer than to train a
head on activations that are there already. A copy of the module as it was loaded takes a tenth.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable
from dataclasses import dataclass
from threading import Lock

from torch import nn

from ablate.model.backbone import head_names_of, set_pooling
from ablate.model.drawn_head import is_drawn_whole
from ablate.model.trunk_spec import TrunkSpec
from ablate.model.weights.load import digest_of, load_backbone, weight_file
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

    asked: TrunkSpec
    file: tuple[str, int, int]
    """Path, bytes and time of change (ns) of the weights: a file that is replaced while a study
    runs must be read again, since the trial has to notice it."""


MOST_BYTES = 512 * 2**20
"""Of the weights that are kept: every worker has a copy of its own, and beside what training a
larger backbone takes, loading it is nothing."""
_lock = Lock()
_kept: dict[Hashable, LoadedTrunk] = {}
"""At most one."""


def load_trunk(asked: TrunkSpec) -> LoadedTrunk:
    """Return the trunk with its weights and the pooling asked for; the head is to be drawn anew.

    Equal to loading it anew in every bit that a caller keeps. Where weights are random, or where
    nobody can say which file they came from, it is loaded anew, from torch's global generator.
    Raises SpecError and WeightsError.
    """
    key = key_of(asked)
    if key is None:
        return _load(asked)
    with _lock:
        if key not in _kept:
            # first of all, so that two of them are never in memory together
            _kept.clear()
            loaded = _load(asked)
            # All else that is random after loading comes from the file.
            if not is_drawn_whole(loaded.module) or n_bytes(loaded.module) > MOST_BYTES:
                return loaded
            _kept[key] = loaded
        kept = _kept[key]
    # a trial draws another head, wraps modules and trains them, all in place
    module = copy.deepcopy(kept.module)
    return LoadedTrunk(module, kept.weights)


def key_of(asked: TrunkSpec) -> Hashable | None:
    """All that decides what `load_trunk` returns; None where it depends on more than a file."""
    # drawn from torch's global generator, so no two are equal
    if asked.weights == "none":
        return None
    path = weight_file(asked.backbone, asked.weights)
    if path is None:
        return None
    try:
        status = path.stat()
    except (OSError, ValueError):
        # what is wrong with it, loading says in its own words
        return None
    return _Key(asked, (str(path.resolve()), status.st_size, status.st_mtime_ns))


def n_bytes(module: nn.Module) -> int:
    """Bytes of all that a module's state dict holds."""
    return sum(tensor.nbytes for tensor in module.state_dict().values())


def _load(asked: TrunkSpec) -> LoadedTrunk:
    loaded = load_backbone(
        asked.backbone,
        asked.weights,
        n_classes=asked.n_classes,
        image_size=asked.image_size,
        drop_path=asked.drop_path,
    )
    module = loaded.module
    # files of weights can say how they want to be pooled; a recipe that says more is followed
    pooling = asked.pooling
    if pooling == "auto":
        pooling = loaded.pooling
    set_pooling(module, pooling, n_classes=asked.n_classes)
    digest = digest_of(module, head_names_of(module))
    weights = WeightsIdentity(source=loaded.source, digest=digest, content=loaded.content)
    return LoadedTrunk(module, weights)
