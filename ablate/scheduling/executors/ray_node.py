"""The node's end of the Ray executor.

What runs a trial there, and what reads files on the conductor's machine for it. Messages travel
through Ray alone.
"""

from __future__ import annotations

import dataclasses
import faulthandler
import json
import os
import queue
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import ray

from ablate.data.transfer import PIECE_BYTES, fetch_store
from ablate.scheduling.executors._base import OnEvent, execute, failed, failure_of
from ablate.scheduling.executors.worker import ALIVE_EVERY_S
from ablate.study.request import TrialRequest
from ablate.tracking.events import Event, Failure, TrialEnded, to_json

CONTROL = "control"
"""The concurrency group of what must be heard while a trial runs."""
MUST_AGREE = ("torch", "torchvision", "timm", "peft", "numpy")
"""Libraries that compute: another version of one gives other numbers."""


@dataclass(frozen=True, slots=True)
class Node:
    """Where a worker is."""

    node_id: str
    host: str
    versions: dict[str, str]


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a file that goes back to the conductor.

    The last part has no bytes and puts the file in its place.
    """

    place: str
    """The field of the request that names the folder: "folder" or "checkpoint"."""
    name: str
    data: bytes


Message = str | Piece | None
"""An event as JSON, part of a file, or a sign of life."""


class Depot:
    """Reads files on the conductor's machine for the nodes."""

    def read(self, path: str, offset: int, n_bytes: int) -> bytes:
        """At most so many bytes from there on."""
        with Path(path).open("rb") as file:
            file.seek(offset)
            return file.read(n_bytes)

    def names(self, folder: str) -> list[str]:
        """Files in a folder; none where there is no folder."""
        return sorted(path.name for path in Path(folder).glob("*") if path.is_file())


class TrialWorker:
    """One slot on a node: long-lived, one trial at a time."""

    def __init__(self, run_trial: str, conductor_node: str) -> None:
        self._run_trial = run_trial
        # At home the conductor's own folders are here: nothing has to travel.
        self._is_at_home = ray.get_runtime_context().get_node_id() == conductor_node
        self._pruned: set[str] = set()
        # A worker that was killed cannot tidy up after itself: the next one here does.
        _sweep()

    def ready(self) -> Node:
        """Where this is, once it is there."""
        node_id = ray.get_runtime_context().get_node_id()
        return Node(node_id, socket.gethostname(), computing_versions())

    @ray.method(concurrency_group=CONTROL)  # type: ignore[untyped-decorator]
    def prune(self, key: str) -> None:
        """Ask the trial of this id and attempt to end after an epoch."""
        self._pruned.add(key)

    @ray.method(concurrency_group=CONTROL)  # type: ignore[untyped-decorator]
    def stacks(self) -> str:
        """Every thread's stack: where a trial hangs."""
        # A real file: faulthandler writes to its descriptor, and a StringIO has none.
        with tempfile.TemporaryFile("w+") as file:
            faulthandler.dump_traceback(file, all_threads=True)
            file.seek(0)
            return file.read()

    def run(self, text: str, depot: Any) -> Iterator[Message]:
        """Run one request, given as JSON, and report what happens to it.

        Files come before the event that speaks of them.
        """
        request = TrialRequest.model_validate_json(text)
        visit = _Visit(request, depot, is_at_home=self._is_at_home)
        events: queue.SimpleQueue[Event] = queue.SimpleQueue()

        def report(event: Event) -> bool:
            events.put(event)
            return f"{event.trial_id} {event.attempt}" in self._pruned

        # The trial has a thread of its own, so that this one can send signs of life meanwhile.
        threading.Thread(
            target=_serve, args=(self._run_trial, visit, report), name="ablate-trial", daemon=True
        ).start()
        while True:
            try:
                event = events.get(timeout=ALIVE_EVERY_S)
            except queue.Empty:
                yield None
                continue
            # Files first: whoever hears of an end takes for granted that what it names is there.
            is_over = isinstance(event, TrialEnded)
            yield from visit.news(is_over=is_over)
            if isinstance(event, TrialEnded):
                visit.leave()
                # A message that names this machine's scratch folder would lead its reader nowhere.
                event = visit.with_home_paths(event)
            yield json.dumps(to_json(event))
            if is_over:
                return


def _serve(run_trial: str, visit: _Visit, report: OnEvent) -> None:
    """Run a trial that has an end, whatever happens."""
    try:
        execute(run_trial, visit.arrive(), report)
    except BaseException as error:
        report(failed(visit.request, failure_of(error)))


class _Visit:
    """A request away from the conductor's machine: its paths there, and here.

    On the conductor's own machine they are the same.
    """

    def __init__(self, request: TrialRequest, depot: Any, *, is_at_home: bool) -> None:
        self.request = request
        self._depot = depot
        self._is_at_home = is_at_home
        # The process is in the name, so that `_sweep` finds what a killed one left.
        name = f"{request.trial.trial_id}-{request.attempt}-{os.getpid()}"
        self._scratch = node_home() / "visits" / name
        self._folder = self._scratch / "attempt"
        self._checkpoint = self._scratch / "checkpoint"
        # (place, name) of a file -> its time of change and its size when it was sent.
        self._sent: dict[tuple[str, str], tuple[int, int]] = {}

    def arrive(self) -> TrialRequest:
        """Get what is missing here, and return the request with this machine's paths."""
        request = self.request
        if self._is_at_home:
            return request
        # Whatever lies under this name would be sent as what this attempt leaves.
        self.leave()
        self._folder.mkdir(parents=True)
        update: dict[str, Any] = {"folder": self._folder, "store_path": self._fetch_images()}
        if request.cache is not None:
            # Not in the visit's folder: activations stay for the node's later trials.
            activations = {"folder": node_home() / "activations"}
            update["cache"] = request.cache.model_copy(update=activations)
        if request.checkpoint is not None:
            self._take_checkpoint(request.checkpoint.folder)
            checkpoint = {"folder": self._checkpoint}
            update["checkpoint"] = request.checkpoint.model_copy(update=checkpoint)
        return request.model_copy(update=update)

    def _fetch_images(self) -> Path:
        """Path of the image store here; stores stay, so later trials find it."""
        theirs = self.request.store_path
        ours = node_home() / "images" / theirs.name
        # Written last, so a store without it is not whole, and the trial says so by itself.
        if "meta.json" in self._names(theirs):
            fetch_store(
                ours, lambda name, offset, n_bytes: self._read(theirs / name, offset, n_bytes)
            )
        return ours

    def news(self, *, is_over: bool) -> Iterator[Piece]:
        """Files that are new or changed here.

        The checkpoint after an epoch, and at the trial's end what the attempt leaves.
        """
        if self._is_at_home:
            return
        if is_over:
            yield from self._changed("folder", self._folder)
        elif self.request.checkpoint is not None:
            yield from self._changed("checkpoint", self._checkpoint)

    def with_home_paths(self, ended: TrialEnded) -> TrialEnded:
        """A failure names the attempt's folder where its reader finds it."""
        # Only a failure holds paths: what completed names its files below its folder.
        failure = ended.failure
        if failure is None:
            return ended
        here = str(self._folder)
        home = str(self.request.folder)
        message = failure.message.replace(here, home)
        stack = failure.traceback.replace(here, home)
        return dataclasses.replace(ended, failure=Failure(failure.kind, message, stack))

    def leave(self) -> None:
        """Keep stores and activations, nothing else."""
        if not self._is_at_home:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _changed(self, place: str, folder: Path) -> Iterator[Piece]:
        for path in sorted(folder.rglob("*")):
            # A ".part" is being written: whole files only.
            if not path.is_file() or path.suffix == ".part":
                continue
            name = path.relative_to(folder).as_posix()
            state = _state(path)
            if self._sent.get((place, name)) == state:
                continue
            # Noted before it is sent: a file that changes meanwhile is sent again.
            self._sent[place, name] = state
            with path.open("rb") as file:
                while data := file.read(PIECE_BYTES):
                    yield Piece(place, name, data)
            # Also after an empty file: only this puts it in its place.
            yield Piece(place, name, b"")

    def _take_checkpoint(self, theirs: Path) -> None:
        self._checkpoint.mkdir(parents=True)
        for name in self._names(theirs):
            ours = self._checkpoint / name
            with ours.open("wb") as file:
                while data := self._read(theirs / name, file.tell(), PIECE_BYTES):
                    file.write(data)
            # It came from there, so it need not be sent back until an epoch changes it.
            self._sent["checkpoint", name] = _state(ours)

    def _names(self, folder: Path) -> Sequence[str]:
        return ray.get(self._depot.names.remote(str(folder)))  # type: ignore[no-any-return]

    def _read(self, path: Path, offset: int, n_bytes: int) -> bytes:
        piece = self._depot.read.remote(str(path), offset, n_bytes)
        return ray.get(piece)  # type: ignore[no-any-return]


def _state(path: Path) -> tuple[int, int]:
    """What changes with a file: time of its last change in ns, and bytes."""
    facts = path.stat()
    return facts.st_mtime_ns, facts.st_size


def _sweep() -> None:
    """Remove what workers left that were killed here."""
    for visit in (node_home() / "visits").glob("*"):
        process = visit.name.rpartition("-")[2]
        # Other workers of this node are alive, and their visits are in use.
        if process.isdigit() and not Path(f"/proc/{process}").exists():
            shutil.rmtree(visit, ignore_errors=True)


def node_home() -> Path:
    """Folder of a node's stores and activations.

    The `$ABLATE_HOME` that stood when Ray was started there, else `.ablate` in the user's folder.
    """
    return Path(os.environ.get("ABLATE_HOME") or Path.home() / ".ablate").absolute()


def computing_versions() -> dict[str, str]:
    """Library -> version, of what decides the digits of a result."""
    versions = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in MUST_AGREE:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "missing"
    return versions
