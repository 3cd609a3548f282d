"""Views that several trials draw are drawn once, and are what each would have drawn."""

from __future__ import annotations

import dataclasses
import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ablate.data.store import ImageStore
from ablate.model.backbone import preprocessing_of
from ablate.study.request import Compute, TrialRequest
from ablate.training.feeds import batches, drawn_views
from ablate.training.feeds.activations import ActivationCache
from ablate.training.feeds.batches import ImageFeed
from ablate.training.feeds.drawn_views import DrawnViews
from ablate.training.feeds.rows import CacheUse
from ablate.training.feeds.sampling import every_image
from ablate.training.trial_run import run_trial

N_EPOCHS = 3


def _feed(store: ImageStore, folder: Path | None = None, *, max_gb: float = 1.0) -> ImageFeed:
    """A feed of train; with a folder, one that keeps what it draws there."""
    preprocessing = preprocessing_of("test_efficientnet", image_size=64)
    split = store.split("train")
    compute = Compute(device="cpu", precision="fp32", channels_last=False, threads=1)
    feed = ImageFeed(split, preprocessing, compute, every_image(split.labels))
    if folder is None:
        return feed
    drawn = DrawnViews(
        ActivationCache(folder, max_gb),
        split,
        store.clean_key,
        preprocessing,
        N_EPOCHS,
        compute.threads,
        CacheUse(),
    )
    return dataclasses.replace(feed, drawn=drawn)


def _epoch(feed: ImageFeed, policy: str, epoch: int = 0) -> Tensor:
    """In the epoch's order, then in the stored one."""
    train = feed.train(policy=policy, seed=1, epoch=epoch, batch_size=5)
    stored = feed.view(policy=policy, seed=1, epoch=epoch, batch_size=7)
    return torch.cat([*(images for images, _ in train), *stored])


def _entries(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*") if path.is_dir()]


@contextmanager
def _drawing_fails(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("drawn again")

    with monkeypatch.context() as patched:
        for module in (batches, drawn_views):
            patched.setattr(module, "drawer", refuse)
        yield


@pytest.mark.parametrize("policy", ["strong", "randaugment", "0.4", "medium flip=none"])
def test_kept_views_are_those_that_are_drawn(
    store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    expected = [_epoch(_feed(store), policy, epoch) for epoch in range(2)]
    first = _feed(store, tmp_path)
    assert torch.equal(_epoch(first, policy), expected[0])
    assert torch.equal(_epoch(first, policy, 1), expected[1])
    assert len(_entries(tmp_path)) == 2
    with _drawing_fails(monkeypatch):
        for epoch in range(2):
            assert torch.equal(_epoch(_feed(store, tmp_path), policy, epoch), expected[epoch])


@pytest.mark.parametrize("policy", ["none", "light", "light flip=none"])
def test_what_is_drawn_faster_than_it_is_kept_is_not_kept(
    store: ImageStore, tmp_path: Path, policy: str
) -> None:
    assert torch.equal(_epoch(_feed(store, tmp_path), policy), _epoch(_feed(store), policy))
    assert _entries(tmp_path) == []


@pytest.mark.parametrize("max_gb", [0.0, 1e-6])
def test_a_small_bound_keeps_none(store: ImageStore, tmp_path: Path, max_gb: float) -> None:
    feed = _feed(store, tmp_path, max_gb=max_gb)
    assert torch.equal(_epoch(feed, "strong"), _epoch(_feed(store), "strong"))
    assert _entries(tmp_path) == []


def test_the_bound_leaves_room_for_all_epochs(store: ImageStore, tmp_path: Path) -> None:
    """Of two epochs' worth of room the first would be gone when a second trial comes for it."""
    n_bytes = len(store.split("train").labels) * 3 * 64 * 64
    enough = N_EPOCHS * n_bytes / drawn_views.SHARE_OF_CACHE / 1e9
    _epoch(_feed(store, tmp_path, max_gb=0.99 * enough), "strong")
    assert _entries(tmp_path) == []
    _epoch(_feed(store, tmp_path, max_gb=1.01 * enough), "strong")
    assert len(_entries(tmp_path)) == 1


def test_nobody_waits_for_a_view_that_another_trial_draws(
    store: ImageStore, tmp_path: Path
) -> None:
    """It draws the later epochs meanwhile, keeps those, and then the batches that it needs."""
    feed = _feed(store, tmp_path)
    assert feed.drawn is not None
    view = feed.drawn._view("strong", 1, 0)
    lock = feed.drawn.cache._lock(view)
    lock.touch()
    with lock.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        found = _epoch(feed, "strong")
    assert torch.equal(found, _epoch(_feed(store), "strong"))
    assert len(_entries(tmp_path)) == N_EPOCHS - 1


def _run(request: TrialRequest) -> tuple[dict[str, float], list[float]]:
    losses: list[float] = []
    outcome = run_trial(request, lambda _e, _n, metrics: losses.append(metrics["train/loss"]))
    scores = {}
    for name, value in outcome.metrics.items():
        if name.startswith(("val/", "test/", "n_")):
            scores[name] = value
    return scores, losses


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "recipe",
    [
        {"freeze_depth": 0},
        {"freeze_depth": "all"},
        {"freeze_depth": 0, "strategy": "lp_ft", "epochs": 4},
        {"freeze_depth": 0, "mixup": 0.2},
    ],
    ids=["full", "probe", "two phases", "mixed"],
)
def test_a_trial_does_not_show_whether_its_views_were_kept(
    make_request: Callable[..., TrialRequest],
    tmp_path: Path,
    recipe: dict[str, Any],
    precision: str,
) -> None:
    """Alone; the first of two; the second, which finds them; whatever its activations do."""
    drawn_once = []
    for n_drawers in (1, 2, 2):
        cache = tmp_path / f"cache-{n_drawers}"
        request = make_request(cache=cache, precision=precision, augment="strong", **recipe)
        assert request.cache is not None
        shared = request.cache.model_copy(update={"n_drawers": n_drawers})
        drawn_once.append(_run(request.model_copy(update={"cache": shared})))
    assert drawn_once[0] == drawn_once[1] == drawn_once[2]
    kept = [path for path in _entries(tmp_path / "cache-2") if _is_of_bytes(path)]
    assert len(kept) == recipe.get("epochs", 2)
    assert not any(map(_is_of_bytes, _entries(tmp_path / "cache-1")))


def _is_of_bytes(entry: Path) -> bool:
    return '"uint8"' in (entry / "meta.json").read_text()
