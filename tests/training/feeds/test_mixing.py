"""Mixup and cutmix: what is mixed, in which shares, and that it reaches the loss."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ablate.data.store import ImageStore
from ablate.model.backbone import preprocessing_of
from ablate.study.request import Compute
from ablate.training.feeds.batches import ImageFeed
from ablate.training.feeds.mixing import MixedFeed, draw_mixture
from ablate.training.feeds.sampling import every_image
from ablate.training.trial_run import run_trial

IMAGES = torch.arange(6.0)[:, None, None, None].expand(6, 3, 20, 16).contiguous()
"""Image i is the number i everywhere, so that what is in a mixture can be read off."""
SHARES = F.one_hot(torch.arange(6), 6).float()


def _mix(seed: int, **alphas: float) -> tuple[torch.Tensor, torch.Tensor]:
    alphas = {"mixup": 0.0, "cutmix": 0.0, **alphas}
    mixture = draw_mixture(IMAGES.shape, np.random.default_rng(seed), **alphas)
    return mixture.of_images(IMAGES), mixture.of_shares(SHARES)


@pytest.mark.parametrize("alphas", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.8, "cutmix": 1.0}])
def test_labels_are_mixed_in_the_shares_of_the_pixels_and_sum_to_one(
    alphas: dict[str, float],
) -> None:
    n_mixed = 0
    for seed in range(30):
        images, shares = _mix(seed, **alphas)
        torch.testing.assert_close(shares.sum(1), torch.ones(6))
        torch.testing.assert_close(
            images.mean((1, 2, 3)), shares @ torch.arange(6.0), atol=1e-4, rtol=0
        )
        n_mixed += int((shares.max(1).values < 0.99).sum())
    assert n_mixed > 60


def test_mixup_blends_and_cutmix_pastes_one_box() -> None:
    blended, _ = _mix(1, mixup=1.0)
    assert all(len(image.unique()) == 1 for image in blended)
    pasted, shares = _mix(3, cutmix=1.0)
    for own, image in enumerate(pasted):
        rows, columns = torch.nonzero(image[0] != own, as_tuple=True)
        if len(rows):
            assert (
                image[:, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] != own
            ).all()
            assert set(image.unique().tolist()) == {
                float(own),
                float(shares[own].topk(2).indices[shares[own].topk(2).indices != own][0]),
            }


def test_a_coin_decides_between_both() -> None:
    ways = {bool((_mix(seed, mixup=1.0, cutmix=1.0)[0] % 1).any()) for seed in range(20)}
    assert ways == {True, False}


def _feed(store: ImageStore, *, cutmix: float = 0.0) -> MixedFeed:
    split = store.split("train")
    compute = Compute(device="cpu", precision="fp32", channels_last=False, threads=1)
    return MixedFeed(
        ImageFeed(
            split,
            preprocessing_of("test_efficientnet", image_size=64),
            compute,
            every_image(split.labels),
        ),
        0.4,
        cutmix,
        3,
    )


@pytest.mark.parametrize("cutmix", [0.0, 1.0])
def test_what_stands_beside_an_image_is_mixed_as_its_label_is(
    store: ImageStore, cutmix: float
) -> None:
    """Shown by the labels themselves: as 0 and 1 beside the images they become the shares."""
    feed = _feed(store, cutmix=cutmix)
    beside = torch.eye(3)[torch.from_numpy(store.split("train").labels)]
    for epoch in range(3):
        shares = [one for _, one in feed.train(policy="none", seed=1, epoch=epoch, batch_size=8)]
        rows = list(feed.beside(beside, seed=1, epoch=epoch, batch_size=8))
        assert len(rows) == len(shares) == 3
        assert all(torch.equal(one, other) for one, other in zip(rows, shares, strict=True))


def test_what_stands_beside_an_image_comes_in_the_order_of_the_images(store: ImageStore) -> None:
    feed = _feed(store).images
    beside = torch.from_numpy(store.split("train").labels)
    batches = feed.train(policy="none", seed=2, epoch=1, batch_size=8)
    rows = feed.beside(beside, seed=2, epoch=1, batch_size=8)
    assert all(torch.equal(one, labels) for one, (_, labels) in zip(rows, batches, strict=True))


def test_batches_follow_from_seed_epoch_and_step(store: ImageStore) -> None:
    feed = _feed(store)
    drawn = [
        [shares for _, shares in feed.train(policy="light", seed=seed, epoch=epoch, batch_size=8)]
        for seed, epoch in ((0, 0), (0, 0), (0, 1), (1, 0))
    ]
    assert all(torch.equal(one, other) for one, other in zip(drawn[0], drawn[1], strict=True))
    assert not any(torch.equal(drawn[0][0], other[0]) for other in drawn[2:])
    assert all(labels.ndim == 1 for _, labels in feed.evaluate(batch_size=8))


@pytest.mark.slow
@pytest.mark.parametrize("mixing", [{"mixup": 0.4}, {"cutmix": 1.0}])
def test_a_trial_that_mixes_runs_uncut_says_so_and_learns_otherwise(
    make_request, tmp_path: Path, mixing: dict[str, float]
) -> None:
    losses = []
    for fields in ({}, mixing):
        outcome = run_trial(
            make_request(**fields, head_lr=1e-2, cache=tmp_path / "cache"),
            lambda _e, _n, metrics: losses.append(metrics["train/loss"]),
        )
    assert outcome.facts.prefix is not None
    (cut,) = outcome.facts.prefix
    assert cut.at is None
    assert cut.why_uncut == "train images are mixed, kept activations are of single images"
    assert 0 <= outcome.metrics["val/macro_f1"] <= 1
    assert losses[0] != losses[2]
