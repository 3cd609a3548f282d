"""A finished trial as one folder that needs nothing else: complete weights, classes and preprocessing; adapters merged into the weights where they can be."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from ablate.errors import SpecError
from ablate.model.delta import load_delta
from ablate.model.merge import NOT_MERGEABLE, is_same, merge_adapters
from ablate.model.network import Network, build_network
from ablate.spec.recipe import Recipe
from ablate.spec.trial import Trial
from ablate.streams import stream

WEIGHTS, TRIAL, DELTA = "model.safetensors", "trial.json", "delta.safetensors"


def export_complete(trial_folder: Path, out: Path) -> Path:
    """Rebuild the network of a finished trial from its backbone and its delta, and write it whole to `out` (made; must not exist).

    Leaves `model.safetensors` (every tensor, float32) and `trial.json`, whose `is_merged` says whether adapters went into the base. Raises WeightsError where
    the backbone's weights are no longer to be had, SpecError for nearest neighbours.
    """
    described = json.loads((trial_folder / TRIAL).read_text())
    trial = Trial.model_validate(described["trial"])
    if trial.recipe.classifier == "knn":
        raise SpecError("nearest neighbours keep the train images' features instead of weights and cannot be exported; take logistic, ridge or linear")
    network = _trained(trial, trial_folder, n_classes=len(described["class_names"]))
    described["is_merged"] = _is_merged(network, trial.recipe)
    if not described["is_merged"]:
        network = _trained(trial, trial_folder, n_classes=len(described["class_names"]))
    out.mkdir(parents=True)
    save_file({name: tensor.detach().contiguous().clone() for name, tensor in network.module.state_dict().items()}, out / WEIGHTS)
    (out / TRIAL).write_text(json.dumps(described, indent=2, sort_keys=True) + "\n")
    return out


def _trained(trial: Trial, trial_folder: Path, *, n_classes: int) -> Network:
    network = build_network(trial.recipe, n_classes=n_classes, image_size=trial.data.image_size, seed=trial.seed)
    load_delta(network, load_file(trial_folder / DELTA))
    return network


def _is_merged(network: Network, recipe: Recipe) -> bool:
    """Merge in place where that changes nothing but the last digits of the logits; say whether it did."""
    if recipe.adapter_kind in ("none", *NOT_MERGEABLE):
        return False
    side = network.preprocessing.image_size
    images = torch.randn(4, 3, side, side, generator=torch.Generator().manual_seed(stream(0, "adapter", "merge")))
    difference = merge_adapters(network, images)
    with torch.no_grad():
        return is_same(difference, network.module(images))
