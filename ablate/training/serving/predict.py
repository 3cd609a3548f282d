"""A champion at work: load the folder that `export_complete` wrote and classify images.

MLflow's pyfunc flavour loads it through `_load_pyfunc`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from ablate.data.augment import clean
from ablate.data.cut_tiles import cut_tiles
from ablate.data.square import INTERPOLATIONS, square
from ablate.errors import WeightsError
from ablate.model.backbone import POOLINGS
from ablate.model.backbone_facts import Preprocessing
from ablate.model.merge import admit_biases
from ablate.model.network import build_network
from ablate.recipe.recipe import Recipe
from ablate.study.trial import Trial
from ablate.training.serving.export import TRIAL, WEIGHTS, read_described, read_description
from ablate.training.tasks import Task, serving_task
from ablate.training.tasks.join_tiles import WHOLE_IMAGES, TileJoin

# Bounds the memory of a call, whatever number of images it is given.
MAX_BATCH = 64


@dataclass(frozen=True)
class Classifier:
    """A trained network with its preprocessing and its classes."""

    module: nn.Module
    preprocessing: Preprocessing
    class_names: tuple[str, ...]
    task: Task
    """What it was trained for decides how logits become probabilities."""
    tiles: TileJoin = WHOLE_IMAGES
    """What makes the probabilities of an image from those of its tiles."""

    def predict(
        self,
        images: NDArray[np.uint8],
        params: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> NDArray[np.float32]:
        """Return probabilities (N, C) float32, in the order of `class_names`.

        `images` are RGB (N, H, W, 3) uint8 of any size; they get the preprocessing that
        validation had. `params` is there for MLflow and takes nothing.
        """
        # MLflow may hand over lists, or another integer type.
        pixels = np.asarray(images, dtype=np.uint8)
        return self.predict_images(Image.fromarray(image) for image in pixels)

    def predict_images(self, images: Iterable[Image.Image]) -> NDArray[np.float32]:
        """Return probabilities (N, C) float32 of RGB images of any size, in their order.

        Images are taken as they are needed: no more than a batch of them is held at a time.
        """
        batches: list[NDArray[np.float32]] = []
        squares: list[NDArray[np.uint8]] = []
        for image in images:
            squares.extend(self._prepared(image))
            if len(squares) >= MAX_BATCH:
                batches.append(self._probabilities(squares))
                squares = []
        if squares:
            batches.append(self._probabilities(squares))
        if not batches:
            return np.empty((0, len(self.class_names)), dtype=np.float32)
        return np.concatenate(batches)

    def classify(self, image: Image.Image) -> dict[str, float]:
        """Return class -> probability for one image, the most probable first."""
        # A user's image may be a palette, grey or with alpha; the network has three channels.
        (probabilities,) = self._probabilities(self._prepared(image.convert("RGB")))
        best_first = np.argsort(-probabilities)
        return {self.class_names[index]: float(probabilities[index]) for index in best_first}

    def _prepared(self, image: Image.Image) -> list[NDArray[np.uint8]]:
        """The squares of an image: its own, or those of its tiles. Raises DataError."""
        squares = []
        for tile in cut_tiles(image, self.preprocessing.tiles, name="an image to predict"):
            pixels = square(
                tile,
                side=self.preprocessing.store_side,
                resample=INTERPOLATIONS[self.preprocessing.interpolation],
                view=self.preprocessing.view,
            )
            squares.append(pixels)
        return squares

    def _probabilities(self, squares: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """The squares of whole images -> (N, C) of those images."""
        images = clean(
            np.stack(squares), range(len(squares)), image_size=self.preprocessing.image_size
        )
        with torch.inference_mode():
            outputs = self.module(self.preprocessing.normalised(images))
            probabilities: NDArray[np.float32] = self.task.predict(outputs).numpy()
        return self.tiles.predictions(probabilities)


def load_classifier(folder: Path | str) -> Classifier:
    """Load what `export_complete` wrote; reads JSON and safetensors only.

    Raises WeightsError where either is damaged.
    """
    folder = Path(folder)
    described = read_description(folder)
    trial = Trial.model_validate(described["trial"])
    state = read_described(folder, WEIGHTS, described)
    module = build_network(
        # Merged weights fit the backbone as it is; unmerged ones need their adapters around it.
        _bare_recipe(trial.recipe, described),
        n_classes=len(described["class_names"]),
        image_size=trial.shown.image_size,
        seed=trial.seed,
    ).module
    # Before loading: a strict load would refuse the biases that a merged shift needs.
    admit_biases(module, state)
    try:
        module.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise WeightsError(
            f"{WEIGHTS} must hold the network that {TRIAL} describes, the one in {folder.name} "
            "does not; export the trial again"
        ) from error
    return Classifier(
        module.eval(),
        Preprocessing(**described["preprocessing"]),
        tuple(described["class_names"]),
        serving_task(trial.task, trial.recipe),
        TileJoin.of(trial),
    )


def _bare_recipe(recipe: Recipe, described: dict[str, Any]) -> Recipe:
    """What builds the network that the weights fit into, without fetching any."""
    changes: dict[str, Any] = {"weights": "none"}
    # A file of weights may have chosen the pooling, and that file is not read here.
    if recipe.pooling == "auto" and described.get("pooling") in POOLINGS:
        changes["pooling"] = described["pooling"]
    if described.get("is_merged"):
        changes["adapter"] = "none"
    return recipe.model_copy(update=changes)


def _load_pyfunc(data_path: str) -> Classifier:
    """MLflow calls this with the folder that was logged as the model's data."""
    return load_classifier(data_path)
