"""Forking only where it is sound, and what happens where it is not, or where somebody dies."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support import ON_PATH
from support.toy_errors import Unreadable
from support.toy_execution import RUN, alive, children_of, line_of, only, run_all
from support.toy_study import toy_study

from ablate.scheduling.executors import fork_safety
from ablate.scheduling.executors.fork_server import ForkServer
from ablate.scheduling.executors.local import LocalExecutor
from ablate.scheduling.executors.slots import cpu_slots, thread_environment
from ablate.workflow.run.workers_ahead import MODULES

SCRIPT = """
import os, sys, time
from ablate.scheduling.executors.fork_server import ForkServer
from ablate.scheduling.executors.slots import thread_environment
server = ForkServer({modules}, environment=thread_environment(1))
helpers = [server.helper() for _ in range({n_helpers})]
print(server.process_id, *[helper.call("os:getpid") for helper in helpers], flush=True)
time.sleep(600)
"""


def ends(is_over: Callable[[], bool]) -> bool:
    """Whether it comes true soon."""
    for _ in range(200):
        if is_over():
            return True
        time.sleep(0.05)
    return False


def server_of(*modules: str, threads: int = 1) -> ForkServer:
    return ForkServer(modules, environment=thread_environment(threads))


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_what_trials_import_leaves_one_thread_and_no_gpu_open(threads: int) -> None:
    """Of OpenBLAS, which has threads where a slot has several, too."""
    with server_of(*MODULES, threads=threads) as server:
        helper = server.helper()
        assert helper.call("os:getppid") == server.process_id
        assert helper.call("ablate.scheduling.executors.fork_safety:thread_names") == ["python"]
        assert helper.call("ablate.scheduling.executors.fork_safety:open_devices") == []
        assert not server.is_gone


def test_an_open_gpu_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork_safety, "_DEVICES", ("/dev/full",))
    assert fork_safety.open_devices() == []
    with Path("/dev/full").open("rb"):
        assert fork_safety.open_devices() == ["/dev/full"]
        assert fork_safety.why_not_fork() == "it holds /dev/full open"


@pytest.mark.slow
def test_a_library_that_starts_a_thread_makes_workers_spawned(tmp_path, caplog) -> None:
    """No attempt is spent on it, and helpers answer from here."""
    _, trials = toy_study()
    caplog.set_level("INFO")
    with server_of("support.toy_thread") as server:
        executor = LocalExecutor(
            RUN, slots=cpu_slots(2, threads=1), log_folder=tmp_path / "workers", fork_server=server
        )
        events = run_all(executor, trials[:3], tmp_path)
        assert all(only(events, trial).is_complete for trial in trials[:3])
        assert server.is_gone
        assert server.helper().call("os:getpid") == os.getpid()
    # Python 3.14 names the threads that it starts, earlier ones do not.
    (said,) = [text for text in caplog.messages if "forked" in text]
    assert re.fullmatch(
        r"workers are not forked but spawned, since it has 2 threads: python, (python|toy)", said
    )


@pytest.mark.slow
def test_a_server_that_dies_before_it_is_ready_costs_no_attempt(tmp_path) -> None:
    _, trials = toy_study()
    with server_of("support.toy_slow_import") as server:
        executor = LocalExecutor(
            RUN, slots=cpu_slots(1, threads=1), log_folder=tmp_path / "workers", fork_server=server
        )
        helper = server.helper()
        helper.begin("os:getpid")

        def kill(event: object) -> None:
            if not server.is_gone:
                os.kill(server.process_id, signal.SIGKILL)

        events = run_all(executor, trials[:2], tmp_path, on_event=kill)
        assert all(only(events, trial).is_complete for trial in trials[:2])
        assert helper.end() == os.getpid()


def test_a_server_that_never_is_ready_is_not_waited_for_by_a_helper(monkeypatch) -> None:
    monkeypatch.setattr("ablate.scheduling.executors.fork_server.LONGEST_START_S", 0.0)
    with server_of("support.toy_slow_import") as server:
        assert server.helper().call("os:getpid") == os.getpid()


@pytest.mark.slow
def test_forked_processes_draw_random_numbers_of_their_own() -> None:
    with server_of("numpy", "random") as server:
        helpers = [server.helper(), server.helper()]
        for name in ("numpy.random:random", "random:random"):
            first, second = [helper.call(name) for helper in helpers]
            assert first != second


@pytest.mark.slow
def test_an_error_of_a_helper_tells_where_it_was_raised() -> None:
    with server_of("support.toy_errors") as server:
        helper = server.helper()
        with pytest.raises(ZeroDivisionError) as caught:
            helper.call("operator:truediv", 1, 0)
        (note,) = caught.value.__notes__
        assert "named_function(name)" in note
        # One that cannot be read here is raised here, by the function itself.
        with pytest.raises(Unreadable, match=r"^a bug in a helper$"):
            helper.call("support.toy_errors:fail")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("modules", "n_helpers"),
    [
        (["support.toy_thread"], 0),
        (["json"], 0),
        (["json"], 2),
    ],
    ids=["that cannot fork", "idle", "with helpers"],
)
def test_nobody_outlives_a_conductor_that_is_killed(modules: list[str], n_helpers: int) -> None:
    """A helper that is stopped, too, which cannot notice anything by itself."""
    script = SCRIPT.format(modules=modules, n_helpers=n_helpers)
    conductor = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": ON_PATH},
    )
    pids = [int(word) for word in line_of(conductor).split()]
    if n_helpers:
        os.kill(pids[-1], signal.SIGSTOP)
    conductor.kill()
    conductor.communicate()
    assert ends(lambda: not any(map(alive, pids)))


@pytest.mark.slow
def test_a_helper_at_work_ends_with_its_server() -> None:
    with server_of("time") as server:
        helper = server.helper()
        pid = helper.call("os:getpid")
        helper.begin("time:sleep", 600)
        assert children_of(server.process_id) == {pid}
    assert ends(lambda: not alive(pid))


@pytest.mark.slow
def test_a_helper_that_takes_long_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ablate.scheduling.executors.fork_server._HELPER_POLL_S", 0.01)
    with server_of("numpy") as server:
        helper = server.helper()
        assert helper.call("os:getppid") == server.process_id
        helper.begin("time:sleep", 0.2)
        assert helper.end() is None
        assert helper.call("os:getppid") == server.process_id


def test_a_helper_that_was_given_up_is_never_heard_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its late answer would be taken for that of the next call."""
    monkeypatch.setattr("ablate.scheduling.executors.fork_server.LONGEST_START_S", 0.0)
    monkeypatch.setattr("ablate.scheduling.executors.fork_server._HELPER_POLL_S", 0.0)
    with server_of() as server:
        helper = server.helper()
        assert helper.call("operator:add", 1, 2) == 3
        assert ends(lambda: children_of(server.process_id) == set())
        assert helper.call("operator:add", 3, 4) == 7
