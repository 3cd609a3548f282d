"""A signal may come at any moment. What is put away must be whole, and nobody may wait for ever."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType

import pytest
from support.toy_conductor import conduct
from support.toy_study import toy_study

from ablate.scheduling.executors.inline import InlineExecutor
from ablate.scheduling.interrupts import ignoring_signals, interruptible, uninterrupted
from ablate.scheduling.study_folder import JOURNAL
from ablate.tracking.events import TrialEnded, TrialState
from ablate.tracking.journal import Journal, attempts


def struck(act: Callable[[], None], *, at: int) -> bool:
    """Call `act` with a SIGTERM at its n-th bytecode; whether it got so far."""
    n_codes = 0

    def trace(frame: FrameType, event: str, arg: object):
        nonlocal n_codes
        frame.f_trace_opcodes = True
        if event == "opcode":
            n_codes += 1
            if n_codes == at:
                signal.raise_signal(signal.SIGTERM)
        return trace

    former = sys.gettrace()
    with contextlib.suppress(KeyboardInterrupt), interruptible():
        sys.settrace(trace)
        try:
            act()
        finally:
            sys.settrace(former)
    return n_codes >= at


def locks_held_after_strikes(act: Callable[[threading.Event], None]) -> list[int]:
    """The bytecodes of `act` after which a signal leaves the event's lock held for ever."""
    held: list[int] = []
    at = 1
    while True:
        event = threading.Event()
        if not struck(partial(act, event), at=at):
            return held
        if event._cond._lock.locked():  # type: ignore[attr-defined]
            held.append(at)
        at += 1


def test_no_bytecode_at_which_a_signal_leaves_a_lock_held():
    """Every moment of threading.Event.set, one by one: bare, some of them leave its lock held (else
    this test shows nothing); in `uninterrupted`, none does.
    """

    def in_whole(event: threading.Event) -> None:
        with uninterrupted():
            event.set()

    assert locks_held_after_strikes(threading.Event.set)
    assert locks_held_after_strikes(in_whole) == []


def test_an_interrupt_that_waits_is_raised_at_the_end_of_the_outermost_block():
    done = []
    with pytest.raises(KeyboardInterrupt), interruptible():
        with uninterrupted():
            with uninterrupted():
                signal.raise_signal(signal.SIGTERM)
                done.append("inner")
            done.append("outer")
        done.append("never")
    assert done == ["inner", "outer"]
    with interruptible(), uninterrupted():
        pass  # it is not raised a second time


def swallow(number: signal.Signals) -> None:
    """As a library does that tries an import and takes every exception for a missing package."""
    with contextlib.suppress(BaseException):
        signal.raise_signal(number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_that_a_library_swallowed_is_raised_by_the_next_whole_block(
    number: signal.Signals,
):
    done = []
    with pytest.raises(KeyboardInterrupt), interruptible():
        swallow(number)
        with uninterrupted():
            done.append("the block to its end")
        done.append("never")
    assert done == ["the block to its end"]
    with interruptible(), uninterrupted():
        pass  # it is not raised a second time


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_that_a_library_swallowed_is_raised_at_the_end_at_the_latest(
    number: signal.Signals,
):
    with pytest.raises(KeyboardInterrupt), interruptible():
        swallow(number)
    with interruptible():
        pass


def test_what_is_put_away_after_an_interrupt_is_not_interrupted_by_it_again():
    done = []
    with pytest.raises(KeyboardInterrupt), interruptible():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            with ignoring_signals():
                done.append("put away")
            with uninterrupted():
                done.append("and more")
    assert done == ["put away", "and more"]


def test_whoever_ignores_interrupts_goes_on_ignoring_them():
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruptible():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, former)


def test_a_study_under_fire_ends_complete_once(tmp_path: Path):
    """Every call is interrupted where it happens to be; the journal stays readable, and every trial
    ends complete once.
    """
    study = toy_study(seeds=range(5))
    # a process that goes on after it broke off an import has half a module
    conduct(tmp_path / "calm", executor=InlineExecutor("support.toy_trials:nothing"))
    n_calls = 0
    while True:
        n_calls += 1
        assert n_calls < 300
        timer = threading.Timer(0.03 * n_calls, os.kill, (os.getpid(), signal.SIGTERM))
        timer.daemon = True
        try:
            with interruptible():
                try:
                    timer.start()
                    conduct(
                        tmp_path / "fire",
                        executor=InlineExecutor("support.toy_trials:nothing"),
                        study=study,
                    )
                    break
                finally:
                    with ignoring_signals():
                        timer.cancel()
                        timer.join()
        except KeyboardInterrupt:
            continue
    events = list(Journal(tmp_path / "fire" / JOURNAL).read())
    ends = [
        event.trial_id
        for event in events
        if isinstance(event, TrialEnded) and event.state is TrialState.COMPLETE
    ]
    assert sorted(ends) == sorted(trial.trial_id for trial in study[1])
    assert not any(attempt.is_running for attempt in attempts(events).values())
    assert n_calls > 1
