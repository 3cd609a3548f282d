"""How far images are from ImageNet, measured: do frozen features tell their classes apart?

A nearest-class-mean classifier on features of the bundled backbone, cross-validated. It has nothing
to tune, and takes one pass over a few hundred images.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from ablate.data.dataset import DataSet
from ablate.data.square import INTERPOLATIONS, square
from ablate.model.backbone import preprocessing_of
from ablate.model.backbone_facts import Preprocessing
from ablate.model.weights.bundled import bundle_of
from ablate.model.weights.load import load_backbone

BACKBONE = "tf_efficientnet_lite0"
SIDE = 160
"""Less than the backbone's own: a third of the time, for a score that only sorts sets."""
N_IMAGES = 240
_FEWEST = 4
"""Images of a class that are looked at, at least; classes above N_IMAGES / 4 are left out."""
_BATCH = 24
_EPSILON = 1e-6


def feature_score(data_set: DataSet) -> float | None:
    """Balanced accuracy in [0, 1] of nearest class means, each image left out once.

    None where it cannot be told: no bundled weights, several labels, or one image per class.
    Raises DataError for an image that cannot be read.
    """
    train = data_set.splits["train"]
    if bundle_of(BACKBONE) is None or train.labels.ndim != 1:
        return None
    positions = _drawn(train.labels)
    labels = train.labels[positions]
    if len(set(labels.tolist())) < 2:
        return None
    features = _features(list(map(train.read, positions.tolist())))
    return nearest_mean_score(features, labels)


def nearest_mean_score(features: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """`feature_score` of features (N, D) and labels (N,); every class has two images or more."""
    # Cosine distance of standardised features: no direction counts for its scale.
    scaled = (features - features.mean(axis=0)) / (features.std(axis=0) + _EPSILON)
    classes = np.unique(labels)
    sums = np.stack([scaled[labels == label].sum(axis=0) for label in classes])
    counts = np.array([np.sum(labels == label) for label in classes])
    recalls = []
    for index, label in enumerate(classes):
        rows = scaled[labels == label]
        similarities = []
        for row in rows:
            means = sums / counts[:, None]
            # The image itself is taken out of its class.
            means[index] = (sums[index] - row) / (counts[index] - 1)
            norms = np.linalg.norm(means, axis=1) + _EPSILON
            similarities.append(means @ row / norms)
        nearest = np.argmax(similarities, axis=1)
        recalls.append(float(np.mean(nearest == index)))
    return float(np.mean(recalls))


def _drawn(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions of the first images of each class: about N_IMAGES, as many of each as there are."""
    classes = np.unique(labels)[: N_IMAGES // _FEWEST]
    n_each = max(_FEWEST, N_IMAGES // len(classes))
    positions: list[int] = []
    for label in classes:
        of_class = np.flatnonzero(labels == label)
        # A mean of nothing is no mean: a class of one image says nothing here.
        if len(of_class) >= 2:
            # The first, and none at random: the score must repeat.
            positions += of_class[:n_each].tolist()
    return np.array(positions, dtype=np.int64)


@torch.inference_mode()
def _features(images: Sequence[Image.Image]) -> NDArray[np.float64]:
    """(N, D): what goes into the head."""
    preprocessing = preprocessing_of(BACKBONE, image_size=SIDE)
    module = load_backbone(BACKBONE, "auto", n_classes=2, image_size=SIDE).module.eval()
    batches = []
    for start in range(0, len(images), _BATCH):
        batch = _batch(images[start : start + _BATCH], preprocessing)
        batches.append(_pooled(module, batch).double().numpy())
    return np.concatenate(batches)


def _batch(images: Sequence[Image.Image], preprocessing: Preprocessing) -> torch.Tensor:
    """(B, 3, SIDE, SIDE), normalised; whole images, whatever their shape."""
    resample = INTERPOLATIONS[preprocessing.interpolation]
    squares = [square(image, side=SIDE, resample=resample, view="squash") for image in images]
    pixels = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).float() / 255
    mean = torch.tensor(preprocessing.mean).view(1, 3, 1, 1)
    std = torch.tensor(preprocessing.std).view(1, 3, 1, 1)
    return (pixels - mean) / std


def _pooled(module: nn.Module, batch: torch.Tensor) -> torch.Tensor:
    # timm's two calls; `pre_logits` stops before the classifier.
    maps = module.forward_features(batch)  # type: ignore[operator]
    pooled: torch.Tensor = module.forward_head(maps, pre_logits=True)  # type: ignore[operator]
    return pooled
