"""A Ray cluster: being part of it, and what it has room for.

Import `executors.ray` before it: that says what to install where there is no Ray.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from ablate.errors import StoreError
from ablate.scheduling.executors._base import load
from ablate.scheduling.executors.ray_node import node_home


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
    """Be part of the Ray cluster at `address` while the block runs.

    HOST:PORT, or "auto" for the one of this machine; by default that of $RAY_ADDRESS. Starts none.
    The code of `ablate` goes to the nodes through Ray; what it needs must be installed on them.
    Raises StoreError where there is no such cluster.
    """
    address = address or os.environ.get("RAY_ADDRESS")
    # ray:// is Ray's client: this machine would be no node of the cluster, and `Depot` must run on
    # it. "local" would start a cluster of this machine alone.
    if not address or address == "local" or address.startswith("ray://"):
        raise StoreError(
            "--executor ray must have a cluster's --address (or RAY_ADDRESS), HOST:PORT or auto "
            f"as a machine of the cluster sees it, got {address!r}; "
            "start one with: ray start --head"
        )
    # `ray.init` sets handlers of its own; the caller's come back below.
    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    # Ray would send usage statistics home; whoever wants that sets the variable.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # The folder of the package itself: nodes run the conductor's code, never their own copy.
    code = {"py_modules": [str(Path(__file__).parents[2])]}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", runtime_env=code)
    except (RayError, ConnectionError, RuntimeError, ValueError) as error:
        raise StoreError(
            f"a Ray cluster must be reachable at {address}, it is not: {first_line(error)}; "
            "start it with: ray start --head"
        ) from error
    finally:
        _restore(former)
    try:
        yield
    finally:
        ray.shutdown()


def call_on_node(function: str, share: Share, *, threads: int) -> Any:
    """Call `module:function` with (the node's home, threads=...) and return what it returns.

    On a node that has room for `share`.
    """
    remote = ray.remote(_call).options(**share.options)
    return ray.get(remote.remote(function, threads))


def n_shares(share: Share) -> int:
    """How many trials the cluster holds at a time now. Raises StoreError where it holds none."""
    n_fitting = 0
    # Node by node: a trial cannot be spread over two halves that are free on two machines.
    for node in ray.nodes():
        if node["Alive"]:
            n_fitting += fitting(node["Resources"], share)
    if not n_fitting:
        raise StoreError(
            f"a node of the Ray cluster must have {share.cpus} CPUs and {share.gpus:g} GPUs for a "
            f"trial, none has: {ray.cluster_resources()}."
        )
    return n_fitting


def has_gpus() -> bool:
    """Whether a node has a GPU."""
    return bool(ray.cluster_resources().get("GPU", 0))


def _call(function: str, threads: int) -> Any:
    return load(function)(node_home(), threads=threads)  # type: ignore[call-arg, arg-type]


def fitting(resources: Mapping[str, float], share: Share) -> int:
    """How many shares a node's resources hold."""
    by_cpu = int(resources.get("CPU", 0) // share.cpus)
    if not share.gpus:
        return by_cpu
    # Three thirds of a GPU are a whole one.
    by_gpu = int(resources.get("GPU", 0) / share.gpus + 1e-9)
    return min(by_cpu, by_gpu)


def first_line(error: Exception) -> str:
    """The first line of an error that may be a remote traceback of many."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _restore(handlers: Mapping[signal.Signals, Any]) -> None:
    """Ray sets signal handlers of its own; whoever called knows better what an interrupt means.

    Only the main thread may.
    """
    with contextlib.suppress(ValueError):
        for number, handler in handlers.items():
            signal.signal(number, handler)
