"""The node's end of the Ray executor: what runs a trial there, and what reads files on the
conductor's machine for it. Messages travel through Ray alone.
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
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import ray

from ablate.data.transfer import PIECE_BYTES, fetch_store
from ablate.scheduling.executors._base import execute
from ablate.scheduling.executors.worker import ALIVE_EVERY_S
from ablate.study.request import TrialRequest
from ablate.tracking.events import Event, Failure, TrialEnded, TrialState, to_json

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
    """Part of a file that goes back to the conductor; the last part has no bytes and puts the file
    in its place.
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
        self._is_at_home = ray.get_runtime_context().get_node_id() == conductor_node
        self._pruned: set[str] = set()
        _sweep()

    def ready(self) -> Node:
        """Where this is, once it is there."""
        return Node(
            ray.get_runtime_context().get_node_id(), socket.gethostname(), computing_versions()
        )

    @ray.method(concurrency_group=CONTROL)  # type: ignore[untyped-decorator]
    def prune(self, key: str) -> None:
        """Ask the trial of this id and attempt to end after an epoch."""
        self._pruned.add(key)

    @ray.method(concurrency_group=CONTROL)  # type: ignore[untyped-decorator]
    def stacks(self) -> str:
        """Every thread's stack: where a trial hangs."""
        with tempfile.TemporaryFile("w+") as file:
            faulthandler.dump_traceback(file, all_threads=True)
            file.seek(0)
            return file.read()

    def run(self, text: str, depot: Any) -> Iterator[Message]:
        """Run one request, given as JSON, and say what happens to it; files come before the event
        that speaks of them.
        """
        request = TrialRequest.model_validate_json(text)
        visit = _Visit(request, depot, is_at_home=self._is_at_home)
        said: queue.SimpleQueue[Event] = queue.SimpleQueue()

        def say(event: Event) -> bool:
            said.put(event)
            return f"{event.trial_id} {event.attempt}" in self._pruned

        threading.Thread(
            target=_serve, args=(self._run_trial, visit, say), name="ablate-trial", daemon=True
        ).start()
        while True:
            try:
                event = said.get(timeout=ALIVE_EVERY_S)
            except queue.Empty:
                yield None
                continue
            is_over = isinstance(event, TrialEnded)
            yield from visit.news(is_over=is_over)
            if isinstance(event, TrialEnded):
                visit.leave()
                event = visit.as_told_at_home(event)
            yield json.dumps(to_json(event))
            if is_over:
                return


def _serve(run_trial: str, visit: _Visit, say: Any) -> None:
    """A trial has an end here, whatever happens."""
    request = visit.request
    try:
        execute(run_trial, visit.arrive(), say)
    except BaseException as error:
        failure = Failure(
            type(error).__name__, str(error).partition("\n")[0], traceback=traceback.format_exc()
        )
        say(
            TrialEnded(
                request.trial.trial_id,
                request.attempt,
                TrialState.FAILED,
                at=time.time(),
                failure=failure,
            )
        )


class _Visit:
    """A request away from the conductor's machine: its paths there, and here.

    On the conductor's own machine they are the same.
    """

    def __init__(self, request: TrialRequest, depot: Any, *, is_at_home: bool) -> None:
        self.request, self._depot, self._is_at_home = request, depot, is_at_home
        name = f"{request.trial.trial_id}-{request.attempt}-{os.getpid()}"
        self._folder, self._checkpoint = (
            node_home() / "visits" / name / "attempt",
            node_home() / "visits" / name / "checkpoint",
        )
        self._sent: dict[tuple[str, str], tuple[int, int]] = {}

    def arrive(self) -> TrialRequest:
        """Get what is missing here, and return the request with this machine's paths."""
        request = self.request
        if self._is_at_home:
            return request
        shutil.rmtree(self._folder.parent, ignore_errors=True)
        self._folder.mkdir(parents=True)
        store = node_home() / "images" / request.store_path.name
        if "meta.json" in self._names(request.store_path):
            fetch_store(
                store,
                lambda name, offset, n_bytes: self._read(
                    request.store_path / name, offset, n_bytes
                ),
            )
        update: dict[str, Any] = {"folder": self._folder, "store_path": store}
        if request.cache is not None:
            update["cache"] = request.cache.model_copy(
                update={"folder": node_home() / "activations"}
            )
        if request.checkpoint is not None:
            self._take_checkpoint(request.checkpoint.folder)
            update["checkpoint"] = request.checkpoint.model_copy(
                update={"folder": self._checkpoint}
            )
        return request.model_copy(update=update)

    def news(self, *, is_over: bool) -> Iterator[Piece]:
        """Files that are new or changed here: the checkpoint after an epoch, what the attempt
        leaves at its end.
        """
        if self._is_at_home:
            return
        if is_over:
            yield from self._changed("folder", self._folder)
        elif self.request.checkpoint is not None:
            yield from self._changed("checkpoint", self._checkpoint)

    def as_told_at_home(self, ended: TrialEnded) -> TrialEnded:
        """A failure names the attempt's folder where its reader finds it."""
        if ended.failure is None:
            return ended
        message, stack = (
            text.replace(str(self._folder), str(self.request.folder))
            for text in (ended.failure.message, ended.failure.traceback)
        )
        return dataclasses.replace(ended, failure=Failure(ended.failure.kind, message, stack))

    def leave(self) -> None:
        """Keep stores and activations, nothing else."""
        if not self._is_at_home:
            shutil.rmtree(self._folder.parent, ignore_errors=True)

    def _changed(self, place: str, folder: Path) -> Iterator[Piece]:
        # whole files only
        for path in sorted(
            path for path in folder.rglob("*") if path.is_file() and path.suffix != ".part"
        ):
            name, facts = path.relative_to(folder).as_posix(), path.stat()
            state = (facts.st_mtime_ns, facts.st_size)
            if self._sent.get((place, name)) == state:
                continue
            self._sent[place, name] = state
            with path.open("rb") as file:
                while data := file.read(PIECE_BYTES):
                    yield Piece(place, name, data)
            yield Piece(place, name, b"")

    def _take_checkpoint(self, theirs: Path) -> None:
        self._checkpoint.mkdir(parents=True)
        for name in self._names(theirs):
            mine = self._checkpoint / name
            with mine.open("wb") as file:
                while data := self._read(theirs / name, file.tell(), PIECE_BYTES):
                    file.write(data)
            self._sent["checkpoint", name] = (mine.stat().st_mtime_ns, mine.stat().st_size)

    def _names(self, folder: Path) -> Sequence[str]:
        return ray.get(self._depot.names.remote(str(folder)))  # type: ignore[no-any-return]

    def _read(self, path: Path, offset: int, n_bytes: int) -> bytes:
        return ray.get(self._depot.read.remote(str(path), offset, n_bytes))  # type: ignore[no-any-return]


def _sweep() -> None:
    """Remove what workers left that were killed here."""
    for visit in (node_home() / "visits").glob("*"):
        process = visit.name.rpartition("-")[2]
        if process.isdigit() and not Path(f"/proc/{process}").exists():
            shutil.rmtree(visit, ignore_errors=True)


def node_home() -> Path:
    """Stores and activations of a node: the `$ABLATE_HOME` that stood when Ray was started there,
    else `.ablate` in the user's folder.
    """
    return Path(os.environ.get("ABLATE_HOME") or Path.home() / ".ablate").absolute()


def computing_versions() -> dict[str, str]:
    """Library -> version, of what decides the digits of a result."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in MUST_AGREE:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found
