"""The conductor's end of one slot of a Ray cluster."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from ablate.errors import CheckFailed, StoreError
from ablate.scheduling.executors._base import (
    TRIAL_TIMEOUT,
    WORKER_DIED,
    WORKER_SILENT,
    Patience,
    failed,
)
from ablate.scheduling.executors.ray_cluster import first_line
from ablate.scheduling.executors.ray_node import Message, Node, Piece, computing_versions
from ablate.study.request import TrialRequest
from ablate.tracking.events import Event, Failure, TrialEnded, from_json

# How long a worker has to send its stacks.
_STACKS_S = 3.0
_MAX_BAD_STARTS = 3


class Seat:
    """One slot: a worker is asked for, arrives, runs trials, and is replaced where it is lost."""

    def __init__(self, name: str, *, depot: Any, make: Callable[[], Any]) -> None:
        """`make` asks Ray for a worker; `depot` reads files of this machine for it."""
        self.name = name
        self.request: TrialRequest | None = None
        """What it is running."""
        self.awaited: Any = None
        """Ray's promise of what the worker sends next: that it is there, or how its trial goes.

        None where it has nothing to do.
        """
        self._depot = depot
        self._make = make
        self._actor: Any = None
        self._node: Node | None = None
        self._began = 0.0
        self._last_message = 0.0
        self._n_bad_starts = 0

    @property
    def is_free(self) -> bool:
        """Whether a worker is there that runs nothing."""
        return self._node is not None and self.request is None

    def occupy(self) -> None:
        """Ask Ray for a worker where there is none."""
        if self._actor is None:
            self._actor = self._make()
            self._node = None
            # A promise, not a wait: Ray may have to start a machine first.
            self.awaited = self._actor.ready.remote()

    def vacate(self) -> None:
        """End the worker, in the middle of a trial too."""
        if self._actor is not None:
            # It may be gone already, which is what is wanted.
            with contextlib.suppress(RayError):
                ray.kill(self._actor)
        self._actor = None
        self._node = None
        self.awaited = None

    def start(self, request: TrialRequest) -> None:
        """Hand a request to the worker, which must be free."""
        self.request = request
        self._began = time.monotonic()
        # Else the silence before this trial would count against it.
        self._last_message = self._began
        # Streaming: each message is there when it is sent, not when the trial is over.
        run = self._actor.run.options(num_returns="streaming")
        self.awaited = run.remote(request.model_dump_json(), self._depot)

    def prune(self) -> None:
        """Ask the worker to end its trial after an epoch."""
        if self.request is not None:
            self._actor.prune.remote(f"{self.request.trial.trial_id} {self.request.attempt}")

    def listen(self) -> Iterator[Event]:
        """What the worker sends now; the trial's failure where it is lost."""
        if self._node is None:
            self._arrive()
            return
        try:
            # A stream of Ray's gives promises, one for each message; what is ready comes at once.
            message: Message = ray.get(next(self.awaited))
        except (RayError, StopIteration) as error:
            yield self._lost(error)
            return
        self._last_message = time.monotonic()
        if isinstance(message, Piece):
            self._keep(message)
        elif message is not None:
            event = from_json(json.loads(message))
            if isinstance(event, TrialEnded):
                self.request = None
                self.awaited = None
            yield event

    def give_up(self, patience: Patience) -> TrialEnded | None:
        """End a worker whose trial takes too long, or that sends nothing any more.

        Returns its trial's failure, or None where all is well.
        """
        if self.request is None:
            return None
        now = time.monotonic()
        why = patience.overrun(ran_s=now - self._began)
        if why:
            return self._end(TRIAL_TIMEOUT, why, self._stacks())
        why = patience.silence(self.name, silent_s=now - self._last_message)
        if why:
            return self._end(WORKER_SILENT, why, self._stacks())
        return None

    def _arrive(self) -> None:
        """Note where the worker is.

        Raises StoreError where it computes with other libraries, or cannot start again and again.
        """
        try:
            node: Node = ray.get(self.awaited)
        except RayError as error:
            self.vacate()
            # A node that goes away while a worker starts there is no fault of the study's.
            self._n_bad_starts += 1
            if self._n_bad_starts >= _MAX_BAD_STARTS:
                raise StoreError(
                    f"a worker of slot {self.name} must start, it did not {_MAX_BAD_STARTS} "
                    f"times: {first_line(error)}"
                ) from error
            return
        # Before it gets a trial: results of other libraries would be compared with ours.
        _check_versions(node)
        self._node = node
        self.awaited = None
        self._n_bad_starts = 0

    def _keep(self, piece: Piece) -> None:
        """Write part of a file beside its place, and put it there when it is whole."""
        if self.request is None:
            raise CheckFailed(
                f"slot {self.name} must say whose file {piece.name} is before its trial ends."
            )
        folder = self.request.folder
        # A checkpoint outlives the attempt, so it has a folder of its own.
        if piece.place == "checkpoint" and self.request.checkpoint is not None:
            folder = self.request.checkpoint.folder
        path = folder / piece.name
        path.parent.mkdir(parents=True, exist_ok=True)
        # Who reads meanwhile sees the former file, and a node that is lost leaves no half of one.
        partial = path.with_name(path.name + ".partial")
        with partial.open("ab") as file:
            file.write(piece.data)
        if not piece.data:
            partial.replace(path)

    def _lost(self, error: Exception) -> TrialEnded:
        host = "a node" if self._node is None else self._node.host
        why = (
            f"the worker of slot {self.name} on {host} was lost in the middle of the trial "
            f"({type(error).__name__}); Ray's logs there say more"
        )
        return self._end(WORKER_DIED, why, str(error))

    def _stacks(self) -> str:
        try:
            # With a limit: a worker that hangs in C code, holding the GIL, answers nothing.
            return str(ray.get(self._actor.stacks.remote(), timeout=_STACKS_S))
        except RayError:
            return ""

    def _end(self, kind: str, why: str, stack: str) -> TrialEnded:
        self.vacate()  # also a worker that only hangs: its answer would come to another trial
        request = self.request
        self.request = None
        if request is None:
            raise CheckFailed(f"slot {self.name} must run a trial to lose one.")
        _remove_partial(request.folder)
        if request.checkpoint is not None:
            _remove_partial(request.checkpoint.folder)  # the next attempt begins them again
        return failed(request, Failure(kind, why, traceback=stack))


def _check_versions(node: Node) -> None:
    """Raises StoreError where a node computes with other libraries than the conductor."""
    ours = computing_versions()
    differing = []
    for name, theirs in node.versions.items():
        if theirs != ours[name]:
            differing.append(f"{name} {theirs} instead of {ours[name]}")
    if differing:
        raise StoreError(
            "every node must have the conductor's libraries, "
            f"{node.host} has {', '.join(differing)}; install the same versions there."
        )


def _remove_partial(folder: Path) -> None:
    for partial in folder.rglob("*.partial"):
        partial.unlink()
