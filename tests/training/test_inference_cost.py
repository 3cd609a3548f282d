"""What a network costs at inference.

Counted multiply-adds against closed forms, and a measurement that leaves no trace.
"""

from __future__ import annotations

import math

import pytest
import timm
import torch
from torch import nn

from ablate.model.family import family_of
from ablate.model.network import Network, build_network
from ablate.recipe.recipe import Recipe
from ablate.study.request import Compute
from ablate.training import inference_cost as measured
from ablate.training.inference_cost import count_macs, inference_cost
from ablate.training.serving.export import export_complete
from ablate.training.trial_run import run_trial

COMPUTE = Compute(device="cpu", precision="fp32", channels_last=True, threads=1)


def test_multiply_adds_are_those_of_the_textbook() -> None:
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.Flatten(),
        nn.Linear(8 * 16 * 16, 5),
    )
    assert count_macs(module, image_size=32) == 16 * 16 * 8 * 27 + 16 * 16 * 8 * 9 + 8 * 16 * 16 * 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "giga"),
    [("resnet18", 1.82), ("vit_tiny_patch16_224", 1.26), ("tf_efficientnet_lite0", 0.39)],
)
def test_multiply_adds_are_those_that_others_publish(backbone: str, giga: float) -> None:
    """resnet18: 1.82 G (timm's results table).

    vit_tiny: 1.26 G, attention's two products included. lite0: 0.39 G without biases and
    activations.
    """
    assert count_macs(
        timm.create_model(backbone, num_classes=1000).eval(), image_size=224
    ) / 1e9 == pytest.approx(giga, abs=0.01)


def test_a_network_that_cannot_be_counted_is_not_guessed() -> None:
    class Looks(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images * images.sum().item()

    assert math.isnan(count_macs(Looks(), image_size=8))


def _network(**recipe):
    return build_network(
        Recipe(backbone="test_efficientnet", weights="none", **recipe),
        n_classes=3,
        image_size=64,
        seed=0,
    )


def test_a_measurement_leaves_weights_modes_and_generators_alone() -> None:
    network = _network(freeze_depth=-1)
    network.train()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    before = {name: tensor.clone() for name, tensor in network.module.state_dict().items()}
    modes = [one.training for one in network.module.modules()]
    assert True in modes and False in modes
    cost = measured._measure(network, COMPUTE)
    assert cost.latency_s > 0 and cost.images_per_s > 0 and 1 <= cost.batch <= measured.BATCH
    assert [one.training for one in network.module.modules()] == modes
    assert torch.equal(torch.rand(3), expected)
    for name, tensor in network.module.state_dict().items():
        assert torch.equal(tensor, before[name]), name


@pytest.mark.slow
def test_it_is_measured_once_for_each_structure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "_KNOWN", {})
    calls = []
    measure = measured._measure

    def counted(network: Network, compute: Compute) -> measured.InferenceCost:
        calls.append(1)
        return measure(network, compute)

    monkeypatch.setattr(measured, "_measure", counted)
    plain, adapted = _network(freeze_depth="all"), _network(freeze_depth="all", lora_rank=2)
    costs = [
        inference_cost(network, COMPUTE)
        for network in (plain, _network(freeze_depth=0), adapted, plain)
    ]
    assert len(calls) == 2
    assert costs[0] == costs[1] == costs[3]
    assert costs[2].macs > costs[0].macs and costs[2].disk_mb > costs[0].disk_mb


def test_a_trial_logs_what_its_network_costs(make_request, tmp_path) -> None:
    request = make_request(freeze_depth="all", epochs=1)
    outcome = run_trial(request, lambda *epoch: None)
    assert outcome.metrics["cost/macs"] == count_macs(_network().module, image_size=64)
    assert outcome.metrics["time/latency_ms"] > 0 and outcome.metrics["time/images_per_s"] > 0
    whole = (
        export_complete(request.folder, tmp_path / "whole") / "model.safetensors"
    ).stat().st_size / 1e6
    assert outcome.metrics["cost/disk_mb"] == pytest.approx(whole, abs=0.05)
    assert outcome.facts.family == "CNN"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "family"),
    [
        ("resnet18", "CNN"),
        ("tf_efficientnet_lite0", "CNN"),
        ("convnext_atto", "CNN"),
        ("regnety_002", "CNN"),
        ("vit_tiny_patch16_224", "ViT"),
        ("swin_tiny_patch4_window7_224", "ViT"),
        ("mixer_s32_224", "MLP"),
        ("coatnet_nano_rw_224", "hybrid"),
    ],
)
def test_families_are_told_apart(backbone: str, family: str) -> None:
    with torch.device("meta"):
        assert family_of(timm.create_model(backbone)) == family
