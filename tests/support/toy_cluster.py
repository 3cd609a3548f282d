"""A real Ray cluster of two nodes on 127.0.0.1, in a process of its own that ends when its parent
does.

As a program: starts the cluster in the folder that it is given, prints its address, and for each
line "kill" on its input kills the second node's raylet and, for "join", adds a node in its place.
"""

from __future__ import annotations

import atexit
import fcntl
import functools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from support import ON_PATH
from support.toy_execution import BYSTANDERS, RUN, line_of

HERE = Path(__file__).parent
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
"""Off, it makes Ray listen on 127.0.0.1 alone, on Linux too; read when Ray is imported, which the
tests do later."""
NODE_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "PYTHONPATH": ON_PATH,
}


class TwoNodes:
    """The test's end of the cluster."""

    def __init__(self) -> None:
        # sockets' names must be short
        self.folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "toy_cluster.py"), str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **NODE_ENVIRONMENT, "RAY_TMPDIR": str(self.folder)},
            start_new_session=True,
        )
        BYSTANDERS.add(self._process.pid)
        self.address = line_of(self._process).strip()

    def do(self, command: str) -> None:
        """Have it done."""
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        assert line_of(self._process).strip() == command

    def end(self) -> None:
        """Hang up."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


@functools.cache
def two_nodes() -> TwoNodes:
    """One cluster for all tests of this process; the second node's home is `<folder>/node2`."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'ray>=2.50,<3'")
    _only_one()
    cluster = TwoNodes()
    atexit.register(cluster.end)
    return cluster


def _only_one() -> None:
    """Make sure that no other process of this test run has a cluster: two at a time starve each
    other on two cores, and then hang.
    """
    session = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    lock = (Path(tempfile.gettempdir()) / f"ablate-ray-{session}.lock").open("w")
    atexit.register(lock.close)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise AssertionError(
            "Ray's tests must run in one process: pytest -n 2 --dist loadgroup, "
            "with a pytest that pytest-xdist knows"
        ) from None


@functools.cache
def joined() -> TwoNodes:
    """The cluster, with this process as a part of it."""
    cluster = two_nodes()
    from ablate.scheduling.executors.ray_cluster import connected

    connection = connected(cluster.address)
    connection.__enter__()
    atexit.register(connection.__exit__, None, None, None)
    return cluster


def on_two_nodes(folder: Path, **limits: Any) -> Any:
    """A Ray executor with a slot on each node."""
    joined()
    from ablate.scheduling.executors.ray import RayExecutor
    from ablate.scheduling.executors.ray_cluster import Share

    environment = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "TOY_ORDERS": str(folder)}
    return RayExecutor(RUN, share=Share(cpus=1, environment=environment), **limits)


def no_worker_stays() -> bool:
    """Whether the cluster's nodes run no worker of ours any more, at the latest after a while."""
    mark = f"RAY_TMPDIR={two_nodes().folder}".encode()
    for _ in range(200):
        if not any(_is_worker(process, mark) for process in Path("/proc").glob("[0-9]*")):
            return True
        time.sleep(0.05)
    return False


def _is_worker(process: Path, mark: bytes) -> bool:
    try:
        return (process / "cmdline").read_bytes().startswith(b"ray::TrialWorker") and mark in (
            process / "environ"
        ).read_bytes()
    except OSError:
        return False


def _serve(folder: Path) -> None:
    from ray.cluster_utils import Cluster

    small: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={**small, "include_dashboard": False})

    def add():
        return cluster.add_node(**small, env_vars={"ABLATE_HOME": str(folder / "node2")})

    second = add()
    sys.stdout.write(f"{cluster.address}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        if line.strip() == "kill":
            cluster.remove_node(second, allow_graceful=False)
        else:
            second = add()
        sys.stdout.write(line)
        sys.stdout.flush()
    cluster.shutdown()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
