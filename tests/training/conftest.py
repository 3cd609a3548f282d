"""A small data set of pictures that can be learned, as a real image store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from ablate.data.build_store import build_store
from ablate.data.dataset import DataSet, Split
from ablate.data.store import ImageStore
from ablate.model.backbone import create_backbone, preprocessing_of
from ablate.recipe.recipe import Recipe
from ablate.study.record import DataFacts
from ablate.study.request import CacheSpec, Compute, TrialRequest
from ablate.study.trial import DataSpec, Trial

IMAGE_SIZE = 64
N_SOURCE = 7
"""Classes that the weights of `pretrained` know."""
CLASSES = ("warm", "cold", "striped")
COUNTS = {"train": (8, 6, 5), "val": (4, 4, 4), "test": (5, 4, 4)}


def _picture(label: int, key: int) -> Image.Image:
    rng = np.random.default_rng([label, key])
    pixels = rng.integers(0, 120, size=(80, 96, 3))
    if label < 2:
        pixels[..., 2 * label] += 60
    else:
        pixels[::4] += 80
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _split(name: str) -> Split:
    places = [
        (label, 1000 * list(COUNTS).index(name) + number)
        for label, count in enumerate(COUNTS[name])
        for number in range(count)
    ]
    return Split(
        image_ids=tuple(f"{CLASSES[label]}/{key:05d}" for label, key in places),
        labels=np.array([label for label, _ in places], dtype=np.int64),
        read=lambda index: _picture(*places[index]),
    )


@pytest.fixture(scope="session")
def data_set() -> DataSet:
    facts = DataFacts(
        source="folder",
        title="pictures of the tests",
        version="1",
        licence="CC0",
        origin="drawn here",
        is_synthetic=True,
        requested_source="folder",
        class_names=CLASSES,
        class_counts=COUNTS,
        fingerprint="f" * 64,
        split_rule="official",
    )
    return DataSet(facts=facts, splits={name: _split(name) for name in COUNTS})


@pytest.fixture(scope="session")
def stores(
    tmp_path_factory: pytest.TempPathFactory, data_set: DataSet
) -> Callable[[str], ImageStore]:
    """Backbone -> the image store at its resolution, as a study prepares it."""
    torch.set_num_threads(1)
    home = tmp_path_factory.mktemp("home")

    def build(backbone: str) -> ImageStore:
        preprocessing = preprocessing_of(backbone, image_size=IMAGE_SIZE)
        return build_store(
            data_set,
            home=home,
            side=preprocessing.store_side,
            interpolation=preprocessing.interpolation,
        )

    return build


@pytest.fixture
def pretrained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, str]]:
    """Backbone -> the fields of a recipe that starts from a file with its source classifier."""
    monkeypatch.chdir(tmp_path)

    def save(backbone: str = "test_efficientnet") -> dict[str, str]:
        torch.manual_seed(5)
        module = create_backbone(backbone, n_classes=N_SOURCE, image_size=IMAGE_SIZE)
        save_file(module.state_dict(), f"{backbone}.safetensors")
        return {"backbone": backbone, "weights": f"{backbone}.safetensors"}

    return save


@pytest.fixture
def store(stores: Callable[[str], ImageStore]) -> ImageStore:
    return stores("test_efficientnet")


@pytest.fixture
def make_request(stores: Callable[[str], ImageStore], tmp_path: Path):
    def make(
        *,
        seed: int = 0,
        cache: Path | None = None,
        precision: str = "fp32",
        max_gb: float = 1.0,
        select_by: str = "val/macro_f1",
        **recipe: Any,
    ) -> TrialRequest:
        fields = {
            "backbone": "test_efficientnet",
            "weights": "none",
            "epochs": 2,
            "batch_size": 8,
            **recipe,
        }
        trial = Trial(
            task="classification",
            data=DataSpec(source="folder", image_size=IMAGE_SIZE),
            data_fingerprint="f" * 64,
            recipe=Recipe(**fields),
            select_by=select_by,
            seed=seed,
        )
        folder = tmp_path / f"attempt-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        return TrialRequest(
            trial=trial,
            attempt=1,
            n_classes=3,
            store_path=stores(str(fields["backbone"])).path,
            folder=folder,
            compute=Compute(device="cpu", precision=precision, channels_last=True, threads=1),
            cache=None if cache is None else CacheSpec(folder=cache, max_gb=max_gb),
        )

    return make
