"""The LR range test finds where a loss falls fastest, keeps the ratios of the groups, and leaves
nothing behind."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ablate.training import lr_range as module
from ablate.training.lr_range import Smoothed, lr_range, read_range


def test_the_suggestion_is_where_the_loss_falls_fastest() -> None:
    rates = np.logspace(-5, 0, 60)
    losses = (
        2.0
        - 1.5 / (1 + np.exp(-4 * (np.log10(rates) + 2.5)))
        + 40 * np.clip(rates - 0.2, 0, None) ** 2
    )
    found = read_range(list(rates), list(losses))
    assert found.suggestion == pytest.approx(10**-2.5, rel=0.25)
    assert found.largest == pytest.approx(rates[int(np.argmin(losses))])
    assert found.suggestion < found.largest


def test_the_smoothed_loss_is_an_average_and_tells_when_training_breaks() -> None:
    losses = Smoothed()
    assert not any(losses.add(2.0) for _ in range(5))
    assert losses.means == pytest.approx([2.0] * 5)
    assert losses.add(float("nan"))
    assert losses.add(1e3)
    assert len(losses.means) == 6


def test_losses_that_only_rise_suggest_the_lowest_rate() -> None:
    found = read_range([1e-3, 1e-2, 1e-1], [1.0, 2.0, 3.0])
    assert (found.suggestion, found.largest) == (1e-3, 1e-3)


def test_an_arm_is_tried_with_what_holds_it(make_request, pretrained, monkeypatch) -> None:
    """Terms beside the loss are at work, their pass over clean images too, and nothing is kept."""
    shown = []
    train_batch = module.train_batch

    def batch(active, setup, inputs, labels, recorded):
        shown.append((len(labels), tuple(recorded.shape)))
        assert active.transfer.source_layer is not None
        return train_batch(active, setup, inputs, labels, recorded)

    monkeypatch.setattr(module, "train_batch", batch)
    request = make_request(freeze_depth=-1, lwf=1.0, delta=0.1, **pretrained())
    lr_range(request, lowest=1e-5, highest=1e-3, n_steps=4)
    assert shown == [(8, (8, 7)), (8, (8, 7)), (3, (3, 7)), (8, (8, 7))]
    assert list(request.folder.iterdir()) == []


@pytest.mark.slow
def test_an_arm_is_tried_with_its_ratios_and_nothing_is_kept(make_request, monkeypatch) -> None:
    seen = []
    train_batch = module.train_batch

    def batch(active, setup, *batch):
        seen.append({group["name"]: group["lr"] for group in active.optimizer.param_groups})
        return train_batch(active, setup, *batch)

    monkeypatch.setattr(module, "train_batch", batch)
    request = make_request(
        strategy="lp_ft", freeze_depth=0, epochs=3, lr_ratio=0.5, batch_norm="frozen", l2_sp=0.01
    )
    torch.manual_seed(3)
    before = torch.get_rng_state()
    found = lr_range(request, lowest=1e-5, highest=10.0, n_steps=25)
    again = lr_range(request, lowest=1e-5, highest=10.0, n_steps=25)
    assert found == again
    assert torch.equal(torch.get_rng_state(), before)
    assert list(request.folder.iterdir()) == []
    assert found.rates[0] == 1e-5
    assert len(found.rates) == len(found.losses) > 10
    assert np.diff(np.log(found.rates)) == pytest.approx(np.log(1e6) / 24, rel=1e-6)
    for rates, head_lr in zip(seen, found.rates, strict=False):
        assert rates["head/decay"] == pytest.approx(head_lr)
        assert rates["trunk/decay"] == pytest.approx(0.5 * head_lr)
    assert 1e-5 < found.suggestion <= found.largest < 10.0
