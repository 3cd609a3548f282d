from __future__ import annotations

import pytest
import torch

from ablate.errors import SpecError
from ablate.model.backbone import Preprocessing, preprocessing_of, run_order
from ablate.model.network import build_network, check_recipe
from ablate.recipe.recipe import Recipe


@pytest.mark.parametrize(
    ("i", "size", "crop", "side"), [(0, 224, 0.875, 256), (1, 240, 0.882, 272), (2, 260, 0.89, 292)]
)
def test_preprocessing_of_the_bundled_backbones(i: int, size: int, crop: float, side: int) -> None:
    found = preprocessing_of(f"tf_efficientnet_lite{i}", image_size="auto")
    assert found == Preprocessing(
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        image_size=size,
        crop_pct=crop,
        interpolation="bicubic",
    )
    assert found.store_side == side


def test_a_smaller_image_keeps_the_crop() -> None:
    found = preprocessing_of("tf_efficientnet_lite0", image_size=128)
    assert (found.image_size, found.store_side) == (128, 146)
    assert preprocessing_of("resnet50.a1_in1k", image_size="auto").mean == (0.485, 0.456, 0.406)


def test_the_stored_square_is_never_smaller_than_the_image() -> None:
    assert (
        Preprocessing(
            mean=(0, 0, 0), std=(1, 1, 1), image_size=100, crop_pct=1.0, interpolation="bicubic"
        ).store_side
        == 100
    )


def test_an_unknown_backbone_gets_the_nearest_names() -> None:
    with pytest.raises(SpecError) as caught:
        preprocessing_of("tf_efficientnet_lite9", image_size="auto")
    assert str(caught.value) == (
        "backbone must be the name of a timm classification model, got 'tf_efficientnet_lite9'; "
        "nearest: tf_efficientnet_lite4, tf_efficientnet_lite3, tf_efficientnet_lite2"
    )


@pytest.mark.parametrize("backbone", ["qqqqqqqqqqqq", "hf-hub:timm/resnet18.a1_in1k", ""])
def test_what_is_no_name_in_timm_is_refused(backbone: str) -> None:
    with pytest.raises(
        SpecError,
        match=f"^backbone must be the name of a timm classification model, got '{backbone}'",
    ):
        preprocessing_of(backbone, image_size="auto")


def test_an_unknown_tag_gets_the_nearest_tags() -> None:
    with pytest.raises(SpecError) as caught:
        preprocessing_of("tf_efficientnet_lite0.in2k", image_size="auto")
    assert (
        str(caught.value)
        == "backbone tf_efficientnet_lite0 must carry a pretrained tag that timm knows, got "
        "'in2k'; nearest: in1k"
    )


def test_an_image_size_below_one() -> None:
    with pytest.raises(SpecError) as caught:
        preprocessing_of("test_vit", image_size=0)
    assert (
        str(caught.value)
        == "image_size must be auto or an int of at least 1 pixel, got 0; test_vit was pretrained "
        "at 160"
    )


def test_a_size_that_the_patches_do_not_divide_is_refused_before_training() -> None:
    with pytest.raises(SpecError) as caught:
        check_recipe(Recipe(backbone="test_vit"), n_classes=5, image_size=97)
    assert str(caught.value) == (
        "image_size must suit test_vit, which was pretrained at 160 and cannot take 97 (Input "
        "height (97) should be divisible by patch size (16).); try auto"
    )


def test_a_trial_meets_the_same_error_as_the_check() -> None:
    with pytest.raises(
        SpecError,
        match=(
            r"^image_size must suit inception_v3, which was pretrained at 299 and cannot take 16 "
            r"\(.+\); try auto$"
        ),
    ):
        build_network(
            Recipe(backbone="inception_v3", weights="none"), n_classes=5, image_size=16, seed=0
        )


def test_the_order_of_a_run_leaves_torch_as_it_was() -> None:
    run_order.cache_clear()
    before = torch.get_rng_state()
    order = run_order("test_resnet", 64)
    assert torch.equal(torch.get_rng_state(), before)
    assert (
        order.index("conv1") < order.index("layer1.0") < order.index("layer4.0") < order.index("fc")
    )
