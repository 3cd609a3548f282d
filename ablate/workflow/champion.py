"""The best arm of a study at work on new images, without a network connection."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ablate.errors import DataError, StoreError
from ablate.scheduling.study_folder import JOURNAL
from ablate.study.record import ArmRecord
from ablate.tracking.mlflow_store import MlflowStore
from ablate.tracking.records import PublishedRun
from ablate.workflow.folders import Folders

if TYPE_CHECKING:
    from PIL import Image

    from ablate.training.serving.predict import Classifier


class Champion:
    """The champion's best trial by val, as it was stored."""

    def __init__(
        self, arm: ArmRecord, run: PublishedRun, store: MlflowStore, folders: Folders
    ) -> None:
        self.arm = arm
        self.run = run
        self._store = store
        self._folders = folders

    def predict(self, images: Iterable[Any] | Any) -> pd.DataFrame:
        """Classify one image or several: paths, PIL images, arrays uint8 (H, W, 3) or (H, W).

        Returns one row per image; see `columns.CHAMPION`. Images get the preprocessing that
        validation had: a picture is turned and flattened as its file would be. Raises DataError for
        what is no image, WeightsError, StoreError where the trial's files are damaged or gone.
        """
        classifier = self._classifier
        sequence = _several(images)
        # Opened one by one, as batches need them: a folder of photographs would fill the memory.
        probabilities = classifier.predict_images(map(_opened, sequence)).astype(float)
        class_names = np.array(classifier.class_names, dtype=object)
        image_names = []
        for position, image in enumerate(sequence):
            image_names.append(_image_name(image, position))
        frame = pd.DataFrame(
            {
                "image": image_names,
                "top_class": class_names[probabilities.argmax(axis=1)],
                "top_probability": probabilities.max(axis=1),
            }
        )
        columns = [f"p/{name}" for name in classifier.class_names]
        # One concat, because a thousand classes assigned one by one fragment the frame.
        return pd.concat([frame, pd.DataFrame(probabilities, columns=columns)], axis=1)

    @cached_property
    def _classifier(self) -> Classifier:
        from ablate.training.serving.export import export_complete
        from ablate.training.serving.predict import load_classifier

        # The folder may go once the weights are in the module, which holds copies.
        with tempfile.TemporaryDirectory(prefix="ablate-") as scratch:
            # A logged model holds every weight; a trial's folder needs the backbone's file too.
            logged = self._store.fetch_champion(self.run.run_id, into=Path(scratch))
            if logged is not None:
                return load_classifier(logged)
            return load_classifier(export_complete(self._trial_folder(), Path(scratch) / "model"))

    def _trial_folder(self) -> Path:
        name = f"{self.run.trial_id}-{self.run.attempt}"
        # A trial is named by its digest, so any study of the home may be searched.
        for journal in (self._folders.home / "studies").glob(f"*/{JOURNAL}"):
            folder = journal.parent / "trials" / name
            if folder.is_dir():
                return folder
        raise StoreError(
            f"the champion's trial {name} must be logged as a model in MLflow, or lie in "
            f"{self._folders.home / 'studies'}; it does neither. Run the grid again: "
            "what is complete is not trained again, and the model is logged"
        )

    def __repr__(self) -> str:
        return f"Champion {self.arm.name}, seed {self.run.seed}"


def _image_name(image: Any, position: int) -> str:
    if isinstance(image, (str, Path)):
        return str(image)
    return str(position)


def _several(images: Any) -> Sequence[Any]:
    """One image is as good as a list of one."""
    from PIL import Image

    # An array of objects holds images of different sizes: it is a list like any other.
    if isinstance(images, np.ndarray) and images.dtype != object:
        # (N, H, W, 3) is a batch; anything else is one image, right or wrong.
        if images.ndim == 4:
            return list(images)
        return [images]
    # Text and bytes are iterables too, and each is meant as one image.
    is_one = isinstance(images, (str, bytes, Path, Image.Image))
    if is_one or not isinstance(images, Iterable):
        return [images]
    return list(images)


def _opened(image: Any) -> Image.Image:
    """An image as the data pipeline would read it."""
    from PIL import Image

    from ablate.data.images import read_image
    from ablate.data.pixels import upright_rgb

    if isinstance(image, (str, Path)):
        return read_image(Path(image), name=str(image))
    if isinstance(image, Image.Image):
        _check_has_pixels(image.size)
        # Never converted first: what `upright_rgb` scales and flattens is gone after
        # `convert("RGB")`.
        # As for a file: turned upright, transparency over white, deep grey levels scaled.
        return upright_rgb(image, name="a PIL image")
    pixels: NDArray[Any] = np.asarray(image)
    has_channels = pixels.ndim == 3 and pixels.shape[-1] == 3
    if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or has_channels):
        raise DataError(
            "an image must be a path, a PIL image, or an array of uint8 with shape (H, W, 3) or "
            f"(H, W), got {type(image).__name__} of {pixels.dtype} with shape {pixels.shape}"
        )
    _check_has_pixels(pixels.shape[:2])
    return Image.fromarray(pixels).convert("RGB")


def _check_has_pixels(size: Sequence[int]) -> None:
    if 0 in size:
        raise DataError(f"an image must hold pixels, got one of {size[0]} x {size[1]}")
