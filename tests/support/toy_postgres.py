"""A PostgreSQL server for tests: Debian's binaries, a folder and a port of its own on 127.0.0.1,
and never root.
"""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ablate.scheduling.conductor import run_study
from ablate.scheduling.executors.inline import InlineExecutor
from ablate.scheduling.session import Session
from ablate.scheduling.study_folder import StudyPlan
from ablate.study.request import Compute, TrialRequest
from ablate.tracking.events import EpochEnded
from ablate.tracking.mlflow_store import MlflowStore
from support.toy_execution import RUN
from support.toy_study import toy_study

WHY_NOT = (
    "no PostgreSQL server is installed: make test-services installs it (apt-get install postgresql)"
)


def binaries() -> Path | None:
    """Folder of initdb and pg_ctl, which Debian keeps out of the PATH; None where no server is
    installed.
    """
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3])
    )
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


@contextmanager
def postgres(*databases: str) -> Iterator[list[str]]:
    """The URLs of empty databases, while the block runs."""
    tools = binaries()
    assert tools is not None
    user = _user()
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))  # sockets' names must be short
    if os.geteuid() == 0:
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def act(tool: str, *arguments: str) -> None:
        command = [str(tools / tool), *arguments]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            cwd=folder,
            user=user if os.geteuid() == 0 else None,
        )
        assert done.returncode == 0, done.stderr or done.stdout

    data = folder / "data"
    try:
        act(
            "initdb",
            "-D",
            str(data),
            "-U",
            "ablate",
            "--auth=trust",
            "--no-sync",
            "-E",
            "UTF8",
            "--locale=C",
        )
        options = (
            f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder} -c "
            "fsync=off -c shared_buffers=16MB -c max_connections=40"
        )
        act("pg_ctl", "-D", str(data), "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            for name in databases:
                act("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "ablate", name)
            yield [f"postgresql://ablate@127.0.0.1:{port}/{name}" for name in databases]
        finally:
            act("pg_ctl", "-D", str(data), "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _user() -> str:
    """Whom the server runs as: PostgreSQL refuses root."""
    return "postgres" if os.geteuid() == 0 else getpass.getuser()


def run_toy(folder: Path, server: tuple[str, str], *, on_event=lambda event: None):
    """All trials of the toy study, told to the server."""
    record, trials = toy_study()

    def make_request(trial, attempt: int, attempt_folder: Path) -> TrialRequest:
        compute = Compute(device="cpu", precision="fp32", channels_last=False, threads=1)
        return TrialRequest(
            trial=trial,
            attempt=attempt,
            n_classes=3,
            store_path=folder,
            folder=attempt_folder,
            compute=compute,
        )

    return run_study(
        StudyPlan(record, tuple(trials)),
        Session(
            folder,
            InlineExecutor(RUN),
            make_request,
            store=MlflowStore(server[0], "toy", artifact_root=folder / "artifacts"),
            on_event=on_event,
            optuna_url=server[1],
        ),
    )


def tell_of(trial_id: str):
    """Say on standard output that a trial is in its middle."""

    def on_event(event) -> None:
        if event.trial_id == trial_id and isinstance(event, EpochEnded):
            sys.stdout.write("waits\n")
            sys.stdout.flush()

    return on_event
