"""Folded evaluation beside the network as it is.

The same logits, fewer BatchNorms, and nothing of it left behind.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from ablate.data.store import ImageStore
from ablate.model.network import Network, build_network
from ablate.recipe.recipe import Recipe
from ablate.study.request import Compute
from ablate.study.trial_facts import FoldedNorms
from ablate.tracking.artifacts import read_predictions
from ablate.training import trial_run as trial_module
from ablate.training.feeds.activations import ActivationCache
from ablate.training.feeds.trained_part import Sharing, TrainedPart, open_trained_part
from ablate.training.loop import folding
from ablate.training.loop.folding import fold
from ablate.training.loop.step import autocast
from ablate.training.trial_run import run_trial

Stores = Callable[[str], ImageStore]


def _trained_part(
    stores: Stores,
    *,
    cache: Path | None = None,
    precision: str = "fp32",
    seed: int = 0,
    **fields: Any,
) -> tuple[Network, TrainedPart]:
    recipe = Recipe(**{"backbone": "test_efficientnet", "weights": "none", **fields})
    network = build_network(recipe, n_classes=3, image_size=64, seed=seed)
    _move_statistics(network)
    compute = Compute(device="cpu", precision=precision, channels_last=True, threads=1)
    network.module.to(memory_format=torch.channels_last)
    sharing = None if cache is None else Sharing(ActivationCache(cache, 1.0), (), 2)
    trained_part = open_trained_part(
        network,
        stores(recipe.backbone),
        recipe=recipe,
        compute=compute,
        autocast=lambda: autocast(compute),
        sharing=sharing,
        seed=0,
    )
    return network, trained_part


def _move_statistics(network: Network) -> None:
    """As trained.

    Fresh BatchNorms have a mean of 0 and a variance of 1, and folding them would change next to
    nothing.
    """
    torch.manual_seed(3)
    for module in network.module.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2.0)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.uniform_(-0.5, 0.5)


def _n_norm_calls(
    network: Network,
    call: Callable[[torch.Tensor], torch.Tensor],
    inputs: torch.Tensor,
    monkeypatch: pytest.MonkeyPatch,
) -> int:
    """How often the network normalises a batch."""
    calls = []
    original = nn.functional.batch_norm

    def counted(*args: Any, **kwargs: Any) -> torch.Tensor:
        calls.append(1)
        return original(*args, **kwargs)

    with monkeypatch.context() as patched, torch.no_grad():
        patched.setattr(nn.functional, "batch_norm", counted)
        call(inputs)
    return len(calls)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "fields", "left"),
    [
        ("test_efficientnet", {"freeze_depth": "all"}, 0),
        ("test_efficientnet", {"freeze_depth": -1}, 1),
        ("test_efficientnet", {"freeze_depth": "all", "lora_rank": 2}, None),
        ("test_resnet", {"freeze_depth": "all"}, 0),
        ("resnet18", {"freeze_depth": -1}, 5),
        ("mobilenetv3_small_050", {"freeze_depth": "all"}, 0),
        ("regnetx_002", {"freeze_depth": "all"}, 0),
    ],
    ids=str,
)
def test_folded_logits_are_the_logits(
    stores: Stores,
    monkeypatch: pytest.MonkeyPatch,
    backbone: str,
    fields: dict[str, Any],
    left: int | None,
) -> None:
    network, trained_part = _trained_part(stores, backbone=backbone, **fields)
    faster = fold(network, trained_part)
    network.module.eval()
    inputs = torch.cat([batch for batch, _ in trained_part.val.evaluate(batch_size=64)])
    with torch.no_grad():
        whole, parts = trained_part.forward(inputs), faster.evaluate(inputs)
    assert (whole - parts).abs().max() <= 1e-4 * whole.abs().max()
    norms = (
        _n_norm_calls(network, trained_part.forward, inputs, monkeypatch),
        _n_norm_calls(network, faster.evaluate, inputs, monkeypatch),
    )
    assert norms[1] == left if left is not None else 0 < norms[1] < norms[0]
    assert faster.folded_norms.n == norms[0] - norms[1]
    assert faster.folded_norms.moved is not None
    assert 0 <= faster.folded_norms.moved <= 1e-4
    assert (
        _n_norm_calls(network, trained_part.forward, inputs, monkeypatch) == norms[0]
    )  # nothing stays behind


def test_suffixes_with_adapters_are_folded_and_others_have_nothing_to_fold(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, trained_part = _trained_part(
        stores,
        cache=tmp_path,
        freeze_depth="all",
        lora_rank=2,
        adapter_units=2,
        adapter_targets=("*conv_pw*",),
    )
    assert trained_part.cut.at is not None
    faster = fold(network, trained_part)
    network.module.eval()
    rows = torch.cat([batch for batch, _ in trained_part.val.evaluate(batch_size=64)])
    with torch.no_grad():
        whole, parts = trained_part.forward(rows), faster.evaluate(rows)
    assert (whole - parts).abs().max() <= 1e-4 * whole.abs().max()
    assert (
        0
        < _n_norm_calls(network, faster.evaluate, rows, monkeypatch)
        < _n_norm_calls(network, trained_part.forward, rows, monkeypatch)
    )
    for fields in ({"freeze_depth": -1}, {"freeze_depth": "all"}):
        network, trained_part = _trained_part(stores, cache=tmp_path, **fields)
        assert fold(network, trained_part) is trained_part


@pytest.mark.parametrize(
    "why",
    [
        {"freeze_depth": 0},
        {"backbone": "test_vit"},
        {"precision": "bf16"},
        {"freeze_depth": "all", "adapter": "norm_tuning"},
    ],
    ids=str,
)
def test_where_folding_is_not_exact_or_has_nothing_to_do_the_lanes_stay(
    stores: Stores, why: dict[str, Any]
) -> None:
    network, trained_part = _trained_part(stores, **why)
    assert fold(network, trained_part) is trained_part
    assert trained_part.folded_norms == FoldedNorms()


def test_a_network_whose_logits_would_move_is_not_folded(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E.g. one that also reads what comes out of the convolution."""
    exact = folding.fuse_conv_bn_eval

    def off(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
        fused = exact(conv, norm)
        fused.weight.data *= 1.01
        return fused

    monkeypatch.setattr(folding, "fuse_conv_bn_eval", off)
    network, trained_part = _trained_part(stores, freeze_depth="all")
    assert fold(network, trained_part) is trained_part


@pytest.mark.slow
@pytest.mark.parametrize(
    "fields",
    [
        {"freeze_depth": -1},
        {"freeze_depth": -2, "strategy": "lp_ft", "epochs": 3},
        {"classifier": "ridge"},
    ],
    ids=str,
)
def test_a_trial_is_the_same_with_folded_evaluation(
    make_request, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]
) -> None:
    fields = {"head_lr": 1e-2, "lr_ratio": 1.0, **fields}
    request = make_request(**fields)
    epochs: dict[str, list[dict[str, float]]] = {"folded": [], "plain": []}
    folded = run_trial(request, lambda *epoch: epochs["folded"].append(epoch[2]))
    assert folded.facts.folded_norms is not None
    assert folded.facts.folded_norms.n > 0
    other = make_request(**fields)
    monkeypatch.setattr(trial_module, "fold", lambda _, trained_part: trained_part)
    plain = run_trial(other, lambda *epoch: epochs["plain"].append(epoch[2]))
    assert plain.facts.folded_norms == FoldedNorms()
    assert folded.best_epoch == plain.best_epoch
    for name in ("val/nll", "test/nll"):
        assert folded.metrics[name] == pytest.approx(plain.metrics[name], abs=1e-5)
    weights = [load_file(one.folder / "delta.safetensors") for one in (request, other)]
    assert weights[0].keys() == weights[1].keys()
    if "classifier" not in fields:  # those are fitted on features of the folded trunk
        assert [metrics["train/loss"] for metrics in epochs["folded"]] == [
            metrics["train/loss"] for metrics in epochs["plain"]
        ]
        assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    frames = [
        read_predictions(one.folder / "predictions.parquet")[["p_0", "p_1", "p_2"]].to_numpy()
        for one in (request, other)
    ]
    assert frames[0] == pytest.approx(frames[1], abs=1e-5)


def test_folding_changes_no_weight_and_no_mode(stores: Stores) -> None:
    network, trained_part = _trained_part(stores, freeze_depth=-1)
    before, modes = (
        copy.deepcopy(network.module.state_dict()),
        [module.training for module in network.module.modules()],
    )
    faster = fold(network, trained_part)
    assert faster is not trained_part
    assert [module.training for module in network.module.modules()] == modes
    assert all(
        torch.equal(tensor, before[name]) for name, tensor in network.module.state_dict().items()
    )
    assert before.keys() == network.module.state_dict().keys()
