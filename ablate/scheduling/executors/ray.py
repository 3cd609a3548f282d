"""Trials on a Ray cluster: one actor per slot, placed by Ray's own resources.

Only the modules `ray*.py` know Ray; a node that is lost is an event. Requests, events, files and
stacks travel as arguments and results of actors, so through Ray's object store; nothing here opens
a connection.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from ablate.errors import CheckFailed, RequestError, StoreError
from ablate.scheduling.executors._base import OnEvent, Patience, Slot, Take, started
from ablate.study.request import TrialRequest

try:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from ablate.scheduling.executors.ray_cluster import Share, n_shares
    from ablate.scheduling.executors.ray_node import CONTROL, Depot, TrialWorker
    from ablate.scheduling.executors.ray_seat import Seat
except ImportError as error:
    raise RequestError(
        f"--executor ray must have Ray installed, it is not here ({error}); install it with: "
        "pip install 'ray>=2.50,<3'"
    ) from error

SILENT_S = 60.0
"""A worker that sends nothing for so long is taken for dead."""
START_S = 600.0
"""How long a cluster may be without a single worker before the study gives up: nodes that start, or
come back, need time."""
_POLL_S = 1.0


class RayExecutor:
    """One actor per slot, made again when it or its node is lost.

    So trials wait for Ray to find it a place, and a slot without one takes no trial.
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
        sends nothing for `silent_s`, fails and its worker is replaced.
        """
        if not ray.is_initialized():
            raise CheckFailed("a RayExecutor must be made inside `connected`.")
        n_slots = n_shares(share)
        if max_slots:
            n_slots = min(n_slots, max_slots)
        self._slots = tuple(Slot(f"ray:{index}", share.environment) for index in range(n_slots))
        self._run_trial = run_trial
        self._share = share
        self._patience = Patience(timeout_s, silent_s)

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The slots, in the order in which they are filled."""
        return self._slots

    def run(self, take: Take, on_event: OnEvent) -> None:
        """See `Executor.run`."""
        # Nothing is asked of the cluster where nothing is left to run.
        first = take(self._slots[0].name)
        if first is None:
            return
        held = [first]

        def take_held_first(slot: str) -> TrialRequest | None:
            return held.pop() if held else take(slot)

        # A group of its own for what must be heard: an actor runs one call of a group at a time,
        # and `run` lasts as long as a trial.
        conductor_node = ray.get_runtime_context().get_node_id()
        depot = _depot_on(conductor_node)
        actor = ray.remote(**self._share.options, concurrency_groups={CONTROL: 1})(TrialWorker)
        make = partial(actor.remote, self._run_trial, conductor_node)
        seats = [Seat(slot.name, depot=depot, make=make) for slot in self._slots]
        try:
            _conduct(seats, take_held_first, on_event, self._patience)
        finally:
            for seat in seats:
                seat.vacate()
            ray.kill(depot)


def _depot_on(node_id: str) -> Any:
    """An actor on one node and no other: it reads that machine's files."""
    there = NodeAffinitySchedulingStrategy(node_id, soft=False)
    return ray.remote(Depot).options(num_cpus=0, scheduling_strategy=there).remote()


def _conduct(seats: Sequence[Seat], take: Take, on_event: OnEvent, patience: Patience) -> None:
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
        # Workers that are still to come are of no use once nothing is left to hand out.
        for seat in _ready(busy if is_drained else seats):
            for event in seat.listen():
                if on_event(event):
                    seat.prune()
        for seat in busy:
            hung = seat.give_up(patience)
            if hung is not None:
                on_event(hung)


def _fill(seats: Sequence[Seat], take: Take, on_event: OnEvent) -> bool:
    """Hand requests to the workers that are there and free.

    Returns whether nothing is left to hand out.
    """
    for seat in seats:
        seat.occupy()
        if not seat.is_free:
            continue
        request = take(seat.name)
        if request is None:
            return True
        on_event(started(request, slot=seat.name))
        seat.start(request)
    return False


def _ready(seats: Sequence[Seat]) -> list[Seat]:
    """The seats whose worker has sent something, after `_POLL_S` at most."""
    awaited = [seat.awaited for seat in seats if seat.awaited is not None]
    if not awaited:
        return []
    # Twice: the first call waits for any of them, the second names every one that is ready.
    ray.wait(awaited, num_returns=1, timeout=_POLL_S)
    ready, _ = ray.wait(awaited, num_returns=len(awaited), timeout=0)
    # By identity: Ray's promises of streams do not compare.
    identities = set(map(id, ready))
    return [seat for seat in seats if id(seat.awaited) in identities]
