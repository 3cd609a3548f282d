"""Copies across splits are found, scaled in brightness or mirrored too.

Other images, flat ones among them, are not.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ablate.data import duplicates
from ablate.data.duplicates import near_duplicates, read_near_duplicates, signatures
from ablate.data.store import ImageStore, StoredSplit
from ablate.study.record import NearDuplicates


def _smooth(seed: int) -> np.ndarray:
    """A picture of a few soft patches, as photographs are."""
    coarse = np.random.default_rng(seed).uniform(20, 230, size=(6, 6, 3))
    return np.repeat(np.repeat(coarse, 10, axis=0), 10, axis=1).astype(np.uint8)


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    rng = np.random.default_rng(0)
    images = {
        split: np.stack([_smooth(100 * k + i) for i in range(20)])
        for k, split in enumerate(("train", "val", "test"))
    }
    images["test"][3] = np.clip(
        images["train"][5] + rng.normal(0, 3, size=(60, 60, 3)), 0, 255
    )  # recompressed
    images["test"][4] = images["val"][7][:, ::-1]  # mirrored
    images["val"][9] = (0.8 * images["train"][11] + 20).astype(np.uint8)  # paler
    images["val"][1], images["test"][1] = 128, 130  # flat
    splits = {
        split: StoredSplit(
            images=own, labels=np.arange(20) % 4, image_ids=tuple(f"{split}/{i}" for i in range(20))
        )
        for split, own in images.items()
    }
    return ImageStore(path=tmp_path, side=60, class_names=("a", "b", "c", "d"), splits=splits)


def _found(store: ImageStore) -> NearDuplicates:
    found = near_duplicates(store)
    assert found is not None
    return found


def test_copies_are_found_and_nothing_else(store: ImageStore) -> None:
    found = _found(store)
    pairs = {(one.first_id, one.second_id, one.is_mirrored) for one in found.pairs}
    assert pairs == {
        ("train/5", "test/3", False),
        ("val/7", "test/4", True),
        ("train/11", "val/9", False),
    }
    assert found.n_pairs == 3 and all(0.985 <= one.likeness <= 1 for one in found.pairs)
    assert {(one.first_label, one.second_label) for one in found.pairs} == {(1, 3), (3, 0), (3, 1)}


def test_the_answer_is_kept_beside_the_images(store: ImageStore) -> None:
    found = _found(store)
    (kept,) = store.path.glob("near_duplicates_v*.json")
    assert json.loads(kept.read_text())["n_pairs"] == 3
    kept.write_text('{"n_pairs": 0, "pairs": []}')
    assert _found(store).n_pairs == 0 != found.n_pairs


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"[]",
        b"{",
        b'{"n_pairs": "x", "pairs": []}',
        b'{"n_pairs": 0}',
        b"\xff",
        b'{"n_pair": 0, "pairs": []}',
    ],
)
def test_a_damaged_answer_is_looked_for_again(store: ImageStore, damage: bytes) -> None:
    found = _found(store)
    (kept,) = store.path.glob("near_duplicates_v*.json")
    whole = kept.read_bytes()
    kept.write_bytes(damage)
    assert near_duplicates(store) == found
    assert kept.read_bytes() == whole


def test_every_turned_bit_of_an_answer_is_noticed(store: ImageStore) -> None:
    found = _found(store)
    (kept,) = store.path.glob("near_duplicates_v*.json")
    whole = kept.read_bytes()
    for at in range(0, len(whole), 7):
        flipped = bytearray(whole)
        flipped[at] ^= 1
        kept.write_bytes(flipped)
        with pytest.raises(ValueError):
            read_near_duplicates(kept)
    kept.write_bytes(whole)
    assert read_near_duplicates(kept) == found


def test_an_answer_that_cannot_be_kept_costs_nothing_else(
    store: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(duplicates, "write_text", full)
    assert _found(store).n_pairs == 3


def test_signatures_are_block_means_of_length_one() -> None:
    images = np.random.default_rng(0).integers(0, 256, size=(3, 32, 32, 3)).astype(np.uint8)
    expected = images.reshape(3, 16, 2, 16, 2, 3).mean(axis=(2, 4, 5)).reshape(3, -1)
    expected = expected - expected.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(
        signatures(images, size=16, is_grey=True),
        expected / np.linalg.norm(expected, axis=1, keepdims=True),
        atol=1e-5,
    )


def test_images_smaller_than_the_signature_have_zeros_in_the_rest() -> None:
    images = np.random.default_rng(0).integers(0, 256, size=(3, 4, 4, 3)).astype(np.uint8)
    for _ in range(20):  # memory that is not set holds anything
        np.full((3, 256), np.nan, dtype=np.float32)
        found = signatures(images, size=16, is_grey=True)
        np.testing.assert_array_equal(found[:, 16:], 0)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
