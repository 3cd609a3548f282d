from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
import torchvision
from support.untyped import untyped

from ablate.errors import WeightsError
from ablate.model.weights.load import load_backbone
from ablate.model.weights.torchvision_weights import BY_NAME, BY_ORDER, place_torchvision


def _random_torchvision(name: str) -> torch.nn.Module:
    """No tensor as either library starts with it."""
    torch.manual_seed(0)
    model = torchvision.models.get_model(name, weights=None)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point() and tensor.ndim == 1:
                tensor.add_(0.2 * torch.rand_like(tensor))
    return model.eval()


@pytest.mark.slow
@pytest.mark.parametrize(
    "backbone", ["resnet18", "densenet121", "mobilenetv2_100", "mnasnet_100", "efficientnet_b0"]
)
def test_both_libraries_compute_the_same(backbone: str) -> None:
    theirs = _random_torchvision({**BY_NAME, **BY_ORDER}[backbone])
    ours = timm.create_model(backbone, num_classes=1000).eval()
    place_torchvision(ours, theirs.state_dict(), is_ordered=backbone in BY_ORDER)
    head = untyped(ours).get_classifier()
    last = [module for module in theirs.modules() if isinstance(module, torch.nn.Linear)][-1]
    head.load_state_dict(last.state_dict())
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", [*BY_NAME, *BY_ORDER])
def test_every_listed_architecture_has_the_same_tensors(backbone: str) -> None:
    with torch.device("meta"):
        theirs = torchvision.models.get_model(
            {**BY_NAME, **BY_ORDER}[backbone], weights=None
        ).state_dict()
        ours = timm.create_model(backbone).state_dict()
    assert [tensor.shape for tensor in theirs.values()] == [
        tensor.shape for tensor in ours.values()
    ]
    assert backbone in BY_ORDER or list(theirs) == list(ours)


@pytest.mark.slow
def test_cached_weights_are_taken_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    state = _random_torchvision("resnet18").state_dict()
    torch.save(
        state, tmp_path / "checkpoints" / Path(torchvision.models.ResNet18_Weights.DEFAULT.url).name
    )
    loaded = load_backbone("resnet18.a1_in1k", "torchvision", n_classes=3, image_size=64)
    assert loaded.source == "torchvision resnet18 IMAGENET1K_V1"
    placed = loaded.module.state_dict()
    assert all(
        torch.equal(placed[name], tensor)
        for name, tensor in state.items()
        if not name.startswith("fc.")
    )


def test_an_architecture_that_the_libraries_build_differently_is_refused() -> None:
    with pytest.raises(WeightsError) as caught:
        load_backbone("convnext_tiny", "torchvision", n_classes=3, image_size=64)
    assert str(caught.value) == (
        "weights: torchvision must be asked for an architecture that both libraries build alike, "
        "got convnext_tiny; those are densenet121, densenet161, "
        "densenet169, densenet201, efficientnet_b0, efficientnet_b1, efficientnet_b2, "
        "efficientnet_b3, efficientnet_b4, mnasnet_100, mobilenetv2_100, "
        "resnet101, resnet152, resnet18, resnet34, resnet50, resnext101_32x8d, resnext101_64x4d, "
        "resnext50_32x4d, wide_resnet101_2, wide_resnet50_2"
    )


@pytest.mark.slow
def test_weights_that_do_not_fit_change_nothing() -> None:
    ours = timm.create_model("resnet18")
    before = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    with pytest.raises(
        WeightsError,
        match=(
            r"^torchvision's weights must place every trunk tensor, they do not: "
            r"layer1\.0\.conv1\.weight, "
        ),
    ):
        place_torchvision(ours, _random_torchvision("resnet50").state_dict(), is_ordered=False)
    assert all(torch.equal(tensor, before[name]) for name, tensor in ours.state_dict().items())
