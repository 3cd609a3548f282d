"""Network and optimizer before and after every optimizer step of a trial, as they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from ablate.training.loop import fit
from ablate.training.loop.active_phase import ActivePhase


@dataclass
class Step:
    """One optimizer step, as its arguments and effects were."""

    active: ActivePhase
    epoch: int
    rates: dict[str, float]
    """Parameter -> LR."""
    has_momentum: bool
    """Whether the optimizer had any state before the step."""
    before: dict[str, Tensor]
    """Every parameter and buffer, bit for bit."""
    after: dict[str, Tensor] = field(default_factory=dict)
    gradients: dict[str, Tensor] = field(default_factory=dict)
    """As the optimizer used them."""
    loss: float = float("nan")
    norm: float = float("nan")


def tensors(active: ActivePhase) -> dict[str, Tensor]:
    module = active.network.module
    return {
        name: tensor.detach().clone()
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]
    }


def spy(
    monkeypatch: pytest.MonkeyPatch, *, then: Callable[[Step], None] = lambda step: None
) -> list[Step]:
    """Record every step that trials take from here on."""
    steps: list[Step] = []
    train_batch, train_epoch = fit.train_batch, fit.train_epoch
    epochs = [0]

    def epoch(active, setup, done):
        epochs[0] = done.n_epochs
        return train_epoch(active, setup, done)

    def batch(active, setup, *batch):
        names = {
            id(parameter): name for name, parameter in active.network.module.named_parameters()
        }
        rates = {
            names[id(one)]: group["lr"]
            for group in active.optimizer.param_groups
            for one in group["params"]
            # the source classifier learns beside the network
            if not group["name"].startswith("source/")
        }
        step = Step(
            active,
            epochs[0],
            rates,
            has_momentum=bool(active.optimizer.state),
            before=tensors(active),
        )
        loss, norm = train_batch(active, setup, *batch)
        step.after, step.loss, step.norm = tensors(active), float(loss), float(norm)
        step.gradients = {
            name: one.grad.clone()
            for name, one in active.network.module.named_parameters()
            if one.grad is not None
        }
        steps.append(step)
        then(step)
        return loss, norm

    monkeypatch.setattr(fit, "train_epoch", epoch)
    monkeypatch.setattr(fit, "train_batch", batch)
    return steps


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
