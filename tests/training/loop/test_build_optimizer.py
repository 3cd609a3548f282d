"""The vocabulary of optimizers is what timm offers and a trial can use.

Each learns, and goes on from a checkpoint as if nothing had happened.
"""

from __future__ import annotations

import pytest
import timm.optim
import torch
from support.model_zoo import build
from torch.nn import functional as F

from ablate.recipe.optimizers import OPTIMIZERS, REFUSED, WITH_MOMENTUM
from ablate.recipe.recipe import Recipe
from ablate.training.loop.build_optimizer import make_optimizer
from ablate.training.loop.optimizer_state import load_optimizer, optimizer_state

RECIPE = Recipe(backbone="test_vit", weights="none", freeze_depth=-1, head_lr=1e-2, lr_ratio=0.5)


def test_every_optimizer_of_timm_is_taken_or_refused_with_a_reason() -> None:
    theirs = {str(name) for name in timm.optim.list_optimizers()}
    refused = {name for name in theirs if name.startswith(tuple(REFUSED))}
    assert theirs == OPTIMIZERS | refused
    assert not OPTIMIZERS & refused
    assert refused >= {"adahessian", "kron", "bnbadamw", "fusedlamb"}
    assert {
        name for name in OPTIMIZERS if timm.optim.get_optimizer_info(name).has_momentum
    } == WITH_MOMENTUM


def _step(network, optimizer, rows: torch.Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    network.train()
    F.cross_entropy(
        network.module.forward_head(network.module.blocks[-1](rows)), torch.arange(4) % 5
    ).backward()
    optimizer.step()


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_it_learns_and_a_checkpoint_of_it_is_exact(name: str) -> None:
    recipe = RECIPE.model_copy(update={"optimizer": name})
    rows = torch.randn(4, 17, 64, generator=torch.Generator().manual_seed(0))
    network = build("test_vit", image_size=64, freeze_depth=-1)
    optimizer = make_optimizer(network, recipe)
    rates = [group["lr"] for group in optimizer.param_groups]
    assert sorted(set(rates)) == [5e-3, 1e-2]
    before = {key: one.detach().clone() for key, one in network.module.named_parameters()}
    for _ in range(3):
        _step(network, optimizer, rows)
    changed = {
        key for key, one in network.module.named_parameters() if not torch.equal(one, before[key])
    }
    assert changed >= {"head.weight", "blocks.5.mlp.fc1.weight"} or name in ("lars", "nlars")
    other = build("test_vit", image_size=64, freeze_depth=-1)
    other.module.load_state_dict(network.module.state_dict())
    resumed = make_optimizer(other, recipe)
    load_optimizer(resumed, *optimizer_state(optimizer))
    for _ in range(3):
        _step(network, optimizer, rows)
        _step(other, resumed, rows)
    assert all(
        torch.equal(one, two)
        for one, two in zip(network.module.parameters(), other.module.parameters(), strict=True)
    )
