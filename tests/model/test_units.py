from __future__ import annotations

from collections import Counter

import pytest
import timm
import torch
from support.model_zoo import IN_ORDER, TRAINED
from support.untyped import untyped
from timm.models._manipulate import group_parameters
from torch import nn

from ablate.errors import CheckFailed
from ablate.model.backbone import classifier_names, create_backbone, run_order
from ablate.model.units import Unit, check_cover, find_units, first_disorder


def _taken_apart(backbone: str, side: int) -> tuple[nn.Module, list[str], tuple[Unit, ...]]:
    with torch.device("meta"):
        module = create_backbone(backbone, n_classes=5, image_size=side)
    prefixes = tuple(f"{name}." for name in classifier_names(module))
    heads = [name for name, _ in module.named_parameters() if name.startswith(prefixes)]
    return module, heads, find_units(module, heads)


def test_the_zoo_is_large_enough() -> None:
    assert len(TRAINED) >= 20
    assert len(IN_ORDER) >= 40


@pytest.mark.slow
@pytest.mark.parametrize("backbone", IN_ORDER)
def test_units_cover_every_trunk_parameter_once_and_in_forward_order(backbone: str) -> None:
    module, heads, units = _taken_apart(backbone, IN_ORDER[backbone])
    counts = Counter(name for unit in units for name in unit.parameter_names)
    assert counts == Counter(name for name, _ in module.named_parameters() if name not in heads)
    assert heads
    assert len(units) >= 4
    assert len({unit.name for unit in units}) == len(units)
    assert units[0].name == "stem"
    assert first_disorder(units, run_order(backbone, IN_ORDER[backbone])) is None


@pytest.mark.parametrize(
    "backbone",
    [
        "test_resnet",
        "tf_efficientnet_lite0",
        "mobilenetv3_small_050",
        "test_convnext",
        "test_vit",
        "deit_tiny_distilled_patch16_224",
    ],
)
def test_a_real_forward_pass_reaches_the_units_one_after_the_other(backbone: str) -> None:
    module = create_backbone(backbone, n_classes=5, image_size=64)
    prefixes = tuple(f"{name}." for name in classifier_names(module))
    units = find_units(
        module, [name for name, _ in module.named_parameters() if name.startswith(prefixes)]
    )
    unit_of = {name: i for i, unit in enumerate(units) for name in unit.parameter_names}
    reached: list[int] = []
    for name, child in module.named_modules():
        own = [f"{name}.{own_name}" for own_name, _ in child.named_parameters(recurse=False)]
        if name and own and own[0] in unit_of:
            child.register_forward_hook(lambda _m, _i, _o, i=unit_of[own[0]]: reached.append(i))
    module.eval()(torch.zeros(1, 3, 64, 64))
    assert reached == sorted(reached)
    assert set(reached) == set(range(len(units)))


@pytest.mark.slow
@pytest.mark.parametrize("backbone", IN_ORDER)
def test_units_refine_the_groups_that_timm_makes(backbone: str) -> None:
    module, heads, units = _taken_apart(backbone, IN_ORDER[backbone])
    unit_of = {name: i for i, unit in enumerate(units) for name in unit.parameter_names}
    group_of = group_parameters(module, untyped(module).group_matcher(coarse=True), reverse=True)
    pairs = sorted({(group_of[name], unit_of[name]) for name in unit_of})
    by_group = [unit for _, unit in pairs]
    assert by_group == sorted(by_group)
    assert (
        len({group for group, _ in pairs}) <= len(units) + 1
    )  # a trailing norm may have a group of its own in timm
    assert not set(heads) & unit_of.keys()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "last_unit", "is_own"),
    [
        ("tf_efficientnet_lite0", "conv_head+bn2", True),
        ("mobilenetv3_small_050", "conv_head", True),
        ("test_nfnet", "final_conv", True),
        ("vit_tiny_patch16_224", "blocks.11", False),
        ("convnext_atto", "stages.3", False),
        ("swin_tiny_patch4_window7_224", "layers.3", False),
        ("resnet18", "layer4", False),
    ],
)
def test_a_tail_with_a_kernel_is_a_unit_and_a_norm_alone_is_not(
    backbone: str, last_unit: str, is_own: bool
) -> None:
    module, _, units = _taken_apart(backbone, IN_ORDER[backbone])
    last = units[-1]
    assert last.name == last_unit
    assert any(module.get_parameter(name).ndim >= 2 for name in last.parameter_names)
    if not is_own:
        assert all(
            name.startswith((f"{last_unit}.", "norm.", "head.norm."))
            for name in last.parameter_names
        )


def test_both_heads_of_a_distilled_transformer_are_head() -> None:
    _, heads, _ = _taken_apart("deit_tiny_distilled_patch16_224", 224)
    assert heads == ["head.weight", "head.bias", "head_dist.weight", "head_dist.bias"]


def test_units_that_do_not_cover_the_trunk_are_a_bug_with_names() -> None:
    units = [Unit("stem", ("a.weight",)), Unit("blocks.0", ("b.weight", "a.weight"))]
    with pytest.raises(CheckFailed) as caught:
        check_cover(units, ["a.weight", "b.weight", "c.bias"])
    assert (
        str(caught.value)
        == "every trunk parameter must be in exactly one of 2 units, these are not: ['a.weight', "
        "'c.bias']"
    )


def test_disorder_is_found() -> None:
    units = [Unit("stem", ("a.weight",)), Unit("blocks.0", ("b.weight",))]
    assert first_disorder(units, ["a", "act", "b"]) is None
    assert first_disorder(units, ["a", "b", "a"]) == ("stem", "blocks.0")


def test_timm_knows_every_architecture_of_the_zoo() -> None:
    assert [name for name in IN_ORDER if not timm.is_model(name)] == []
