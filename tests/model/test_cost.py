"""What a prefix costs, against torch's own counter, and what follows from it."""

from __future__ import annotations

import pytest
import torch
from support.untyped import untyped
from torch.utils.flop_counter import FlopCounterMode

from ablate.model.backbone import create_backbone
from ablate.model.cost import PrefixCost, cost_before, cost_of_depth


@pytest.mark.parametrize("backbone", ["test_efficientnet", "test_resnet"])
def test_the_whole_trunk_costs_what_torch_counts(backbone: str) -> None:
    module = untyped(create_backbone(backbone, n_classes=2, image_size=64).eval())
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        features = module.forward_features(torch.zeros(1, 3, 64, 64))
        embedding = module.forward_head(features, pre_logits=True)
    n_units = next(depth for depth in range(99, 0, -1) if _is_depth(backbone, depth))
    cost = cost_of_depth(backbone, 64, n_units)
    assert cost.n_values == embedding.numel()
    assert 2 * cost.n_multiply_adds == counter.get_total_flops()


def _is_depth(backbone: str, depth: int) -> bool:
    try:
        cost_of_depth(backbone, 64, depth)
    except StopIteration:
        return False
    return True


def test_deeper_costs_more_and_a_door_is_the_same_place_as_its_depth() -> None:
    costs = [cost_of_depth("test_vit", 64, depth) for depth in range(8)]
    assert costs == sorted(costs, key=lambda cost: cost.n_multiply_adds)
    assert costs[0].n_multiply_adds == 0
    assert cost_before("test_vit", 64, "head") == costs[-1]
    with pytest.raises(KeyError, match=r"^'nowhere'$"):
        cost_before("test_vit", 64, "nowhere")


def test_worth_is_compute_against_size_by_device() -> None:
    cheap, dear = (
        PrefixCost(n_values=1000, n_multiply_adds=249_999),
        PrefixCost(n_values=1000, n_multiply_adds=20_000_000),
    )
    assert [
        cost.is_worth_keeping(device) for cost in (cheap, dear) for device in ("cpu", "cuda")
    ] == [False, False, True, True]
    assert not PrefixCost(n_values=1000, n_multiply_adds=250_000).is_worth_keeping("cuda")
