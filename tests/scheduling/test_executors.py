"""One contract for every executor, and what only processes can do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import TESTS
from support.toy_cluster import no_worker_stays, on_two_nodes
from support.toy_execution import (
    BYSTANDERS,
    RUN,
    SERVERS,
    alive,
    children,
    children_of,
    close_servers,
    failure_of,
    inline,
    line_of,
    one_forked,
    one_worker,
    only,
    order,
    outcome_of,
    request_of,
    run_all,
    toy_server,
    two_forked,
    two_workers,
)
from support.toy_study import end_in, toy_study

from ablate.errors import CheckFailed
from ablate.scheduling.executors._base import Slot, load
from ablate.scheduling.executors.fork_server import ForkServer
from ablate.scheduling.executors.inline import InlineExecutor
from ablate.scheduling.executors.local import LocalExecutor
from ablate.scheduling.executors.slots import cpu_slots, gpu_slots, thread_environment
from ablate.study.request import TrialRequest
from ablate.study.trial import Trial
from ablate.tracking.events import EpochEnded, Event, TrialEnded, TrialStarted, TrialState

# one cluster, whatever the number of processes
on_ray = pytest.param(on_two_nodes, marks=pytest.mark.xdist_group("ray"))
a_worker = pytest.mark.parametrize("one", [one_worker, one_forked])
every_executor = pytest.mark.parametrize(
    "make", [inline, one_worker, two_workers, two_forked, on_ray]
)


@pytest.fixture(autouse=True, scope="module")
def no_server_stays() -> Iterator[None]:
    yield
    close_servers()


@pytest.mark.slow
@every_executor
def test_every_request_starts_runs_its_epochs_and_ends_once(make, tmp_path):
    _, trials = toy_study()
    events = run_all(make(tmp_path), trials, tmp_path)
    assert len(events) == 4 * len(trials)
    for trial in trials:
        mine = [event for event in events if event.trial_id == trial.trial_id]
        assert [type(event) for event in mine] == [TrialStarted, EpochEnded, EpochEnded, TrialEnded]
        epochs = [event for event in mine if isinstance(event, EpochEnded)]
        assert [event.epoch for event in epochs] == [0, 1]
        end = end_in(mine)
        assert end.state is TrialState.COMPLETE
        score = int(trial.trial_id[:6], 16) / 0xFFFFFF
        assert outcome_of(end).metrics["val/macro_f1"] == score
        assert epochs[-1].metrics["val/macro_f1"] == score
    assert {event.slot for event in events if isinstance(event, TrialStarted)} <= {
        slot.name for slot in make(tmp_path).slots
    }


@every_executor
def test_nothing_to_do_is_done_at_once(make, tmp_path):
    assert run_all(make(tmp_path), [], tmp_path) == []


@pytest.mark.slow
@every_executor
def test_a_trial_that_raises_fails_with_its_traceback_and_the_others_go_on(make, tmp_path):
    _, trials = toy_study()
    order(tmp_path, trials[1], "raise")
    events = run_all(make(tmp_path), trials, tmp_path)
    failure = failure_of(only(events, trials[1]))
    assert (failure.kind, failure.message) == ("TrialError", "the loss must be finite, got nan")
    assert "in _obey" in failure.traceback
    assert failure.traceback.endswith("TrialError: the loss must be finite, got nan\nin step 3\n")
    assert [only(events, trial).is_complete for trial in trials] == [
        True,
        False,
        True,
        True,
        True,
        True,
    ]


@pytest.mark.slow
@every_executor
def test_a_trial_that_calls_exit_fails(make, tmp_path):
    _, trials = toy_study()
    order(tmp_path, trials[0], "sys.exit")
    assert (
        failure_of(only(run_all(make(tmp_path), trials[:2], tmp_path), trials[0])).message
        == "enough"
    )


@pytest.mark.slow
@every_executor
def test_a_complete_trial_must_leave_its_files(make, tmp_path):
    _, trials = toy_study()
    order(tmp_path, trials[0], "forget")
    failure = failure_of(only(run_all(make(tmp_path), trials[:1], tmp_path), trials[0]))
    folder = tmp_path / f"{trials[0].trial_id}-1"
    assert (failure.kind, failure.message) == (
        "CheckFailed",
        f"a completed trial must leave the files that it names, missing in {folder}: missing.bin",
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: InlineExecutor("support.toy_trials:walk"),
        lambda f: LocalExecutor("support.toy_trials:walk", slots=[Slot("a")], log_folder=f),
    ],
)
def test_a_run_function_that_does_not_exist_fails_each_trial(make, tmp_path):
    _, trials = toy_study()
    failure = failure_of(only(run_all(make(tmp_path), trials[:1], tmp_path), trials[0]))
    assert (failure.kind, failure.message) == (
        "CheckFailed",
        "a run function must be named module:function, 'support.toy_trials:walk' is none.",
    )


@pytest.mark.slow
@every_executor
def test_take_is_asked_again_after_an_end(make, tmp_path):
    """A trial that is tried again: there is nothing to take while it runs, and something once it
    failed.
    """
    _, (trial, *_) = toy_study()
    order(tmp_path, trial, "raise")
    left, heard = [request_of(trial, tmp_path)], []

    def hear(event: Event) -> None:
        heard.append(event)
        if isinstance(event, TrialEnded) and event.attempt == 1:
            left.append(request_of(trial, tmp_path, attempt=2))

    make(tmp_path).run(lambda slot: left.pop(0) if left else None, hear)
    assert [(event.attempt, event.state) for event in heard if isinstance(event, TrialEnded)] == [
        (1, TrialState.FAILED),
        (2, TrialState.FAILED),
    ]


BREAKS = [
    (make, error, kind)
    for make in (inline, one_worker, two_workers, two_forked)
    for error in (RuntimeError, KeyboardInterrupt)
    for kind in (TrialStarted, EpochEnded, TrialEnded)
]


RAY_BREAKS = [
    pytest.param(on_two_nodes, error, kind, marks=pytest.mark.xdist_group("ray"))
    for error, kind in ((RuntimeError, TrialStarted), (KeyboardInterrupt, EpochEnded))
]


@pytest.mark.slow
@pytest.mark.parametrize(("make", "error", "kind"), [*BREAKS, *RAY_BREAKS])
def test_what_the_listener_raises_is_raised_and_no_worker_stays(make, error, kind, tmp_path):
    _, trials = toy_study()

    def break_off(event: Event) -> None:
        if isinstance(event, kind):
            raise error("the journal is full")

    with pytest.raises(error, match=r"^the journal is full$"):
        run_all(make(tmp_path), trials, tmp_path, on_event=break_off)
    assert children() == set()
    assert make is not on_two_nodes or no_worker_stays()


def pid_of(folder: Path, trial: Trial) -> int:
    return int((folder / f"{trial.trial_id}-1" / "where.txt").read_text().split()[0])


@pytest.mark.slow
def test_a_worker_lives_through_its_trials_and_has_its_slots_environment(tmp_path):
    _, trials = toy_study()
    run_all(
        LocalExecutor(RUN, slots=cpu_slots(1, threads=3), log_folder=tmp_path / "workers"),
        trials,
        tmp_path,
    )
    where = {(tmp_path / f"{trial.trial_id}-1" / "where.txt").read_text() for trial in trials}
    assert len(where) == 1
    assert where.pop().split(" ")[1:] == ["3", ""]
    assert os.environ.get("OMP_NUM_THREADS") != "3"


@pytest.mark.slow
def test_a_gpu_slot_sees_its_own_device(tmp_path):
    _, trials = toy_study()
    run_all(
        LocalExecutor(
            RUN, slots=gpu_slots(["1", "GPU-abc"], threads=2), log_folder=tmp_path / "workers"
        ),
        trials,
        tmp_path,
    )
    seen = {
        (tmp_path / f"{trial.trial_id}-1" / "where.txt").read_text().split(" ")[2]
        for trial in trials
    }
    assert seen <= {"1", "GPU-abc"}
    assert "1" in seen


@a_worker
def test_what_workers_print_goes_to_their_logs(one, tmp_path, capfd):
    _, trials = toy_study()
    run_all(one(tmp_path), trials, tmp_path)
    assert capfd.readouterr() == ("", "")
    log = (tmp_path / "workers" / "cpu-0.log").read_text()
    assert log.splitlines() == [f"runs {trial.trial_id} attempt 1" for trial in trials]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "how"),
    [
        ("exit", "ended with exit code 7 in the middle of the trial"),
        ("child", "ended with exit code 7 in the middle of the trial"),
        ("segfault", "was ended by SIGSEGV"),
    ],
)
@a_worker
def test_a_worker_that_dies_fails_its_trial_and_is_replaced(one, what, how, tmp_path):
    _, trials = toy_study()
    order(tmp_path, trials[1], what)
    events = run_all(one(tmp_path), trials, tmp_path)
    failure = failure_of(only(events, trials[1]))
    assert (failure.kind, failure.message) == (
        "WorkerDied",
        f"the worker of slot cpu:0 {how}; what it printed is in workers/cpu-0.log",
    )
    assert ("Fatal Python error: Segmentation fault" in failure.traceback) == (what == "segfault")
    assert ("in _obey" in failure.traceback) == (what == "segfault")
    assert [only(events, trial).is_complete for trial in trials] == [
        True,
        False,
        True,
        True,
        True,
        True,
    ]
    assert pid_of(tmp_path, trials[0]) != pid_of(tmp_path, trials[2]) == pid_of(tmp_path, trials[3])


@pytest.mark.slow
@a_worker
def test_a_worker_that_is_killed_names_the_signal(one, tmp_path):
    _, trials = toy_study()
    order(tmp_path, trials[0], "wait")

    def kill(event: Event) -> None:
        if isinstance(event, EpochEnded) and event.trial_id == trials[0].trial_id:
            (worker,) = children()
            os.kill(worker, signal.SIGKILL)

    events = run_all(one(tmp_path), trials[:2], tmp_path, on_event=kill)
    assert failure_of(only(events, trials[0])).message == (
        "the worker of slot cpu:0 was ended by SIGKILL (the kernel does that when memory is "
        "short); what it printed is in workers/cpu-0.log"
    )
    assert len(only(events, trials[0]).epochs) == 1
    assert only(events, trials[1]).is_complete


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "limits", "kind", "why"),
    [
        (
            "wait",
            {"timeout_s": 5.0},
            "TrialTimeout",
            "the trial must end within 5 s (--trial-timeout), it did not",
        ),
        (
            "stop",
            {"silent_s": 3.0},
            "WorkerSilent",
            "the worker of slot cpu:0 must send a sign of life every 3 s, it did not",
        ),
    ],
)
@a_worker
def test_a_trial_that_hangs_is_given_up_and_its_stack_is_kept(
    one, what, limits, kind, why, tmp_path
):
    _, trials = toy_study()
    order(tmp_path, trials[1], what)
    events = run_all(one(tmp_path, **limits), trials[:3], tmp_path)
    failure = failure_of(only(events, trials[1]))
    assert (failure.kind, failure.message) == (
        kind,
        f"{why}; what it printed is in workers/cpu-0.log",
    )
    assert "Fatal Python error: Aborted" in failure.traceback
    assert "in _obey" in failure.traceback
    assert [only(events, trial).is_complete for trial in trials[:3]] == [True, False, True]
    assert children() == set()


@pytest.mark.slow
def test_a_slow_trial_whose_worker_is_heard_of_is_left_alone(tmp_path):
    """Longer than the silence that is borne, and than a heart beat."""
    _, trials = toy_study()
    order(tmp_path, trials[0], "slow")
    executor = LocalExecutor(
        RUN, slots=cpu_slots(1, threads=1), log_folder=tmp_path / "workers", silent_s=3.0
    )
    assert only(run_all(executor, trials[:1], tmp_path), trials[0]).is_complete


@pytest.mark.slow
def test_a_worker_that_dies_between_trials_costs_nothing(tmp_path):
    _, trials = toy_study()
    killed: set[int] = set()

    def kill(event: Event) -> None:
        if isinstance(event, TrialEnded):
            for worker in children():
                os.kill(worker, signal.SIGKILL)
                os.waitid(os.P_PID, worker, os.WEXITED | os.WNOWAIT)
                killed.add(worker)

    events = run_all(one_worker(tmp_path), trials[:3], tmp_path, on_event=kill)
    assert all(only(events, trial).is_complete for trial in trials[:3])
    assert len(killed) == 3


@pytest.mark.slow
@a_worker
def test_workers_die_with_their_conductor(one, tmp_path):
    """The conductor is killed while its worker sleeps in a trial: nobody may go on training."""
    _, (trial, *_) = toy_study()
    order(tmp_path, trial, "wait")
    script = f"""
import sys
sys.path[:0] = {[str(TESTS)]!r}
from pathlib import Path
from support.toy_execution import children, {one.__name__}, run_all
from support.toy_study import toy_study
from ablate.tracking.events import EpochEnded
folder = Path({str(tmp_path)!r})
def tell(event):
    if isinstance(event, EpochEnded):
        print(*children(), flush=True)
run_all({one.__name__}(folder), toy_study()[1][:1], folder, on_event=tell)
"""
    conductor = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    worker = int(line_of(conductor))
    conductor.kill()
    conductor.communicate()
    for _ in range(200):
        if not alive(worker):
            return
        time.sleep(0.05)
    pytest.fail("the worker outlived its conductor")


@pytest.mark.slow
def test_forked_workers_have_their_slots_environment_and_are_not_spawned(tmp_path):
    _, trials = toy_study()
    environment = {**thread_environment(1), "CUDA_VISIBLE_DEVICES": "7"}
    executor = LocalExecutor(
        RUN,
        slots=[Slot("gpu:7", environment)],
        log_folder=tmp_path / "workers",
        fork_server=toy_server(),
    )

    def is_forked(event: Event) -> None:
        if isinstance(event, EpochEnded):
            assert children_of(os.getpid()) - BYSTANDERS == {toy_server().process_id}

    run_all(executor, trials[:2], tmp_path, on_event=is_forked)
    where = {(tmp_path / f"{trial.trial_id}-1" / "where.txt").read_text() for trial in trials[:2]}
    assert len(where) == 1
    assert where.pop().split(" ")[1:] == ["1", "7"]


@pytest.mark.slow
def test_a_slot_of_other_threads_gets_an_interpreter_of_its_own(tmp_path):
    """Libraries read the number of their threads when they are loaded."""
    _, trials = toy_study()
    executor = LocalExecutor(
        RUN,
        slots=cpu_slots(1, threads=3),
        log_folder=tmp_path / "workers",
        fork_server=toy_server(),
    )
    run_all(executor, trials[:1], tmp_path)
    where = (tmp_path / f"{trials[0].trial_id}-1" / "where.txt").read_text()
    assert where.split(" ")[1:] == ["3", ""]


@pytest.mark.slow
def test_a_server_that_dies_costs_no_trial(tmp_path):
    """Its workers run on, and whoever is needed after that is spawned."""
    _, trials = toy_study()
    order(tmp_path, trials[1], "exit")
    heard: list[str] = []

    def kill(event: Event) -> None:
        heard.append(type(event).__name__)
        if heard == ["TrialStarted", "EpochEnded"]:
            os.kill(toy_server().process_id, signal.SIGKILL)

    events = run_all(one_forked(tmp_path), trials[:3], tmp_path, on_event=kill)
    assert [only(events, trial).is_complete for trial in trials[:3]] == [True, False, True]
    failure = failure_of(only(events, trials[1]))
    assert failure.kind == "WorkerDied"
    assert pid_of(tmp_path, trials[0]) != pid_of(tmp_path, trials[2])
    assert children() == set()
    close_servers()


@pytest.mark.slow
def test_a_module_that_cannot_be_imported_fails_the_trial_and_not_the_server(tmp_path):
    _, trials = toy_study()
    with ForkServer(["support.no_such_module"], environment=thread_environment(1)) as server:
        SERVERS.append(server)
        executor = LocalExecutor(
            "support.no_such_module:run",
            slots=cpu_slots(1, threads=1),
            log_folder=tmp_path / "workers",
            fork_server=server,
        )
        events = run_all(executor, trials[:1], tmp_path)
        SERVERS.remove(server)
    assert failure_of(only(events, trials[0])).kind == "ModuleNotFoundError"


@pytest.mark.slow
def test_an_interrupt_before_the_server_is_ready_ends_it(tmp_path):
    _, trials = toy_study()
    with ForkServer(["support.toy_slow_import"], environment=thread_environment(1)) as server:
        executor = LocalExecutor(
            RUN, slots=cpu_slots(1, threads=1), log_folder=tmp_path / "workers", fork_server=server
        )

        def interrupt(event: Event) -> None:
            signal.setitimer(signal.ITIMER_REAL, 0.5)

        signal.signal(signal.SIGALRM, signal.default_int_handler)
        with pytest.raises(KeyboardInterrupt):
            run_all(executor, trials[:1], tmp_path, on_event=interrupt)
        assert server.is_gone
        assert not alive(server.process_id)


@pytest.mark.slow
def test_a_helper_calls_functions_elsewhere_and_raises_what_they_raise():
    helper = toy_server().helper()
    assert helper.call("os:getpid") in children_of(toy_server().process_id)
    assert helper.call("json:dumps", [1], indent=1) == "[\n 1\n]"
    with pytest.raises(ZeroDivisionError):
        helper.call("operator:truediv", 1, 0)
    assert helper.call("operator:truediv", 1, 2) == 0.5


@pytest.mark.slow
def test_without_its_server_a_helper_calls_functions_here():
    with ForkServer([], environment=thread_environment(1)) as server:
        helper = server.helper()
        os.kill(helper.call("os:getpid"), signal.SIGKILL)
        assert helper.call("os:getpid") == os.getpid()
    assert server.helper().call("os:getpid") == os.getpid()


def test_slots_need_different_names(tmp_path):
    with pytest.raises(
        CheckFailed,
        match=r"^a LocalExecutor must have slots of different names, got \['a', 'a'\]\.$",
    ):
        LocalExecutor(RUN, slots=[Slot("a"), Slot("a")], log_folder=tmp_path)
    with pytest.raises(
        CheckFailed, match=r"^a LocalExecutor must have slots of different names, got \[\]\.$"
    ):
        LocalExecutor(RUN, slots=[], log_folder=tmp_path)


def test_a_request_crosses_a_process_unchanged(tmp_path):
    _, (trial, *_) = toy_study(
        axes={
            "freeze_depth": (-1,),
            "lora_rank": (8,),
            "adapter_targets": (("blocks.*", "head"),),
            "head_lr": (1e-7,),
        }
    )
    request = request_of(trial, tmp_path)
    again = TrialRequest.model_validate_json(request.model_dump_json())
    assert again == request
    assert again.trial.trial_id == trial.trial_id


def test_workers_start_without_torch_mlflow_and_optuna():
    code = (
        "import sys, ablate.scheduling.executors.worker, ablate.scheduling.executors.local; "
        "print({'torch', 'mlflow', 'optuna'} & set(sys.modules))"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        == "set()\n"
    )


def test_load_finds_the_real_thing_by_name():
    assert load("support.toy_trials:run").__name__ == "run"
