"""The activation cache: built once, verified, bounded, and never in the way."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ablate.training.feeds import cache_entries
from ablate.training.feeds.activations import ActivationCache, cache_key
from ablate.training.feeds.rows import CacheUse, Rows, View


def _batches(value: float, *, dtype: torch.dtype = torch.float32, n: int = 3) -> Iterator[Tensor]:
    for _ in range(n):
        yield torch.full((2, 5), value, dtype=dtype)


def _view(identity: dict[str, object], batches: Iterator[Tensor]) -> View:
    def never(_rows: object, _number: int) -> Iterator[Tensor]:
        raise AssertionError("there is no earlier split point")

    return View(identity, ("norm",), lambda: ((batch,) for batch in batches), never, frozenset({0}))


def _entry(cache: ActivationCache, identity: dict[str, object]) -> Path:
    return cache.folder / cache_key(identity, split_point="norm")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_rows_come_back_as_they_were(tmp_path: Path, dtype: torch.dtype) -> None:
    cache, use = ActivationCache(tmp_path, 1.0), CacheUse()
    values = torch.randn(6, 5).to(dtype)
    for n_reused in (0, 1):
        rows = cache.rows(_view({"a": 1}, iter([values[:4], values[4:]])), use)
        assert use.n_reused == n_reused
        assert torch.equal(rows.batch(np.array([5, 0, 3])), values[[5, 0, 3]])
    assert (use.n_built, use.n_reused, use.problems) == (1, 1, [])


@pytest.mark.parametrize("damage", ["flip", "truncate", "no meta", "bad meta", "no rows"])
def test_a_damaged_entry_is_built_again_and_reported(tmp_path: Path, damage: str) -> None:
    cache, use = ActivationCache(tmp_path, 1.0), CacheUse()
    cache.rows(_view({"a": 1}, _batches(1.0)), use)
    entry = _entry(cache, {"a": 1})
    rows_file, meta = entry / "rows.bin", entry / "meta.json"
    if damage == "flip":
        data = bytearray(rows_file.read_bytes())
        data[7] ^= 1
        rows_file.write_bytes(data)
    elif damage == "truncate":
        rows_file.write_bytes(rows_file.read_bytes()[:-4])
    elif damage == "no meta":
        meta.unlink()
    elif damage == "bad meta":
        meta.write_text('{"shape": [1')
    else:
        rows_file.unlink()
    rows = cache.rows(_view({"a": 1}, _batches(1.0)), use)
    assert (use.n_built, use.n_reused) == (2, 0)
    assert len(use.problems) == 1
    assert use.problems[0].startswith(f"cache entry {entry.name} was damaged and is built again: ")
    assert torch.equal(rows.batch(np.arange(6)), torch.ones(6, 5))
    cache.rows(_view({"a": 1}, _batches(9.0)), use)
    assert use.n_reused == 1


SOUND_META: dict[str, Any] = {
    "shape": [6, 5],
    "dtype": "float32",
    "sha256": "",
    "build_s": 0,
    "door": "",
    "identity": {},
}
WRONG_FIELDS: list[dict[str, Any]] = [
    {"shape": 3},
    {"dtype": ["float32"]},
    {"shape": [-6, -5]},
    {"build_s": "x"},
    {"identity": []},
    {"shape": [6.0, 5]},
    {"sha256": None, "build_s": float("inf")},
]
WRONG_METAS = [b"", b"[]", b"null", b'"text"', b"{}", b"\xff\xfe", b"[" * 100_000]
WRONG_METAS += [json.dumps({**SOUND_META, **fields}).encode() for fields in WRONG_FIELDS]


@pytest.mark.parametrize("wrong", WRONG_METAS)
def test_a_meta_file_of_any_other_kind_is_damage(tmp_path: Path, wrong: bytes) -> None:
    cache, use = ActivationCache(tmp_path, 1.0), CacheUse()
    cache.rows(_view({"a": 1}, _batches(1.0)), use)
    (_entry(cache, {"a": 1}) / "meta.json").write_bytes(wrong)
    rows = cache.rows(_view({"a": 1}, _batches(1.0)), use)
    assert torch.equal(rows.batch(np.arange(6)), torch.ones(6, 5))
    assert (use.n_built, use.n_reused, len(use.problems)) == (2, 0, 1)


def test_no_turned_bit_of_a_meta_file_is_believed(tmp_path: Path) -> None:
    cache = ActivationCache(tmp_path, 1.0)
    cache.rows(_view({"a": 1}, _batches(1.0)), CacheUse())
    meta = _entry(cache, {"a": 1}) / "meta.json"
    whole = meta.read_bytes()
    for at in range(0, len(whole), 5):
        flipped = bytearray(whole)
        flipped[at] ^= 1 << at % 8
        meta.write_bytes(flipped)
        use = CacheUse()
        rows = cache.rows(_view({"a": 1}, _batches(1.0)), use)
        assert torch.equal(rows.batch(np.arange(6)), torch.ones(6, 5))
        assert (use.n_built, use.n_reused) == (1, 0)


def test_an_entry_of_an_earlier_version_is_still_good(tmp_path: Path) -> None:
    cache, use = ActivationCache(tmp_path, 1.0), CacheUse()
    cache.rows(_view({"a": 1}, _batches(1.0)), use)
    meta = _entry(cache, {"a": 1}) / "meta.json"
    values = json.loads(meta.read_text())
    del values["crc"]
    meta.write_text(json.dumps(values))
    cache.rows(_view({"a": 1}, _batches(9.0)), use)
    assert (use.n_built, use.n_reused, use.problems) == (1, 1, [])


def test_the_least_recently_used_entries_make_room(tmp_path: Path) -> None:
    cache, use = ActivationCache(tmp_path, 3 * 120 / 1e9), CacheUse()
    for number in range(3):
        cache.rows(_view({"n": number}, _batches(float(number))), use)
        os.utime(_entry(cache, {"n": number}), (number, number))
    cache.rows(_view({"n": 0}, _batches(0.0)), use)
    cache.rows(_view({"n": 3}, _batches(3.0)), use)
    kept = {number for number in range(4) if _entry(cache, {"n": number}).is_dir()}
    assert kept == {0, 2, 3}


def test_rows_that_never_fit_stay_in_memory(tmp_path: Path) -> None:
    cache, use = ActivationCache(tmp_path, 1e-9), CacheUse()
    rows = cache.rows(_view({"a": 1}, _batches(2.0)), use)
    assert torch.equal(rows.batch(np.array([0])), torch.full((1, 5), 2.0))
    assert not _entry(cache, {"a": 1}).exists()


def test_a_full_disk_stops_caching_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache_entries, "digest_of_file", full)
    cache, use = ActivationCache(tmp_path, 1.0), CacheUse()
    rows = cache.rows(_view({"a": 1}, _batches(2.0)), use)
    assert torch.equal(rows.batch(np.array([0, 5])), torch.full((2, 5), 2.0))
    assert use.problems == ["activations are not kept: No space left on device"]
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


def test_a_folder_that_cannot_be_made_stops_caching_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    use = CacheUse()
    rows = ActivationCache(tmp_path / "file" / "cache", 1.0).rows(
        _view({"a": 1}, _batches(2.0)), use
    )
    assert torch.equal(rows.batch(np.array([0])), torch.full((1, 5), 2.0))
    assert use.problems == ["activations are not kept: Not a directory"]


def test_everything_in_the_identity_counts() -> None:
    base = {"weights": "w", "split": "train", "policy": "light", "seed": 0, "epoch": 1}
    keys = {
        cache_key(base, split_point="a"),
        cache_key(base, split_point="b"),
        *(cache_key({**base, name: "other"}, split_point="a") for name in base),
    }
    assert len(keys) == len(base) + 2
    assert cache_key(dict(reversed(base.items())), split_point="a") == cache_key(
        base, split_point="a"
    )


def _race(folder: str, log: str, barrier: Barrier) -> None:
    def computed() -> Iterator[Tensor]:
        with Path(log).open("a") as file:
            file.write("built\n")
        yield torch.ones(200, 1000)

    barrier.wait()
    rows = ActivationCache(Path(folder), 1.0).rows(_view({"a": 1}, computed()), CacheUse())
    assert rows.batch(np.array([199])).sum() == 1000


@pytest.mark.slow
def test_processes_that_race_for_an_entry_build_it_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    log = tmp_path / "log"
    processes = [
        context.Process(target=_race, args=(str(tmp_path / "cache"), str(log), barrier))
        for _ in range(3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert log.read_text() == "built\n"
    (meta,) = (tmp_path / "cache").glob("*/meta.json")
    assert json.loads(meta.read_text())["shape"] == [200, 1000]


def test_an_earlier_split_point_saves_the_way_to_it(tmp_path: Path) -> None:
    cache, use = ActivationCache(tmp_path, 1.0), CacheUse()
    early = torch.arange(12.0).reshape(6, 2)

    def from_rows(rows: Rows, number: int) -> Iterator[Tensor]:
        assert number == 0
        yield rows.batch(np.arange(6)) * 10

    def never() -> Iterator[tuple[Tensor, ...]]:
        raise AssertionError("the images are not needed")

    cache.rows(
        View(
            {"a": 1},
            ("early",),
            lambda: iter([(early[:4],), (early[4:],)]),
            from_rows,
            frozenset({0}),
        ),
        use,
    )
    both = View({"a": 1}, ("early", "late"), never, from_rows, frozenset({0, 1}))
    for _ in range(2):
        assert torch.equal(cache.rows(both, use).batch(np.arange(6)), early * 10)
    assert (use.n_built, use.n_reused) == (1, 2)


def test_one_pass_keeps_every_split_point_that_is_worth_it(tmp_path: Path) -> None:
    cache, use = ActivationCache(tmp_path, 1.0), CacheUse()
    batches = [tuple(torch.full((2, size), float(size)) for size in (9, 5, 3)) for _ in range(3)]
    cache.rows(
        View(
            {"a": 1}, ("x", "y", "z"), lambda: iter(batches), lambda *_: iter(()), frozenset({1, 2})
        ),
        use,
    )
    keys = {name: cache_key({"a": 1}, split_point=name) for name in "xyz"}
    kept = {name for name, key in keys.items() if (tmp_path / key).is_dir()}
    assert kept == {"y", "z"}


def _build_slowly(folder: str, has_begun: Event, may_end: Event) -> None:
    def slowly() -> Iterator[Tensor]:
        has_begun.set()
        may_end.wait()
        yield torch.ones(4, 2)

    ActivationCache(Path(folder), 1.0).rows(_view({"a": 1}, slowly()), CacheUse())


@pytest.mark.slow
def test_a_process_that_would_wait_builds_another_view_meanwhile(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    has_begun, may_end = context.Event(), context.Event()
    process = context.Process(target=_build_slowly, args=(str(tmp_path), has_begun, may_end))
    process.start()
    has_begun.wait(120)
    cache, use = ActivationCache(tmp_path, 1.0), CacheUse()

    def ahead() -> Iterator[Tensor]:
        yield torch.full((4, 2), 7.0)
        may_end.set()

    later = _view({"a": 2}, ahead())
    assert (
        cache.rows(_view({"a": 1}, _batches(0.0)), use, meanwhile=[later]).batch(np.arange(4)).sum()
        == 8
    )
    assert (use.n_built, use.n_reused) == (1, 1)
    assert cache.rows(later, use).batch(np.arange(4)).sum() == 56
    assert (use.n_built, use.n_reused) == (1, 1)  # what was built ahead is not counted again
    process.join(120)
    assert process.exitcode == 0


def test_nothing_is_built_ahead_where_nobody_else_builds(tmp_path: Path) -> None:
    cache, use = ActivationCache(tmp_path, 1.0), CacheUse()
    later = _view({"a": 2}, _batches(7.0))
    cache.rows(_view({"a": 1}, _batches(1.0)), use, meanwhile=[later])
    assert (use.n_built, _entry(cache, {"a": 2}).exists()) == (1, False)
