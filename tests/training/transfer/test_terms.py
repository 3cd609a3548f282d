"""Terms beside the loss, in real trials: each adds the gradient of its paper's formula.

Switched off, each of these tests is red.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from support.spying import Step, spy
from torch import Tensor

from ablate.model.network import Network, build_network
from ablate.recipe.phase import Phase
from ablate.study.request import TrialRequest
from ablate.training.loop import fit
from ablate.training.trial_run import run_trial

FULL: dict[str, Any] = {"freeze_depth": 0, "head_lr": 1e-2, "lr_ratio": 1.0, "epochs": 2}
EACH: dict[str, dict[str, Any]] = {
    "lwf": {"lwf": 0.7, "lwf_temperature": 3.0},
    "co_tuning": {"co_tuning": 0.7},
    "delta": {"delta": 0.7},
    "bss": {"bss": 0.07, "bss_k": 2},
}
UNITS = ("bn1", "blocks.0", "blocks.1", "blocks.2", "blocks.3", "blocks.4", "bn2")
"""The modules whose outputs are those of test_efficientnet's units."""


def run(request: TrialRequest) -> list[dict[str, float]]:
    epochs: list[dict[str, float]] = []
    run_trial(request, lambda _epoch, _n, metrics: epochs.append(metrics))
    return epochs


class Noted:
    """Batches of a trial and the source classifier before each of its steps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.batches: list[tuple[Any, ...]] = []
        self.sources: list[dict[str, Tensor]] = []
        train_batch = fit.train_batch

        def noted(active, setup, *batch):
            self.batches.append(batch)
            transfer = active.transfer
            self.sources.append({} if transfer is None else transfer.state())
            return train_batch(active, setup, *batch)

        monkeypatch.setattr(fit, "train_batch", noted)


def fresh(request: TrialRequest, state: dict[str, Tensor]) -> Network:
    network = build_network(request.trial.recipe, n_classes=3, image_size=64, seed=0)
    network.module.load_state_dict(state)
    network.train()
    return network


def passed(network: Network, images: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Logits, features and the outputs of all units of test_efficientnet."""
    features: list[Tensor] = []
    maps: list[Tensor] = []
    modules = dict(network.module.named_modules())
    handles = [
        modules["classifier"].register_forward_pre_hook(lambda _m, given: features.append(given[0]))
    ]
    handles += [
        modules[name].register_forward_hook(lambda _m, _i, output: maps.append(output))
        for name in UNITS
    ]
    logits = network.module(images)
    for handle in handles:
        handle.remove()
    return logits, features[0], maps


def by_hand(
    name: str, request: TrialRequest, step: Step, start: dict[str, Tensor], noted: Noted, at: int
) -> dict[str, Tensor]:
    """Gradients of loss and term, from the papers' formulas and plain torch."""
    recipe = request.trial.recipe
    images, labels, recorded = noted.batches[at]
    network = fresh(request, step.before)
    logits, features, maps = passed(network, images)
    loss = F.cross_entropy(logits, labels)
    if name in ("lwf", "co_tuning"):
        source = noted.sources[at]
        source_logits = features @ source["weight"].T + source["bias"]
    if name == "lwf":
        kept, heat = recorded, recipe.lwf_temperature
        # the paper's cross-entropy has the same gradient as the divergence
        term = -(kept * (source_logits / heat).log_softmax(1)).sum(1).mean()
    elif name == "co_tuning":
        terms = step.active.transfer
        assert terms is not None
        assert terms.relationship is not None
        targets = terms.relationship[labels]
        term = -(targets * source_logits.log_softmax(1)).sum(1).mean()
    elif name == "bss":
        term = torch.linalg.eigvalsh(features @ features.T)[: recipe.bss_k].sum()
    else:
        teacher = fresh(request, start)
        teacher.eval()
        with torch.no_grad():
            _, _, at_start = passed(teacher, images)
        term = sum(
            (
                0.5 * ((one - other) ** 2).sum() / (len(images) * one[0, 0].numel())
                for one, other in zip(maps, at_start, strict=True)
            ),
            torch.zeros(()),
        )
    (loss + getattr(recipe, name) * term).backward()
    return {key: one.grad for key, one in network.module.named_parameters() if one.grad is not None}


@pytest.mark.parametrize("name", EACH)
def test_a_steps_gradient_is_that_of_loss_and_formula(
    make_request, pretrained, monkeypatch, name: str
) -> None:
    steps = spy(monkeypatch)
    noted = Noted(monkeypatch)
    request = make_request(**FULL, **pretrained(), **EACH[name])
    run(request)
    start = steps[0].before
    for at in (0, 4):
        expected = by_hand(name, request, steps[at], start, noted, at)
        assert expected.keys() == steps[at].gradients.keys()
        plain = by_hand_without(request, steps[at], noted, at)
        furthest = 0.0
        for key, gradient in expected.items():
            torch.testing.assert_close(steps[at].gradients[key], gradient, atol=2e-4, rtol=2e-2)
            furthest = max(furthest, float((gradient - plain[key]).abs().max()))
        # at the start of DELTA nothing has moved but the mode of BatchNorm
        assert furthest > 1e-3


def by_hand_without(request: TrialRequest, step: Step, noted: Noted, at: int) -> dict[str, Tensor]:
    network = fresh(request, step.before)
    F.cross_entropy(network.module(noted.batches[at][0]), noted.batches[at][1]).backward()
    return {key: one.grad for key, one in network.module.named_parameters() if one.grad is not None}


@pytest.mark.parametrize(
    # a cross-entropy cannot fall below the entropy of its targets
    ("name", "most"),
    [("lwf", 0.8), ("co_tuning", 0.95), ("delta", 0.5), ("bss", 0.8)],
)
def test_a_strong_term_is_smaller_after_training(
    make_request, pretrained, name: str, most: float
) -> None:
    """Its own value: what is held stays where it was, what is shrunk gets smaller."""
    ends = {}
    for weight in (1e-6, {"bss": 3.0}.get(name, 30.0)):
        recipe = {**FULL, "epochs": 4, **pretrained(), **EACH[name], name: weight}
        recipe |= {"optimizer": "sgd", "clip_norm": 5.0}
        if name == "delta":
            # statistics of batches would be a distance that no weight can take away
            recipe |= {"batch_norm": "frozen", "optimizer": "adamw"}
        epochs = run(make_request(**recipe))
        ends[weight] = epochs[-1][f"train/{name}"] / weight
    weak, strong = ends.values()
    assert strong < most * weak


def test_the_source_classifier_learns_at_the_trunks_rate_and_is_not_kept(
    make_request, pretrained, monkeypatch
) -> None:
    steps = spy(monkeypatch)
    noted = Noted(monkeypatch)
    recipe = {**FULL, "lr_ratio": 0.5, "weight_decay": 0.1, "l2_sp": 0.1}
    request = make_request(**recipe, **pretrained(), lwf=1.0)
    run(request)
    groups = {group["name"]: group for group in steps[0].active.optimizer.param_groups}
    assert [name for name in groups if name.startswith("source/")] == [
        "source/decay",
        "source/no_decay",
    ]
    assert groups["source/decay"]["lr"] == groups["trunk/decay"]["lr"]
    # L2-SP takes the decay of the trunk alone
    assert groups["source/decay"]["weight_decay"] == 0.1
    assert groups["trunk/decay"]["weight_decay"] == 0.0
    assert not torch.equal(noted.sources[0]["weight"], noted.sources[-1]["weight"])
    kept = load_file(request.folder / "delta.safetensors")
    assert all(tensor.shape[:1] != (7,) for tensor in kept.values())


@pytest.mark.parametrize("name", ["lwf", "co_tuning", "delta"])
def test_parts_of_a_batch_give_the_gradient_of_the_whole(
    make_request, pretrained, monkeypatch, name: str
) -> None:
    recipe = {**FULL, "batch_norm": "frozen", "optimizer": "sgd", **pretrained(), **EACH[name]}
    steps = spy(monkeypatch)
    run(make_request(**recipe))
    n_whole = len(steps)
    run(make_request(**recipe, micro_batch=3))
    for key, gradient in steps[0].gradients.items():
        torch.testing.assert_close(steps[n_whole].gradients[key], gradient, atol=1e-5, rtol=1e-3)


def test_in_a_probes_phase_nothing_is_added(make_request, pretrained, monkeypatch) -> None:
    steps = spy(monkeypatch)
    phases = (Phase(epochs=1, freeze_depth="all"), Phase(epochs=1, freeze_depth=-1))
    terms = {"lwf": 1.0, "co_tuning": 1.0, "delta": 1.0, "bss": 0.01}
    epochs = run(make_request(phases=phases, head_lr=1e-2, **pretrained(), **terms))
    named = {f"train/{name}" for name in terms}
    assert not named & epochs[0].keys()
    assert named <= epochs[1].keys()
    assert steps[0].active.transfer is None
    # DELTA: the unit that is free, and none of those that cannot move
    with_units = steps[-1].active
    assert with_units.network.boundary.depth == with_units.network.boundary.n_units - 1


@pytest.mark.parametrize("name", EACH)
def test_a_cut_network_is_held_as_a_whole_one(
    make_request, pretrained, tmp_path, monkeypatch, name: str
) -> None:
    """The frozen part's kept activations go through both passes."""
    recipe = {"freeze_depth": -2, "head_lr": 1e-2, "epochs": 2, **pretrained(), **EACH[name]}
    steps = spy(monkeypatch)
    whole = run(make_request(**recipe))
    n_whole = len(steps)
    cut = run(make_request(**recipe, cache=tmp_path / "cache"))
    assert steps[-1].active.trained_part.cut.at is not None
    assert steps[0].active.trained_part.cut.at is None
    for one, other in zip(whole, cut, strict=True):
        assert other[f"train/{name}"] == pytest.approx(one[f"train/{name}"], rel=1e-3, abs=1e-7)
    for key, gradient in steps[0].gradients.items():
        torch.testing.assert_close(steps[n_whole].gradients[key], gradient, atol=1e-5, rtol=1e-3)


def test_adapters_begin_where_the_pretrained_network_is(make_request, pretrained) -> None:
    """LoRA changes nothing until it learns: the first steps have nothing to hold back."""
    terms = {"lwf": 1.0, "delta": 1.0, "co_tuning": 0.1, "bss": 0.001}
    recipe = {"freeze_depth": "all", "lora_rank": 2, "head_lr": 1e-1, "lr_ratio": 1.0}
    epochs = run(make_request(**recipe, epochs=1, batch_size=19, **pretrained(), **terms))
    assert epochs[0]["train/delta"] == pytest.approx(0.0, abs=1e-9)
    # up to the rounding of features in other batches
    assert epochs[0]["train/lwf"] == pytest.approx(0.0, abs=1e-5)
    assert epochs[0]["train/bss"] > 0


@pytest.mark.parametrize("more", [{"mixup": 0.5}, {"cutmix": 0.5}, {"ema_decay": 0.9}], ids=str)
def test_they_go_with_mixing_and_averages(make_request, pretrained, more) -> None:
    terms = {"lwf": 1.0, "co_tuning": 1.0, "delta": 1.0, "bss": 0.01}
    epochs = run(make_request(**FULL, **pretrained(), **terms, **more))
    for epoch in epochs:
        assert all(0 < epoch[f"train/{name}"] < 1e3 for name in terms)


def test_they_go_with_half_precision(make_request, pretrained) -> None:
    terms = {"lwf": 1.0, "co_tuning": 1.0, "delta": 1.0, "bss": 0.01}
    half = run(make_request(**FULL, **pretrained(), **terms, precision="bf16"))
    full = run(make_request(**FULL, **pretrained(), **terms))
    for name in terms:
        assert half[0][f"train/{name}"] == pytest.approx(full[0][f"train/{name}"], rel=0.2)


def test_the_pass_of_the_start_leaves_no_trace(make_request, pretrained, monkeypatch) -> None:
    """With next to no weight, DELTA's trial is the one without it.

    Nothing is drawn, nothing is moved.
    """
    steps = spy(monkeypatch)
    recipe = {
        **FULL,
        "backbone": "test_resnet",
        "drop_path": 0.3,
        "dropout": 0.3,
        "optimizer": "sgd",
    }
    recipe |= pretrained("test_resnet")
    without = run(make_request(**recipe))
    n_steps = len(steps)
    with_it = run(make_request(**recipe, delta=1e-30))
    for one, other in zip(steps[:n_steps], steps[n_steps:], strict=True):
        for key, tensor in one.after.items():
            # a weight of 0 may be 1e-33 now
            torch.testing.assert_close(other.after[key], tensor, atol=1e-20, rtol=0)
    assert [one["val/nll"] for one in without] == [one["val/nll"] for one in with_it]
    assert with_it[0]["train/delta"] > 0
