"""What was measured of a machine is remembered.

A file of it that is damaged is never believed and never ends anything.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ablate.errors import StoreError
from ablate.study.request import Compute
from ablate.training.machine import precision
from ablate.training.machine.precision import choose_compute

MEASURED = Compute(
    device="cpu", precision="bf16", channels_last=True, is_depthwise_fp32=True, threads=1
)
KEPT = MEASURED.model_dump(mode="json")
DAMAGED = {
    "empty": b"",
    "cut": json.dumps(KEPT).encode()[:-9],
    "zeros": b"\0" * 90,
    "no text": b"\xff\xfe\xfa",
    "no object": b"[1, 2]",
    "nothing": b"null",
    "deep": b"[" * 100_000,
    "long number": b'{"threads": ' + b"1" * 10_000 + b"}",
    "another key": json.dumps({**KEPT, "mood": 1}).encode(),
    "a text for a number": json.dumps({**KEPT, "threads": "1"}).encode(),
    "other threads": json.dumps({**KEPT, "threads": 3}).encode(),
    "no such device": json.dumps({**KEPT, "device": "tpu"}).encode(),
    "another device": json.dumps({**KEPT, "device": "cuda"}).encode(),
    "a number for a truth": json.dumps({**KEPT, "channels_last": 1}).encode(),
    "not a number": json.dumps({**KEPT, "threads": float("nan")}).encode(),
}


@pytest.fixture
def measured(monkeypatch) -> list[int]:
    """Calls of the measurement."""
    calls: list[int] = []
    monkeypatch.setattr(precision, "compute_device", lambda: "cpu")

    def measure(n_threads: int) -> Compute:
        calls.append(n_threads)
        return MEASURED.model_copy(update={"threads": n_threads})

    monkeypatch.setattr(precision, "_cpu_compute", measure)
    return calls


def test_compute_is_measured_once_for_each_number_of_threads(
    tmp_path: Path, measured, caplog
) -> None:
    assert choose_compute(tmp_path, threads=1) == choose_compute(tmp_path, threads=1) == MEASURED
    assert choose_compute(tmp_path, threads=2).threads == 2
    assert (measured, caplog.messages) == ([1, 2], [])


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_compute_is_measured_again_and_said(
    tmp_path: Path, measured, caplog, name: str
) -> None:
    choose_compute(tmp_path, threads=1)
    (path,) = tmp_path.glob("compute-*.json")
    whole = path.read_bytes()
    path.write_bytes(DAMAGED[name])
    assert choose_compute(tmp_path, threads=1) == MEASURED
    assert measured == [1, 1]
    assert caplog.messages == [
        f"{path} is damaged, so this machine is measured again; trials of a study that goes on may "
        "differ in their last digits"
    ]
    assert path.read_bytes() == whole


@pytest.mark.slow
def test_every_byte_of_remembered_compute_may_change(tmp_path: Path, measured, caplog) -> None:
    choose_compute(tmp_path, threads=1)
    (path,) = tmp_path.glob("compute-*.json")
    whole = path.read_bytes()
    for place, byte in enumerate(whole):
        for bit in range(8):
            path.write_bytes(whole[:place] + bytes([byte ^ 1 << bit]) + whole[place + 1 :])
            assert choose_compute(tmp_path, threads=1) == MEASURED


def test_a_measurement_that_cannot_be_kept_is_said(tmp_path: Path, measured) -> None:
    choose_compute(tmp_path, threads=1)
    (path,) = tmp_path.glob("compute-*.json")
    path.unlink()
    path.mkdir()
    message = f"what was measured of this machine must be kept, {path} cannot be written: "
    with pytest.raises(
        StoreError, match=rf"^{re.escape(message)}.*; set ABLATE_HOME to another place\.$"
    ):
        choose_compute(tmp_path, threads=1)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
