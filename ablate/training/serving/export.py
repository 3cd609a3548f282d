"""A finished trial as one folder that needs nothing else.

Complete weights, classes and preprocessing; adapters merged into the weights where they can be.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from ablate.checksum import digest_of_file
from ablate.errors import SpecError, WeightsError
from ablate.model.delta import load_delta
from ablate.model.merge import NOT_MERGEABLE, is_same, merge_adapters
from ablate.model.network import Network, build_network
from ablate.model.weights.read_file import read_tensors
from ablate.recipe.recipe import Recipe
from ablate.schema_version import KEY, check_schema
from ablate.streams import stream
from ablate.study.trial import Trial
from ablate.study.trial_facts import read_facts
from ablate.study.weights_identity import WeightsIdentity

WEIGHTS = "model.safetensors"
TRIAL = "trial.json"
DELTA = "delta.safetensors"
SHA256 = "sha256"
"""Key of a description: name of a file beside it -> sha256 of its bytes. Descriptions of older
versions have none."""
_COPY = "take the copy among the run's artifacts in MLflow"


def export_complete(trial_folder: Path, out: Path) -> Path:
    """Rebuild the network of a finished trial from backbone and delta, and write it whole to `out`.

    `out` is made and must not exist. Leaves `model.safetensors` (every tensor, float32) and
    `trial.json`, whose `is_merged` says whether adapters went into the base. Raises WeightsError
    where the backbone's weights are not available any more, or are others than the trial's, and
    where the trial's files are damaged; SpecError for nearest neighbours.
    """
    described = read_description(trial_folder)
    trial = Trial.model_validate(described["trial"])
    # The recipe, before the backbone is built: it takes seconds.
    if trial.recipe.classifier == "knn":
        raise SpecError(
            "nearest neighbours keep the train images' features instead of weights and cannot be "
            "exported; take logistic, ridge or linear"
        )
    network = _trained(trial, trial_folder, described)
    described["is_merged"] = _is_merged(network, trial.recipe)
    # a merge that moved the logits cannot be taken back: the network is built again
    if not described["is_merged"]:
        network = _trained(trial, trial_folder, described)
    out.mkdir(parents=True)
    state = {}
    # Every tensor, the frozen ones too: whoever loads the folder needs no backbone.
    for name, tensor in network.module.state_dict().items():
        # safetensors refuses tensors that share memory
        state[name] = tensor.detach().contiguous().clone()
    save_file(state, out / WEIGHTS)
    described[SHA256] = {WEIGHTS: digest_of_file(out / WEIGHTS)}
    (out / TRIAL).write_text(json.dumps(described, indent=2, sort_keys=True) + "\n")
    return out


def read_description(folder: Path) -> dict[str, Any]:
    """Return the description of the trial whose files are in `folder`.

    Raises WeightsError where it cannot be read, NewerSchema where a later version of ablate wrote
    it.
    """
    try:
        described: dict[str, Any] = json.loads((folder / TRIAL).read_text())
        check_schema(described.get(KEY), place=f"{TRIAL} in {folder.name}")
        Trial.model_validate(described["trial"])
        # whoever reads the description counts them
        len(described["class_names"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"{TRIAL} must describe a finished trial, the one in {folder.name} cannot be read; "
            f"{_COPY}"
        ) from error
    return described


def read_described(folder: Path, name: str, described: dict[str, Any]) -> dict[str, Tensor]:
    """Return the tensors of a file beside a description.

    Raises WeightsError where it is damaged: not a byte may differ from what was written.
    """
    path = folder / name
    if not path.is_file():
        raise WeightsError(
            f"{name} of a finished trial must be beside its {TRIAL}, in {folder.name} it is not; "
            f"{_COPY}"
        )
    written = described.get(SHA256, {}).get(name)
    if written is not None and digest_of_file(path) != written:
        raise WeightsError(
            f"{name} of a finished trial must be as it was written, the one in {folder.name} is "
            f"damaged; {_COPY}"
        )
    _, tensors = read_tensors(path)
    return tensors


def _trained(trial: Trial, trial_folder: Path, described: dict[str, Any]) -> Network:
    network = build_network(
        trial.recipe,
        n_classes=len(described["class_names"]),
        image_size=trial.shown.image_size,
        seed=trial.seed,
    )
    # Before the delta is read: what it was trained on top of decides what it means.
    _check_base(network, read_facts(described.get("facts", {})).weights)
    load_delta(network, read_described(trial_folder, DELTA, described))
    return network


def _check_base(network: Network, then: WeightsIdentity | None) -> None:
    """A delta fits no weights but those that it was trained on; `then` is what it began with."""
    if then is None:
        return
    if not network.weights.is_same(then):
        raise WeightsError(
            f"weights must be what the trial was trained from ({then}), now it is "
            f"{network.weights}; put the former weights back"
        )


def _is_merged(network: Network, recipe: Recipe) -> bool:
    """Merge in place, and say whether that changed nothing but the last digits of the logits."""
    if recipe.adapter_kind in ("none", *NOT_MERGEABLE):
        return False
    side = network.preprocessing.image_size
    # Noise of a fixed seed: images of the data set need not be on the machine that exports.
    generator = torch.Generator().manual_seed(stream(0, "adapter", "merge"))
    images = torch.randn(4, 3, side, side, generator=generator)
    difference = merge_adapters(network, images)
    with torch.no_grad():
        return is_same(difference, network.module(images))
