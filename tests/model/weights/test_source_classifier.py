"""The classifier that weights were pretrained with, from wherever they come."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import resnet18

from ablate.errors import WeightsError
from ablate.model.backbone import create_backbone
from ablate.model.weights import torchvision_weights
from ablate.model.weights.bundled import bundle_of, bundled_tensors
from ablate.model.weights.source_classifier import load_source_classifier


def refused(backbone: str, weights: str) -> str:
    with pytest.raises(WeightsError) as caught:
        load_source_classifier(backbone, weights)
    return str(caught.value)


def why(backbone: str, weights: str, reason: str) -> str:
    return (
        "lwf and co_tuning need weights with the classifier that they were pretrained with, "
        f"those of {backbone} (weights: {weights}) cannot give it: {reason}; "
        "take delta, bss or l2_sp"
    )


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(1)
    return create_backbone("test_efficientnet", n_classes=7, image_size=64).state_dict()


def test_of_a_file_it_is_what_stands_there(state) -> None:
    save_file(state, "whole.safetensors")
    torch.save({"state_dict": {f"module.{name}": one for name, one in state.items()}}, "w.pth")
    for path in ("whole.safetensors", "w.pth"):
        found = load_source_classifier("test_efficientnet", path)
        assert torch.equal(found.weight, state["classifier.weight"])
        assert torch.equal(found.bias, state["classifier.bias"])
    layer = found.linear()
    assert torch.equal(layer.weight, found.weight)
    # a copy, that may learn
    assert layer.weight.requires_grad
    assert layer.weight.data_ptr() != found.weight.data_ptr()
    assert len(found.digest) == 64


def test_a_file_of_a_trunk_has_none(state) -> None:
    trunk = {name: one for name, one in state.items() if not name.startswith("classifier")}
    save_file(trunk, "trunk.safetensors")
    assert refused("test_efficientnet", "trunk.safetensors") == why(
        "test_efficientnet",
        "trunk.safetensors",
        "they hold no classifier.weight of 256 features",
    )


def test_the_projection_of_a_contrastive_pretraining_is_none(state) -> None:
    """MoCo's encoder has a layer of the classifier's name, and its outputs are no classes."""
    torch.save({"state_dict": {f"module.encoder_q.{n}": one for n, one in state.items()}}, "m.pth")
    assert "they hold no classifier.weight" in refused("test_efficientnet", "m.pth")


def test_random_weights_have_none() -> None:
    assert refused("test_efficientnet", "none") == why(
        "test_efficientnet", "none", "random weights have none"
    )


def test_of_the_packages_of_more_weights_the_trunk_alone_is_taken() -> None:
    assert refused("mobilenetv2_100", "more") == why(
        "mobilenetv2_100", "more", "of these packages the trunk alone is taken"
    )


def test_a_file_that_is_missing_is_named(state) -> None:
    assert state
    assert "there is no file 'gone.pth'" in refused("test_efficientnet", "gone.pth")


def test_numbers_that_are_not_finite_are_refused(state) -> None:
    state["classifier.bias"][0] = torch.nan
    save_file(state, "w.safetensors")
    assert refused("test_efficientnet", "w.safetensors") == why(
        "test_efficientnet", "w.safetensors", "its numbers are not finite"
    )


def test_two_classifiers_are_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = "deit_tiny_distilled_patch16_224"
    assert refused(name, "w.pth") == why(name, "w.pth", "its classifier is not one linear layer")


def test_of_torchvision_it_is_its_fc(monkeypatch) -> None:
    torch.manual_seed(2)
    state = resnet18(num_classes=1000).state_dict()
    fetched = torchvision_weights._Fetched(state, "torchvision resnet18 X", is_ordered=False)
    monkeypatch.setattr(torchvision_weights, "_fetch", lambda *_, **__: fetched)
    found = load_source_classifier("resnet18", "torchvision")
    assert torch.equal(found.weight, state["fc.weight"])
    assert torch.equal(found.bias, state["fc.bias"])


def test_the_bundled_one_knows_imagenet() -> None:
    """Its last two tensors: another order would be another shape."""
    bundle = bundle_of("tf_efficientnet_lite0")
    if bundle is None:
        pytest.skip("the package with the weights is not installed")
    found = load_source_classifier("tf_efficientnet_lite0", "auto")
    tensors, _ = bundled_tensors(bundle)
    assert found.weight.shape == (1000, 1280)
    assert torch.equal(found.weight, tensors[-2].float())
    assert torch.equal(found.bias, tensors[-1].float())
