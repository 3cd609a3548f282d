"""What a finished trial leaves in its folder: predictions, trained weights, its description."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import save_file

from ablate.checksum import digest_of_file
from ablate.data.store import ImageStore
from ablate.model.delta import delta
from ablate.model.network import Network
from ablate.recipe.shown_part import USUAL_VIEW
from ablate.schema_version import KEY, SCHEMA_VERSION
from ablate.study.trial import Trial
from ablate.study.trial_facts import TrialFacts, store_facts
from ablate.targets.codecs import SplitPredictions
from ablate.tracking.artifacts import PREDICTIONS, write_predictions
from ablate.training.serving.export import DELTA, SHA256, TRIAL

# All that is published of a trial, apart from its numbers.
FILES = (PREDICTIONS, DELTA, TRIAL)


def store_predictions(
    folder: Path, outputs: Mapping[str, NDArray[np.float32]], store: ImageStore, *, task: str
) -> None:
    """Write the predictions of each split, by its name, beside its images' ids and targets.

    And their groups, where there are some.
    """
    predictions = {}
    for name, array in outputs.items():
        # Ids, targets and groups beside each prediction: whoever scores them needs no data set.
        split = store.split(name)
        targets = store.targets(name)
        predictions[name] = SplitPredictions(split.image_ids, targets, array, split.groups)
    write_predictions(folder / PREDICTIONS, predictions, task=task)


def store_delta(folder: Path, network: Network) -> float:
    """Write only what was trained, or may have moved; return its size in MB (10**6 bytes).

    Backbone and delta together rebuild the network.
    """
    path = folder / DELTA
    save_file(delta(network), path)
    return path.stat().st_size / 1e6


def store_description(
    folder: Path, trial: Trial, *, network: Network, class_names: Sequence[str], facts: TrialFacts
) -> None:
    """Write what rebuilds the network and what is known of the trial; last of its files."""
    preprocessing = network.preprocessing
    view: dict[str, str] = {}
    # As descriptions of former versions, where they are the usual ones.
    if preprocessing.view != USUAL_VIEW:
        view = {"view": preprocessing.view}
    if preprocessing.tiles is not None:
        view["tiles"] = preprocessing.tiles
    description = {
        KEY: SCHEMA_VERSION,
        "trial_id": trial.trial_id,
        "arm_id": trial.arm_id,
        "trial": trial.model_dump(mode="json"),
        "class_names": list(class_names),
        "preprocessing": {
            "mean": list(preprocessing.mean),
            "std": list(preprocessing.std),
            "image_size": preprocessing.image_size,
            "crop_pct": preprocessing.crop_pct,
            "interpolation": preprocessing.interpolation,
            **view,
        },
        "pooling": network.pooling,
        "facts": store_facts(facts),
        # A delta of another attempt beside this description would rebuild another network.
        SHA256: {DELTA: digest_of_file(folder / DELTA)},
    }
    # Sorted and indented: people read it, and two of them can be compared line by line.
    text = json.dumps(description, indent=2, sort_keys=True)
    (folder / TRIAL).write_text(f"{text}\n")
