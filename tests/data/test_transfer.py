from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ablate.data.store import verify_store
from ablate.data.transfer import fetch_store
from ablate.errors import StoreError


def make_store(path: Path, *, is_fine: bool = False) -> Path:
    """A store as `build_store` leaves it."""
    path.mkdir(parents=True)
    splits = {}
    for number, name in enumerate(("train", "val", "test")):
        images = np.random.default_rng(number).integers(0, 256, size=(3, 4, 4, 3), dtype=np.uint8)
        np.save(path / f"{name}.npy", images)
        written = (path / f"{name}.npy").read_bytes()
        splits[name] = {
            "labels": [0, 1, 0],
            "image_ids": ["a", "b", "c"],
            "n_bytes": len(written),
            "sha256": hashlib.sha256(written).hexdigest(),
        }
    meta = {"fingerprint": "f0", "side": 4, "class_names": ["x", "y"], "splits": splits}
    if is_fine:
        np.save(
            path / "fine.npy",
            np.random.default_rng(9).integers(0, 256, size=(3, 6, 6, 3), dtype=np.uint8),
        )
        written = (path / "fine.npy").read_bytes()
        meta["fine"] = {
            "side": 6,
            "n_bytes": len(written),
            "sha256": hashlib.sha256(written).hexdigest(),
        }
    (path / "meta.json").write_text(json.dumps(meta))
    return path


def reader(path: Path, *, calls: list[str] | None = None, spoil: str = ""):
    """Hands out at most seven bytes at a time."""

    def read(name: str, offset: int, n_bytes: int) -> bytes:
        if calls is not None:
            calls.append(name)
        piece = (path / name).read_bytes()[offset : offset + min(n_bytes, 7)]
        return piece[::-1] if name == spoil and offset > 140 else piece

    return read


@pytest.mark.parametrize("is_fine", [False, True])
def test_a_fetched_store_is_the_same_and_is_fetched_once(tmp_path, is_fine):
    theirs = make_store(tmp_path / "theirs" / "abc", is_fine=is_fine)
    mine = tmp_path / "mine" / "abc"
    calls: list[Any] = []
    fetch_store(mine, reader(theirs, calls=calls))
    verify_store(mine)
    assert {path.name: path.read_bytes() for path in mine.iterdir()} == {
        path.name: path.read_bytes() for path in theirs.iterdir()
    }
    n_calls = len(calls)
    fetch_store(mine, reader(theirs, calls=calls))
    assert len(calls) == n_calls > 4


def test_a_broken_store_is_fetched_again(tmp_path):
    theirs, mine = make_store(tmp_path / "theirs" / "abc"), make_store(tmp_path / "mine" / "abc")
    (mine / "val.npy").write_bytes(b"half")
    fetch_store(mine, reader(theirs))
    verify_store(mine)


def test_what_arrives_otherwise_than_it_was_written_is_refused_and_not_kept(tmp_path):
    theirs, mine = make_store(tmp_path / "theirs" / "abc"), tmp_path / "mine" / "abc"
    with pytest.raises(
        StoreError,
        match=r"^an image store must hold what was written, "
        r"val\.npy of .*abc\.partial does not; .*$",
    ):
        fetch_store(mine, reader(theirs, spoil="val.npy"))
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["abc.lock"]


def test_a_spoilt_meta_is_refused(tmp_path):
    theirs, mine = make_store(tmp_path / "theirs" / "abc"), tmp_path / "mine" / "abc"
    (theirs / "meta.json").write_text("[]")
    with pytest.raises(
        StoreError,
        match=(
            r"^an image store must have a sound meta\.json, got a damaged one \(.*\); remove the "
            r"store, and it is built again\.$"
        ),
    ):
        fetch_store(mine, reader(theirs))
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["abc.lock"]
