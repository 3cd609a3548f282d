"""Orders and batches: every image once an epoch, the same whoever draws them."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ablate.data.store import ImageStore
from ablate.model.backbone import preprocessing_of
from ablate.study.request import Compute
from ablate.training.feeds.batches import ImageFeed, split_batches
from ablate.training.feeds.sampling import epoch_order, every_image


@given(st.integers(1, 300), st.integers(0, 5), st.integers(0, 5))
def test_an_order_is_a_permutation_that_the_seed_and_the_epoch_decide(
    n_images: int, seed: int, epoch: int
) -> None:
    order = epoch_order(n_images, seed=seed, epoch=epoch)
    assert sorted(order) == list(range(n_images))
    assert np.array_equal(order, epoch_order(n_images, seed=seed, epoch=epoch))


def test_orders_differ_between_epochs_and_seeds() -> None:
    orders = {
        tuple(epoch_order(50, seed=seed, epoch=epoch)) for seed in range(3) for epoch in range(3)
    }
    assert len(orders) == 9


@given(st.integers(1, 200), st.integers(1, 64))
def test_batches_hold_every_image_once_and_none_is_of_one_image(
    n_images: int, batch_size: int
) -> None:
    batches = split_batches(np.arange(n_images), batch_size=batch_size)
    assert np.array_equal(np.concatenate(batches), np.arange(n_images))
    if n_images > 1 and batch_size > 1:
        assert min(map(len, batches)) > 1


def _feed(store: ImageStore) -> ImageFeed:
    preprocessing = preprocessing_of("test_efficientnet", image_size=64)
    split = store.split("train")
    return ImageFeed(
        split,
        preprocessing,
        Compute(device="cpu", precision="fp32", channels_last=True, threads=1),
        every_image(split.labels),
    )


def test_train_without_augmentation_sees_what_validation_sees(store: ImageStore) -> None:
    feed = _feed(store)
    clean = torch.cat([images for images, _ in feed.evaluate(batch_size=5)])
    order = epoch_order(len(feed), seed=3, epoch=1)
    train = torch.cat(
        [images for images, _ in feed.train(policy="none", seed=3, epoch=1, batch_size=4)]
    )
    assert torch.equal(train, clean[torch.from_numpy(order)])


def test_a_view_does_not_depend_on_the_batch_it_is_in(store: ImageStore) -> None:
    feed = _feed(store)
    order = torch.from_numpy(epoch_order(len(feed), seed=3, epoch=1))
    train = torch.cat(
        [images for images, _ in feed.train(policy="strong", seed=3, epoch=1, batch_size=4)]
    )
    for batch_size in (1, 7, 64):
        stored = torch.cat(list(feed.view(policy="strong", seed=3, epoch=1, batch_size=batch_size)))
        assert torch.equal(train, stored[order])


def test_images_are_normalised_as_the_backbone_wants_them(store: ImageStore) -> None:
    feed = _feed(store)
    start = round((store.side - 64) / 2)
    raw = (
        torch.from_numpy(
            store.split("train").images[0][start : start + 64, start : start + 64].copy()
        )
        .permute(2, 0, 1)
        .double()
        / 255
    )
    mean, std = (
        torch.tensor(values, dtype=torch.float64).view(3, 1, 1)
        for values in (feed.preprocessing.mean, feed.preprocessing.std)
    )
    images, labels = next(iter(feed.evaluate(batch_size=2)))
    torch.testing.assert_close(images[0].double(), (raw - mean) / std, atol=1e-5, rtol=0)
    assert labels.tolist() == store.split("train").labels[:2].tolist()


def test_only_views_with_a_crop_read_the_finer_images(store: ImageStore) -> None:
    feed = _feed(store)
    grey = np.full((len(feed), 96, 96, 3), 77, dtype=np.uint8)
    fine = dataclasses.replace(feed, split=dataclasses.replace(feed.split, fine=grey))
    asked = {"seed": 3, "epoch": 1, "batch_size": 8}
    assert torch.equal(
        torch.cat(list(fine.view(policy="none", **asked))),
        torch.cat(list(feed.view(policy="none", **asked))),
    )
    cropped = torch.cat(list(fine.view(policy="light", **asked)))
    assert torch.equal(cropped, cropped[:1, :, :1, :1].expand_as(cropped))
