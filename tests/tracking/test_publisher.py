from __future__ import annotations

import threading
import time

import pytest

from ablate.tracking import publisher as module
from ablate.tracking.publisher import STUDY, Publisher, Unpublished, attempt_key


class Server:
    """Notes what it is told, and can be away, or refuse one thing for good."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.is_up = True
        self.n_refusals = 0
        self.refused: set[str] = set()

    def tell(self, what: str) -> None:
        if not self.is_up or what in self.refused:
            self.n_refusals += 1
            raise ConnectionError(f"cannot take {what}\nand so on")
        self.told.append(what)


@pytest.fixture
def server() -> Server:
    return Server()


def publisher_of(server: Server) -> Publisher:
    return Publisher(lambda: server.tell("begin"), is_up=lambda: server.is_up)


def send(publisher: Publisher, server: Server, *steps: str) -> None:
    """Steps are named `<key>.<n>`."""
    for step in steps:
        publisher.send(step.partition(".")[0], lambda step=step: server.tell(step))


def test_steps_are_done_in_order_after_the_beginning(server):
    publisher = publisher_of(server)
    send(publisher, server, *(f"{key}.{n}" for key in "abc" for n in range(50)))
    assert publisher.close() == Unpublished(n_attempts=0, why="")
    assert server.told == ["begin", *(f"{key}.{n}" for key in "abc" for n in range(50))]


def test_sending_never_waits(server):
    gate = threading.Event()
    publisher = Publisher(lambda: gate.wait(20), is_up=lambda: True)
    send(publisher, server, "a.1")
    assert server.told == []
    gate.set()
    publisher.close()
    assert server.told == ["a.1"]


def test_a_server_that_comes_back_hears_everything_once(server, monkeypatch):
    monkeypatch.setattr(module, "_LONGEST_PAUSE_S", 0.05)
    publisher = publisher_of(server)
    server.is_up = False
    send(publisher, server, "a.1", "a.2", "b.1")
    while server.n_refusals < 5:
        time.sleep(0.01)
    server.is_up = True
    assert publisher.close().n_attempts == 0
    assert [step for step in server.told if step != "begin"] == ["a.1", "a.2", "b.1"]


def test_a_server_that_stays_away_is_given_up_and_counted(server):
    server.is_up = False
    publisher = publisher_of(server)
    send(publisher, server, "a.1", "a.2", "b.1", f"{STUDY}.1")
    assert publisher.close(patience_s=0.3) == Unpublished(n_attempts=2, why="ConnectionError: cannot take begin")


def test_one_broken_step_holds_up_its_own_attempt_only(server, monkeypatch):
    monkeypatch.setattr(module, "_LONGEST_PAUSE_S", 0.01)
    server.refused = {"a.2"}
    publisher = publisher_of(server)
    send(publisher, server, "a.1", "a.2", "a.3", "b.1", f"{STUDY}.1")
    assert publisher.close() == Unpublished(n_attempts=1, why="ConnectionError: cannot take a.2")
    assert server.told == ["begin", "a.1", "b.1", f"{STUDY}.1"]


def test_without_the_beginning_nothing_is_tried(server, monkeypatch):
    monkeypatch.setattr(module, "_LONGEST_PAUSE_S", 0.01)
    server.refused = {"begin"}
    publisher = publisher_of(server)
    send(publisher, server, "a.1", "b.1")
    assert publisher.close() == Unpublished(n_attempts=2, why="ConnectionError: cannot take begin")
    assert server.told == []


def test_keys_of_attempts():
    assert attempt_key("0123abcd", 2) == "0123abcd-2"
