"""Trials on a Ray cluster: one actor a slot, placed by Ray's own resources.

Only `ray.py` and `ray_node.py` know Ray; a node that is lost is an event. Requests, events, files
and stacks travel as arguments and results of actors, so through Ray's object store; nothing here
opens a connection.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablate.errors import CheckFailed, RequestError, StoreError
from ablate.scheduling.executors._base import (
    TRIAL_TIMEOUT,
    WORKER_DIED,
    WORKER_SILENT,
    OnEvent,
    Slot,
    Take,
    load,
)
from ablate.study.request import TrialRequest
from ablate.tracking.events import Event, Failure, TrialEnded, TrialStarted, TrialState, from_json

try:
    import ray
    from ray.exceptions import RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from ablate.scheduling.executors.ray_node import (
        CONTROL,
        Depot,
        Message,
        Node,
        Piece,
        TrialWorker,
        computing_versions,
        node_home,
    )
except ImportError as error:
    raise RequestError(
        f"--executor ray must have Ray installed, it is not here ({error}); install it with: "
        "pip install 'ray>=2.50,<3'"
    ) from error

SILENT_S = 60.0
"""A worker that has not been heard of for so long is taken for dead."""
START_S = 600.0
"""How long a cluster may be without a single worker before the study gives up: nodes that start, or
come back, need time."""
_LOOK_EVERY_S = 1.0
_STACKS_S = 3.0
_MAX_BAD_STARTS = 3


@dataclass(frozen=True, slots=True)
class Share:
    """What of a node one trial gets, in Ray's own resources."""

    cpus: int
    """CPU threads."""
    gpus: float = 0.0
    """GPUs, or a part of one."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that must stand before a worker imports torch."""

    @property
    def options(self) -> dict[str, Any]:
        """As Ray takes them. Ray itself shows a worker its GPUs and no others."""
        return {
            "num_cpus": self.cpus,
            "num_gpus": self.gpus,
            "runtime_env": {"env_vars": dict(self.environment)},
        }


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Be part of the Ray cluster at `address` ("auto": the one of this machine, or HOST:PORT), by
    default that of $RAY_ADDRESS. Starts none.

    The code of `ablate` goes to the nodes through Ray; what it needs must be installed on them.
    Raises StoreError where there is no such cluster.
    """
    address = address or os.environ.get("RAY_ADDRESS")
    if not address or address == "local" or address.startswith("ray://"):
        raise StoreError(
            "--executor ray must have a cluster's --address (or RAY_ADDRESS), "
            f"HOST:PORT or auto as a machine of the cluster sees it, got {address!r}; "
            "start one with: ray start --head"
        )
    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    code = {"py_modules": [str(Path(__file__).parents[2])]}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", runtime_env=code)
    except (RayError, ConnectionError, RuntimeError, ValueError) as error:
        raise StoreError(
            f"a Ray cluster must be reachable at {address}, it is not: {_first_line(error)}; "
            "start it with: ray start --head"
        ) from error
    finally:
        _restore(former)
    try:
        yield
    finally:
        ray.shutdown()


def call_on_node(function: str, share: Share, *, threads: int) -> Any:
    """Call `module:function` with (the node's home, threads=...) where `share` is to be had, and
    return what it returns.
    """
    remote = ray.remote(_call).options(**share.options)
    return ray.get(remote.remote(function, threads))


def n_shares(share: Share) -> int:
    """How many trials the cluster holds at a time now. Raises StoreError where it holds none."""
    fitting = sum(_fitting(node["Resources"], share) for node in ray.nodes() if node["Alive"])
    if not fitting:
        raise StoreError(
            f"a node of the Ray cluster must have {share.cpus} CPUs and {share.gpus:g} GPUs for a "
            f"trial, none has: {ray.cluster_resources()}."
        )
    return fitting


def has_gpus() -> bool:
    """Whether a node has a GPU."""
    return bool(ray.cluster_resources().get("GPU", 0))


class RayExecutor:
    """One actor a slot, made again when it or its node is lost; so trials wait for Ray to find it a
    place, and a slot without one takes no trial.
    """

    def __init__(
        self,
        run_trial: str,
        *,
        share: Share,
        max_slots: int | None = None,
        timeout_s: float | None = None,
        silent_s: float = SILENT_S,
    ) -> None:
        """As many slots as the cluster has shares now, at most `max_slots`.

        Must be used inside `connected`. A trial that takes longer than `timeout_s`, or whose worker
        is not heard of for `silent_s`, fails and its worker is replaced.
        """
        if not ray.is_initialized():
            raise CheckFailed("a RayExecutor must be made inside `connected`.")
        n_slots = min(n_shares(share), max_slots or n_shares(share))
        self._slots = tuple(Slot(f"ray:{index}", share.environment) for index in range(n_slots))
        self._run_trial, self._share = run_trial, share
        self._timeout_s, self._silent_s = timeout_s, silent_s

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The slots, in the order in which they are filled."""
        return self._slots

    def run(self, take: Take, on_event: OnEvent) -> None:
        """See `Executor.run`."""
        first = take(self._slots[0].name)
        if first is None:
            return
        here = ray.get_runtime_context().get_node_id()
        depot = (
            ray.remote(Depot)
            .options(
                num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=False)
            )
            .remote()
        )
        make = ray.remote(**self._share.options, concurrency_groups={CONTROL: 1})(
            TrialWorker
        ).remote
        seats = [
            _Seat(slot.name, depot=depot, make=lambda: make(self._run_trial, here))
            for slot in self._slots
        ]
        held = [first]
        try:
            _conduct(
                seats,
                lambda slot: held.pop() if held else take(slot),
                on_event,
                timeout_s=self._timeout_s,
                silent_s=self._silent_s,
            )
        finally:
            for seat in seats:
                seat.vacate()
            ray.kill(depot)


def _conduct(
    seats: Sequence[_Seat],
    take: Take,
    on_event: OnEvent,
    *,
    timeout_s: float | None,
    silent_s: float,
) -> None:
    last_work = time.monotonic()
    while True:
        is_drained = _fill(seats, take, on_event)
        busy = [seat for seat in seats if seat.request is not None]
        if is_drained and not busy:
            return
        if busy:
            last_work = time.monotonic()
        elif time.monotonic() - last_work > START_S:
            raise StoreError(
                f"the Ray cluster must have room for a trial within {START_S:g} s, it has none: "
                f"{ray.cluster_resources()}; the same command goes on."
            )
        for seat in _heard(busy if is_drained else seats):
            for event in seat.listen():
                if on_event(event):
                    seat.prune()
        for seat in busy:
            hung = seat.give_up(timeout_s=timeout_s, silent_s=silent_s)
            if hung is not None:
                on_event(hung)


def _fill(seats: Sequence[_Seat], take: Take, on_event: OnEvent) -> bool:
    """Hand requests to the workers that are there and free; whether there is nothing left to hand
    out.
    """
    for seat in seats:
        seat.occupy()
        if seat.is_free:
            request = take(seat.name)
            if request is None:
                return True
            on_event(
                TrialStarted(
                    request.trial.trial_id, request.attempt, slot=seat.name, at=time.time()
                )
            )
            seat.start(request)
    return False


def _heard(seats: Sequence[_Seat]) -> list[_Seat]:
    """The seats that have something to say, after a while at most."""
    awaited = [seat.awaited for seat in seats if seat.awaited is not None]
    if not awaited:
        return []
    ray.wait(awaited, num_returns=1, timeout=_LOOK_EVERY_S)
    ready, _ = ray.wait(awaited, num_returns=len(awaited), timeout=0)
    return [seat for seat in seats if any(seat.awaited is one for one in ready)]


class _Seat:
    """The conductor's end of one slot."""

    def __init__(self, name: str, *, depot: Any, make: Callable[[], Any]) -> None:
        self.name = name
        self.request: TrialRequest | None = None
        """What it is running."""
        self.awaited: Any = None
        """What it says next: that it is there, or how its trial goes; None where it has nothing to
        do."""
        self._depot, self._make = depot, make
        self._actor: Any = None
        self._node: Node | None = None
        self._began, self._heard, self._n_bad_starts = 0.0, 0.0, 0

    @property
    def is_free(self) -> bool:
        return self._node is not None and self.request is None

    def occupy(self) -> None:
        """Ask Ray for a worker where there is none."""
        if self._actor is None:
            self._actor, self._node = self._make(), None
            self.awaited = self._actor.ready.remote()

    def vacate(self) -> None:
        """End the worker, in the middle of a trial too."""
        if self._actor is not None:
            with contextlib.suppress(RayError):
                ray.kill(self._actor)
        self._actor, self._node, self.awaited = None, None, None

    def start(self, request: TrialRequest) -> None:
        self.request = request
        self._began = self._heard = time.monotonic()
        self.awaited = self._actor.run.options(num_returns="streaming").remote(
            request.model_dump_json(), self._depot
        )

    def prune(self) -> None:
        """Ask the worker to end its trial after an epoch."""
        if self.request is not None:
            self._actor.prune.remote(f"{self.request.trial.trial_id} {self.request.attempt}")

    def listen(self) -> Iterator[Event]:
        """What it says now; the trial's failure where it is lost."""
        if self._node is None:
            self._arrive()
            return
        try:
            message: Message = ray.get(next(self.awaited))
        except (RayError, StopIteration) as error:
            yield self._lost(error)
            return
        self._heard = time.monotonic()
        if isinstance(message, Piece):
            self._keep(message)
        elif message is not None:
            event = from_json(json.loads(message))
            if isinstance(event, TrialEnded):
                self.request, self.awaited = None, None
            yield event

    def give_up(self, *, timeout_s: float | None, silent_s: float) -> TrialEnded | None:
        """End a worker whose trial takes too long, or of which nothing is heard; its trial's
        failure, or None where all is well.
        """
        if self.request is None:
            return None
        now = time.monotonic()
        if timeout_s is not None and now - self._began > timeout_s:
            return self._end(
                TRIAL_TIMEOUT,
                f"the trial must end within {timeout_s:g} s (--trial-timeout), it did not",
                self._stacks(),
            )
        if now - self._heard > silent_s:
            return self._end(
                WORKER_SILENT,
                f"the worker of slot {self.name} must be heard of every {silent_s:g} s, it was not",
                self._stacks(),
            )
        return None

    def _arrive(self) -> None:
        """The worker says where it is.

        Raises StoreError where it computes with other libraries, or cannot start again and again.
        """
        try:
            node: Node = ray.get(self.awaited)
        except RayError as error:
            self.vacate()
            self._n_bad_starts += 1
            if self._n_bad_starts >= _MAX_BAD_STARTS:
                raise StoreError(
                    f"a worker of slot {self.name} must start, it did not {_MAX_BAD_STARTS} "
                    f"times: {_first_line(error)}"
                ) from error
            return
        here = computing_versions()
        differing = [
            f"{name} {there} instead of {here[name]}"
            for name, there in node.versions.items()
            if there != here[name]
        ]
        if differing:
            raise StoreError(
                "every node must have the conductor's libraries, "
                f"{node.host} has {', '.join(differing)}; install the same versions there."
            )
        self._node, self.awaited, self._n_bad_starts = node, None, 0

    def _keep(self, piece: Piece) -> None:
        """Write part of a file beside its place, and put it there when it is whole."""
        if self.request is None:
            raise CheckFailed(
                f"slot {self.name} must say whose file {piece.name} is before its trial ends."
            )
        checkpoint = self.request.checkpoint
        folder = (
            self.request.folder
            if piece.place == "folder" or checkpoint is None
            else checkpoint.folder
        )
        path = folder / piece.name
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        with partial.open("ab") as file:
            file.write(piece.data)
        if not piece.data:
            partial.replace(path)

    def _lost(self, error: Exception) -> TrialEnded:
        host = self._node.host if self._node is not None else "a node"
        why = f"the worker of slot {self.name} on {host} was lost in the middle of the trial ({type(error).__name__}); Ray's logs there say more"
        return self._end(WORKER_DIED, why, str(error))

    def _stacks(self) -> str:
        try:
            return str(ray.get(self._actor.stacks.remote(), timeout=_STACKS_S))
        except RayError:
            return ""

    def _end(self, kind: str, why: str, stack: str) -> TrialEnded:
        self.vacate()
        request, self.request = self.request, None
        if request is None:
            raise CheckFailed(f"slot {self.name} must run a trial to lose one.")
        for place in (
            request.folder,
            request.checkpoint.folder if request.checkpoint is not None else request.folder,
        ):
            for partial in place.rglob("*.partial"):
                partial.unlink()
        return TrialEnded(
            request.trial.trial_id,
            request.attempt,
            TrialState.FAILED,
            at=time.time(),
            failure=Failure(kind, why, traceback=stack),
        )


def _call(function: str, threads: int) -> Any:
    return load(function)(node_home(), threads=threads)  # type: ignore[call-arg, arg-type]


def _fitting(resources: Mapping[str, float], share: Share) -> int:
    by_cpu = int(resources.get("CPU", 0) // share.cpus)
    return (
        by_cpu if not share.gpus else min(by_cpu, int(resources.get("GPU", 0) / share.gpus + 1e-9))
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _restore(handlers: Mapping[signal.Signals, Any]) -> None:
    """Ray sets signal handlers of its own; whoever called knows better what an interrupt means.

    Only the main thread may.
    """
    with contextlib.suppress(ValueError):
        for number, handler in handlers.items():
            signal.signal(number, handler)
