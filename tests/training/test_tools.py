"""Each tool of the loop does what its name says: EMA, clipping, L2-SP, accumulation.

Switched off, each of these tests is red.
"""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from support.spying import moved, spy
from timm.utils import ModelEmaV3

from ablate.model.network import build_network
from ablate.recipe.phase import Phase
from ablate.study.trial_facts import MicroBatch
from ablate.training.loop import step as step_module
from ablate.training.loop.ema import EMA
from ablate.training.loop.l2_sp import L2SP
from ablate.training.trial_run import run_trial

FULL = {"freeze_depth": 0, "head_lr": 1e-2, "epochs": 2}


def _run(request):
    epochs: list[dict[str, float]] = []
    return run_trial(request, lambda _epoch, _n, metrics: epochs.append(metrics)), epochs


def test_the_mean_of_the_weights_is_that_by_hand_and_is_what_is_kept(
    make_request, monkeypatch
) -> None:
    steps = spy(monkeypatch)
    request = make_request(**FULL, ema_decay=0.8, select_by="val/nll")
    outcome, _ = _run(request)
    mean = {name: tensor.clone() for name, tensor in steps[0].before.items()}
    kept = load_file(request.folder / "delta.safetensors")
    for step in steps[: 3 * (outcome.best_epoch + 1)]:
        mean = {
            name: 0.8 * tensor + 0.2 * step.after[name]
            if tensor.is_floating_point()
            else step.after[name]
            for name, tensor in mean.items()
        }
    assert kept.keys() == mean.keys()
    for name, tensor in kept.items():
        torch.testing.assert_close(tensor, mean[name], atol=1e-6, rtol=1e-5)
    assert any(
        not torch.equal(kept[name], steps[3 * (outcome.best_epoch + 1) - 1].after[name])
        for name in kept
    )


def test_it_is_timms_mean(make_request) -> None:
    network = build_network(make_request(**FULL).trial.recipe, n_classes=3, image_size=64, seed=0)
    own, timms = EMA(network, decay=0.7), ModelEmaV3(network.module, decay=0.7)
    for seed in range(3):
        torch.manual_seed(seed)
        with torch.no_grad():
            for parameter in network.module.parameters():
                parameter.add_(torch.randn_like(parameter))
        network.module.train()(torch.randn(4, 3, 64, 64))
        own.update()
        timms.update(network.module)
    theirs = timms.module.state_dict()
    assert own.tensors.keys() == theirs.keys()
    for name, tensor in own.tensors.items():
        torch.testing.assert_close(tensor, theirs[name])


def test_the_mean_is_scored_and_the_weights_train_on_bit_for_bit(make_request, monkeypatch) -> None:
    """After an epoch's end the next step starts from the weights, not from their mean.

    And no step differs from those of a trial without a mean.
    """
    steps = spy(monkeypatch)
    _, with_mean = _run(make_request(**FULL, ema_decay=0.9))
    _, without = _run(make_request(**FULL))
    own, plain = steps[:6], steps[6:]
    assert moved(own[2].after, own[3].before) == set()
    assert all(
        moved(one.after, other.after) == set() for one, other in zip(own, plain, strict=True)
    )
    assert [epoch["val/nll"] for epoch in with_mean] != [epoch["val/nll"] for epoch in without]
    assert [epoch["train/loss"] for epoch in with_mean] == [
        epoch["train/loss"] for epoch in without
    ]


@pytest.mark.slow
@pytest.mark.parametrize("clip_norm", [0.05, 1e6])
def test_clipping_bounds_the_norm_of_all_gradients(
    make_request, monkeypatch, clip_norm: float
) -> None:
    steps = spy(monkeypatch)
    _, epochs = _run(make_request(**FULL, clip_norm=clip_norm))
    for step in steps:
        norm = float(
            torch.stack([gradient.double().square().sum() for gradient in step.gradients.values()])
            .sum()
            .sqrt()
        )
        assert norm == pytest.approx(min(clip_norm, step.norm), rel=1e-4)
        assert step.norm > 0.05
    assert epochs[0]["train/gradient_norm"] == pytest.approx(
        sum(step.norm for step in steps[:3]) / 3, rel=1e-5
    )


def test_l2_sp_adds_its_gradient_to_the_trunks_weights_and_to_nothing_else(
    make_request, monkeypatch
) -> None:
    """In every step of every phase it is, by hand, 0.3 * (w - start).

    The start is that of the trial and not of the phase.
    """
    of_loss: list[dict[str, torch.Tensor]] = []
    accumulate = step_module.accumulate_gradients

    def noted(active, *rest):
        loss = accumulate(active, *rest)
        of_loss.append(
            {
                name: one.grad.clone()
                for name, one in active.network.module.named_parameters()
                if one.grad is not None
            }
        )
        return loss

    monkeypatch.setattr(step_module, "accumulate_gradients", noted)
    steps = spy(monkeypatch)
    phases = (Phase(epochs=1, freeze_depth=-1), Phase(epochs=1, freeze_depth=0))
    _, epochs = _run(make_request(phases=phases, head_lr=1e-2, l2_sp=0.3))
    start = steps[0].before
    held = {
        name
        for name in steps[-1].rates
        if start[name].ndim > 1 and not name.startswith("classifier")
    }
    assert len(held) > 10
    for step, plain in zip(steps, of_loss, strict=True):
        for name, gradient in step.gradients.items():
            pull = (
                0.3 * (step.before[name] - start[name])
                if name in held
                else torch.zeros_like(gradient)
            )
            torch.testing.assert_close(gradient - plain[name], pull, atol=1e-6, rtol=1e-3)
    assert any(not torch.equal(steps[4].before[name], start[name]) for name in held)
    penalty = 0.15 * sum(
        float((steps[2].after[name] - start[name]).double().square().sum())
        for name in held
        if name in steps[2].rates
    )
    assert epochs[0]["train/l2_sp"] == pytest.approx(penalty, rel=1e-5)


def test_l2_sp_pulls(make_request, monkeypatch) -> None:
    """A strong one keeps the trunk's weights near their start.

    The head, biases and norms are not held; weight decay leaves what it holds alone.
    """
    ends = {}
    for weight in (0.0, 30.0):
        steps = spy(monkeypatch)
        _run(
            make_request(
                **{**FULL, "epochs": 4, "optimizer": "sgd", "momentum": 0.0, "lr_ratio": 1.0},
                l2_sp=weight,
                weight_decay=0.1,
            )
        )
        first, last = steps[0].before, steps[-1].after
        ends[weight] = {name: float((last[name] - first[name]).norm()) for name in steps[0].rates}
        names = {id(one): name for name, one in steps[0].active.network.module.named_parameters()}
        decayed = {
            names[id(one)]
            for group in steps[0].active.optimizer.param_groups
            if group["weight_decay"]
            for one in group["params"]
        }
        assert decayed == (
            {"classifier.weight"}
            if weight
            else {name for name in steps[0].rates if first[name].ndim > 1}
        )
    held = {
        name for name in ends[0.0] if first[name].ndim > 1 and not name.startswith("classifier")
    }
    assert sum(ends[30.0][name] for name in held) < 0.7 * sum(ends[0.0][name] for name in held)
    assert ends[30.0]["classifier.weight"] > 0.7 * ends[0.0]["classifier.weight"]


def test_the_gradient_of_l2_sp_is_torchs_of_the_penalty(make_request) -> None:
    network = build_network(make_request(**FULL).trial.recipe, n_classes=3, image_size=64, seed=0)
    start = L2SP(network)
    first = {name: one.detach().clone() for name, one in network.module.named_parameters()}
    with torch.no_grad():
        for one in network.module.parameters():
            one.add_(torch.randn(one.shape, generator=torch.Generator().manual_seed(1)))
            one.grad = torch.zeros_like(one)
    held = {
        name: one
        for name, one in network.module.named_parameters()
        if one.ndim > 1 and name not in network.head_names
    }
    penalty = sum(
        (0.5 * 0.7 * (one - first[name]).square().sum() for name, one in held.items()),
        torch.zeros(()),
    )
    by_torch = dict(zip(held, torch.autograd.grad(penalty, list(held.values())), strict=True))
    start.add_gradient(network, weight=0.7)
    for name, one in network.module.named_parameters():
        torch.testing.assert_close(one.grad, by_torch.get(name, torch.zeros_like(one)))
    assert start.penalty(network, weight=0.7) == pytest.approx(float(penalty.detach()), rel=1e-5)


def test_micro_batches_are_asked_for_and_give_the_steps_of_whole_batches(
    make_request, monkeypatch
) -> None:
    recipe = {**FULL, "batch_norm": "frozen", "optimizer": "sgd"}
    steps = spy(monkeypatch)
    whole, _ = _run(make_request(**recipe))
    n_whole, sizes = len(steps), []
    is_whole_network = lambda module: type(module).__name__ == "EfficientNet" and module.training  # noqa: E731
    handle = torch.nn.modules.module.register_module_forward_pre_hook(
        lambda module, inputs: sizes.append(len(inputs[0])) if is_whole_network(module) else None
    )
    try:
        parts, _ = _run(make_request(**recipe, micro_batch=3))
    finally:
        handle.remove()
    assert (max(sizes), sum(sizes)) == (3, 2 * 19)
    assert parts.facts.micro_batch == MicroBatch(size=3, batch_size=8, reason="as asked")
    assert whole.metrics["n_steps"] == parts.metrics["n_steps"]
    for one, other in zip(steps[:n_whole], steps[n_whole:], strict=True):
        assert one.loss == pytest.approx(other.loss, rel=1e-4)
    for name, gradient in steps[0].gradients.items():
        torch.testing.assert_close(steps[n_whole].gradients[name], gradient, atol=1e-5, rtol=1e-3)
