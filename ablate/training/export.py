"""A finished trial as one folder that needs nothing else: complete weights, classes and preprocessing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

from ablate.errors import SpecError
from ablate.model.delta import load_delta
from ablate.model.network import build_network
from ablate.spec.trial import Trial

WEIGHTS, TRIAL, DELTA = "model.safetensors", "trial.json", "delta.safetensors"


def export_complete(trial_folder: Path, out: Path) -> Path:
    """Rebuild the network of a finished trial from its backbone and its delta, and write it whole to `out` (made; must not exist).

    Leaves `model.safetensors` (every tensor, float32 as trained) and `trial.json`. Raises SpecError for nearest neighbours,
    WeightsError where the backbone's weights are no longer to be had.
    """
    described = json.loads((trial_folder / TRIAL).read_text())
    trial = Trial.model_validate(described["trial"])
    if trial.recipe.classifier == "knn":
        raise SpecError("nearest neighbours keep the train images' features instead of weights and cannot be exported; take logistic, ridge or linear")
    network = build_network(trial.recipe, n_classes=len(described["class_names"]), image_size=trial.data.image_size, seed=trial.seed)
    load_delta(network, load_file(trial_folder / DELTA))
    out.mkdir(parents=True)
    save_file({name: tensor.detach().contiguous().clone() for name, tensor in network.module.state_dict().items()}, out / WEIGHTS)
    shutil.copyfile(trial_folder / TRIAL, out / TRIAL)
    return out
