"""Policies and strengths on real photographs and textile surfaces, against torchvision's own
classes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import conformal_clip_data
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode, v2

from ablate.data.augment import clean, views
from ablate.data.operations import (
    MIX,
    MIX_BINS,
    N_BINS,
    OPERATIONS,
    RAND,
    TRIVIAL,
    Ranges,
    magnitude,
)
from ablate.data.square import square
from ablate.data.warps import GREY
from ablate.recipe.policy import policy_of, policy_word
from ablate.recipe.recipe import Recipe


def _real_images() -> np.ndarray:
    root = conformal_clip_data.textile_simulated_root()
    paths = [
        path
        for name in ("nominal", "local", "global")
        for path in sorted((root / name).glob("*"))[:8]
    ]
    return np.stack(
        [
            square(Image.open(path).convert("RGB"), side=74, resample=Image.Resampling.BICUBIC)
            for path in paths
        ]
    )


REAL = _real_images()
EVERY = range(len(REAL))
CLEAN = clean(REAL, EVERY, image_size=64).float()


def _draw(word: str, epoch: int = 0) -> torch.Tensor:
    return views(
        REAL, EVERY, policy=word, image_size=64, interpolation="bicubic", seed=0, epoch=epoch
    )


def _distance(word: str) -> float:
    """Mean absolute difference from the clean image, in grey levels, over images and epochs."""
    return float(
        torch.stack(
            [(_draw(word, epoch).float() - CLEAN).abs().mean() for epoch in range(4)]
        ).mean()
    )


@pytest.mark.slow
def test_a_larger_strength_is_further_from_the_clean_image() -> None:
    distances = [_distance(word) for word in ("none", "0.1", "0.25", "0.5", "0.75", "1.0")]
    assert distances[0] == 0
    assert all(smaller + 0.3 < larger for smaller, larger in pairwise(distances)), distances


@pytest.mark.slow
def test_the_whole_strength_is_the_strong_level() -> None:
    assert torch.equal(_draw("1.0"), _draw("strong"))


@pytest.mark.slow
def test_every_policy_changes_images_and_differs_from_the_others() -> None:
    drawn = {
        word: _draw(word)
        for word in ("light", "medium", "strong", "randaugment", "trivialaugment", "augmix", "0.5")
    }
    for word, images in drawn.items():
        assert (images.float() - CLEAN).abs().mean() > 1, word
        assert not any(
            torch.equal(images, other) for name, other in drawn.items() if name != word
        ), word


@pytest.mark.slow
@pytest.mark.parametrize(
    ("theirs", "ranges", "n_bins"),
    [
        (v2.RandAugment, RAND, N_BINS),
        (v2.TrivialAugmentWide, TRIVIAL, N_BINS),
        (v2.AugMix, MIX, MIX_BINS),
    ],
)
def test_operations_are_torchvisions(theirs: Any, ranges: Ranges, n_bins: int) -> None:
    """At each end and in the middle of its range each is, to the last bit, that of v2's class."""
    oracle = theirs(interpolation=InterpolationMode.BILINEAR, fill=GREY)
    image = torch.from_numpy(REAL[12]).permute(2, 0, 1).contiguous()
    left_out = {"Identity"} if theirs is v2.AugMix else set()
    assert set(oracle._AUGMENTATION_SPACE) == set(OPERATIONS) - left_out
    for name, (magnitudes, is_signed) in oracle._AUGMENTATION_SPACE.items():
        bins = magnitudes(n_bins, 74, 74)
        for position in (0, n_bins // 2, n_bins - 1):
            strength = magnitude(name, position / (n_bins - 1), ranges, side=74)
            if bins is not None:  # in float32
                assert strength == pytest.approx(float(bins[position]), abs=1e-4), name
            for sign in (1, -1) if is_signed else (1,):
                expected = oracle._apply_image_or_video_transform(
                    image,
                    name,
                    sign * strength,
                    interpolation=oracle.interpolation,
                    fill=oracle._fill,
                )
                assert torch.equal(OPERATIONS[name](image, sign * strength), expected), name


def test_flips_alone_mirror_about_half_of_the_images() -> None:
    for flip, dims in {"horizontal": [3], "vertical": [2]}.items():
        images = _draw(f"none flip={flip}").float()
        mirrored = [
            torch.equal(one, other.flip(dims[0] - 1))
            for one, other in zip(images, CLEAN, strict=True)
        ]
        kept = [torch.equal(one, other) for one, other in zip(images, CLEAN, strict=True)]
        assert all(a or b for a, b in zip(mirrored, kept, strict=True))
        assert 5 <= sum(mirrored) <= 19
    ways = {
        tuple(torch.equal(one, other.flip(dims)) for dims in ([], [1], [2], [1, 2]))
        for one, other in zip(_draw("none flip=both").float(), CLEAN, strict=True)
    }
    assert len(ways) == 4


def test_no_flip_leaves_the_same_crops_unmirrored() -> None:
    plain, flipped = _draw("light flip=none"), _draw("light")
    same = [torch.equal(one, other) for one, other in zip(plain, flipped, strict=True)]
    mirrored = [torch.equal(one, other.flip(2)) for one, other in zip(plain, flipped, strict=True)]
    assert all(a or b for a, b in zip(same, mirrored, strict=True)) and 5 <= sum(mirrored) <= 19


@pytest.mark.slow
def test_colour_jitter_alone_keeps_the_place_and_moves_the_colours() -> None:
    images = _draw("none color_jitter=0.5").float()
    shift = (images - CLEAN).mean((1, 2, 3)).abs()
    assert shift.max() > 20
    for one, other in zip(images, CLEAN, strict=True):
        pair = torch.stack([one.mean(0).flatten(), other.mean(0).flatten()])
        if pair.std(1).min() > 5:  # a flat surface has no pattern to compare
            assert torch.corrcoef(pair)[0, 1] > 0.9
    assert torch.equal(_draw("medium color_jitter=0.0"), _draw("medium color_jitter=0"))
    assert not torch.equal(_draw("medium color_jitter=0.0"), _draw("medium"))


@pytest.mark.slow
def test_erase_greys_one_patch_of_every_image_and_nothing_else() -> None:
    images = _draw("none erase=1")
    for one, other in zip(images, CLEAN, strict=True):
        differs = (one.float() != other).any(0)
        assert (one[:, differs] == 127).all()
        assert 0.01 < (one == 127).all(0).float().mean() < 0.35
    assert torch.equal(_draw("strong erase=0")[:1], _draw("strong erase=0.0")[:1])


def test_auto_flips_where_augmentation_is_on_but_not_digits() -> None:
    assert policy_word(Recipe(), source="textile") == "none"
    assert policy_word(Recipe(augment="light"), source="textile") == "light"
    assert policy_word(Recipe(augment="light"), source="torchvision:MNIST") == "light flip=none"
    assert (
        policy_word(Recipe(augment="light", flip="horizontal"), source="torchvision:MNIST")
        == "light"
    )
    assert (
        policy_word(Recipe(augment=0.0, flip="vertical"), source="textile") == "none flip=vertical"
    )
    assert policy_word(Recipe(augment=0.4, erase=0.5), source="textile") == "0.4 erase=0.5"


@pytest.mark.parametrize(
    "word", ["none", "light flip=none", "0.4 color_jitter=0.2 erase=0.5", "none flip=both"]
)
def test_a_word_says_the_whole_policy(word: str) -> None:
    policy = policy_of(word)
    recipe = Recipe(
        augment=policy.augment,
        flip=policy.flip,
        color_jitter=policy.color_jitter,
        erase=policy.erase,
    )
    assert policy_word(recipe, source="textile") == word
