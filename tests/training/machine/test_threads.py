"""The number of threads is measured once and then stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ablate.training.machine import threads
from ablate.training.machine.threads import choose_threads


@pytest.mark.parametrize(("speedup", "chosen"), [(1.3, 1), (3.7, 1), (3.9, 4)])
def test_one_thread_a_slot_unless_all_cores_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, speedup: float, chosen: int
) -> None:
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    monkeypatch.setattr(threads, "speedup", lambda n_threads: speedup if n_threads == 4 else 1.0)
    assert choose_threads(tmp_path) == chosen
    (kept,) = tmp_path.glob("threads-*.json")
    assert json.loads(kept.read_text()) == {"threads": chosen, "cores": 4, "speedup": speedup}
    monkeypatch.setattr(threads, "speedup", lambda _: pytest.fail("it is remembered"))
    assert choose_threads(tmp_path) == chosen


def test_one_measurement_that_something_else_disturbed_does_not_choose_all_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = iter([4.8, 1.2, 3.9])
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    monkeypatch.setattr(threads, "speedup", lambda _: next(measured))
    assert choose_threads(tmp_path) == 1


def test_a_speedup_is_measured() -> None:
    assert 0.1 < threads.speedup(1) < 10  # the same work twice
