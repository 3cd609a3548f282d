from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from ablate.tracking import publisher as module
from ablate.tracking.events import EpochEnded, Event, TrialEnded, TrialStarted, TrialState
from ablate.tracking.journal import Journal
from ablate.tracking.publisher import Publisher, Unpublished, attempt_key


class Server:
    """A projection that notes what it is told, and can be away, or refuse one thing for good."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.answers = True
        self.n_refusals = 0
        self.refused: set[str] = set()
        self.rested: list[list[str]] = []
        self.has_rested = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def is_up(self) -> bool:
        return self.answers

    def begin(self) -> None:
        self._hear("begin")

    def tell(self, event: Event) -> None:
        self._hear(name(event))

    def rest(self) -> None:
        """Apart from what is told: when silence comes, the machine decides."""
        self.rested.append(list(self.told))
        self.has_rested.set()
        raise ConnectionError("a rest that fails comes again with the attempt's next event")

    def settle(self) -> None:
        self._hear("settle")

    def finish(self, status: str) -> None:
        self._hear(status)

    def _hear(self, what: str) -> None:
        self.gate.wait(20)
        if not self.answers or what in self.refused:
            self.n_refusals += 1
            raise ConnectionError(f"cannot take {what}\nand so on")
        self.told.append(what)


def name(event: Event) -> str:
    if isinstance(event, EpochEnded):
        return f"{event.trial_id}.{event.epoch}"
    what = "start" if isinstance(event, TrialStarted) else "end"
    return f"{event.trial_id}.{what}"


def attempt(trial_id: str, n_epochs: int = 2) -> list[Event]:
    epochs = [
        EpochEnded(trial_id, 1, epoch=epoch, n_epochs=n_epochs, metrics={}, at=0.0)
        for epoch in range(n_epochs)
    ]
    return [
        TrialStarted(trial_id, 1, slot="cpu:0", at=0.0),
        *epochs,
        TrialEnded(trial_id, 1, TrialState.COMPLETE, at=0.0),
    ]


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.jsonl")


def follow(journal: Journal, server: Server, *, trial_ids: str = "abc") -> Publisher:
    return Publisher(journal, server, trial_ids=set(trial_ids))


def write(journal: Journal, events: list[Event], publisher: Publisher | None = None) -> None:
    for event in events:
        journal.append(event)
        if publisher:
            publisher.wake()


def names(*trial_ids: str) -> list[str]:
    return [name(event) for trial_id in trial_ids for event in attempt(trial_id)]


def test_the_past_is_told_then_settled_then_what_comes(server, journal):
    write(journal, attempt("a"))
    publisher = follow(journal, server)
    write(journal, attempt("b"), publisher)
    assert publisher.close("FINISHED") == Unpublished(n_attempts=0, why="")
    assert server.told == ["begin", *names("a"), "settle", *names("b"), "FINISHED"]


@pytest.mark.parametrize("torn", [b"", b'{"event": "trial_st'])
def test_a_past_without_a_future_is_settled(torn, server, journal):
    write(journal, attempt("a"))
    journal.path.write_bytes(journal.path.read_bytes() + torn)
    assert follow(journal, server).close("KILLED").n_attempts == 0
    assert server.told == ["begin", *names("a"), "settle", "KILLED"]


def test_trials_that_are_not_of_the_study_are_passed_over(server, journal):
    write(journal, [*attempt("x"), *attempt("a")])
    assert follow(journal, server).close("FINISHED").n_attempts == 0
    assert server.told == ["begin", *names("a"), "settle", "FINISHED"]


def test_following_never_waits(server, journal):
    server.gate.clear()
    publisher = follow(journal, server)
    write(journal, attempt("a"), publisher)
    assert server.told == []
    server.gate.set()
    publisher.close("FINISHED")
    assert server.told[2:-1] == names("a")


def test_a_follower_rests_in_silence_and_hears_what_comes_then(server, journal, monkeypatch):
    monkeypatch.setattr(module, "_REST_AFTER_S", 0.01)
    write(journal, attempt("a")[:1])
    publisher = follow(journal, server)
    assert server.has_rested.wait(20)
    assert server.rested == [["begin", "a.start", "settle"]]
    write(journal, attempt("a")[1:], publisher)
    assert publisher.close("FINISHED").n_attempts == 0
    assert server.told == ["begin", "a.start", "settle", *names("a")[1:], "FINISHED"]


def test_a_follower_that_is_never_left_in_silence_rests_too(server, journal, monkeypatch):
    monkeypatch.setattr(module, "_REST_AFTER_S", 60)
    monkeypatch.setattr(module, "_REST_EVERY_S", 0)
    write(journal, attempt("a")[:1])
    publisher = follow(journal, server)
    assert server.has_rested.wait(20)
    publisher.close("FINISHED")


def test_a_server_that_comes_back_hears_everything_once(server, journal, monkeypatch):
    monkeypatch.setattr(module, "_LONGEST_PAUSE_S", 0.05)
    server.answers = False
    publisher = follow(journal, server)
    write(journal, [*attempt("a"), *attempt("b")], publisher)
    while server.n_refusals < 5:
        time.sleep(0.01)
    server.answers = True
    assert publisher.close("FINISHED").n_attempts == 0
    assert server.told == ["begin", "settle", *names("a", "b"), "FINISHED"]


def test_a_server_that_stays_away_is_given_up_and_counted(server, journal):
    write(journal, [*attempt("a"), *attempt("x")])
    server.answers = False
    publisher = follow(journal, server)
    write(journal, attempt("b"), publisher)
    assert publisher.close("FINISHED", patience_s=0.3) == Unpublished(
        n_attempts=2, why="ConnectionError: cannot take begin"
    )


def test_one_broken_step_holds_up_its_own_attempt_only(server, journal, monkeypatch):
    monkeypatch.setattr(module, "_LONGEST_PAUSE_S", 0.01)
    server.refused = {"a.0"}
    write(journal, [*attempt("a"), *attempt("b")])
    assert follow(journal, server).close("FINISHED") == Unpublished(
        n_attempts=1, why="ConnectionError: cannot take a.0"
    )
    assert server.told == ["begin", "a.start", *names("b"), "settle", "FINISHED"]


def test_without_the_beginning_nothing_is_tried(server, journal, monkeypatch):
    monkeypatch.setattr(module, "_LONGEST_PAUSE_S", 0.01)
    server.refused = {"begin"}
    write(journal, [*attempt("a"), *attempt("b")])
    assert follow(journal, server).close("FINISHED") == Unpublished(
        n_attempts=2, why="ConnectionError: cannot take begin"
    )
    assert server.told == []


def test_keys_of_attempts():
    assert attempt_key("0123abcd", 2) == "0123abcd-2"
