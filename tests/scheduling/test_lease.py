from __future__ import annotations

import errno
import fcntl
import os
import re
from pathlib import Path

import pytest

from ablate.errors import StoreError
from ablate.scheduling.lease import holder, lease

LOCK = "conductor.lock"
NAMELESS = "a process that has not said its name"


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe\0", b"\0" * 5000, b"process 1\x1b[31m on a host", b"{}", b"x" * 100_000],
    ids=map(str, range(6)),
)
def test_a_damaged_lock_file_costs_the_holders_name_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / LOCK).write_bytes(content)
    assert holder(tmp_path) is None
    with lease(tmp_path):
        assert (holder(tmp_path) or "").startswith(f"process {os.getpid()} on ")
        (tmp_path / LOCK).write_bytes(content)
        assert holder(tmp_path) == NAMELESS
        message = (
            f"a study must have one conductor, {tmp_path} is owned by {NAMELESS}; wait for it, "
            "or end it."
        )
        with pytest.raises(StoreError, match=f"^{re.escape(message)}$"), lease(tmp_path):
            pass
    assert holder(tmp_path) is None


def test_what_is_no_file_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / "folder" / LOCK).mkdir(parents=True)
    assert holder(tmp_path / "folder") is None
    with (
        pytest.raises(
            StoreError, match=r"^the study's folder must be writable, .*/folder is not: "
        ),
        lease(tmp_path / "folder"),
    ):
        pass
    os.mkfifo(tmp_path / LOCK)
    assert holder(tmp_path) is None
    with lease(tmp_path):
        assert holder(tmp_path) == NAMELESS


def test_a_full_disk_does_not_keep_anybody_from_owning_a_study(tmp_path: Path, monkeypatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with lease(tmp_path):
        assert holder(tmp_path) == NAMELESS


def test_a_file_system_without_locks_is_named(tmp_path: Path, monkeypatch) -> None:
    def without(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", without)
    message = (
        rf"^the study's folder must be able to lock files, {tmp_path} is not: "
        r".*No locks available; set ABLATE_HOME to another place\.$"
    )
    with pytest.raises(StoreError, match=message), lease(tmp_path):
        pass
    assert holder(tmp_path) is None
