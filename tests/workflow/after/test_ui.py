"""`ablate ui` is one process on 127.0.0.1.

When it has ended, however it ended, nothing of it is left.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from support.toy_study import new_store_uri, toy_study

from ablate.errors import StoreError
from ablate.tracking.links import runs_url, shared_view_url, view_state
from ablate.tracking.records import PublishedRun, PublishedStudy
from ablate.workflow.after.mlflow_ui import serve_ui
from ablate.workflow.folders import find_folders

ROOT = Path(__file__).parents[3]
Start = Callable[..., tuple[subprocess.Popen[str], int]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start `ablate ui` on an empty store and wait until it answers.

    What is left of it at the end is killed.
    """
    begun: list[subprocess.Popen[str]] = []

    def act(**environment: str) -> tuple[subprocess.Popen[str], int]:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        variables = {
            "PYTHONPATH": str(ROOT),
            "ABLATE_HOME": str(tmp_path),
            "MLFLOW_TRACKING_URI": new_store_uri(tmp_path),
            **environment,
        }
        command = [sys.executable, "-m", "ablate", "ui", "--port", str(port)]
        server = subprocess.Popen(
            command,
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        begun.append(server)
        assert server.stdout is not None
        assert server.stderr is not None
        for line in server.stdout:
            if line.startswith("MLflow UI"):
                break
        assert server.poll() is None, server.stderr.read()
        return server, port

    yield act
    for server in begun:
        server.kill()
        server.communicate()


def listeners(server: subprocess.Popen[str]) -> list[tuple[str, int]]:
    found = psutil.Process(server.pid).net_connections(kind="inet")
    return [tuple(one.laddr) for one in found if one.status == psutil.CONN_LISTEN]


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_of_it(start: Start, number: signal.Signals) -> None:
    server, port = start()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health") as answer:
        assert answer.read() == b"OK"
    me = psutil.Process(server.pid)
    assert me.children(recursive=True) == []
    assert me.memory_info().rss < 400e6
    server.send_signal(number)
    server.wait(30)
    time.sleep(0.1)
    assert is_free(port)
    assert server.stderr is not None
    expected = (-9, "") if number == signal.SIGKILL else (130, "MLflow UI stopped\n")
    assert (server.returncode, server.stderr.read()) == expected


@pytest.mark.slow
def test_the_environment_opens_no_other_address_and_the_command_line_shows_no_password(
    start: Start,
) -> None:
    server, port = start(
        MLFLOW_GUNICORN_OPTS="--bind 0.0.0.0:5999",
        MLFLOW_UVICORN_OPTS="--host 0.0.0.0 --workers 3",
        MLFLOW_HOST="0.0.0.0",
        UVICORN_HOST="0.0.0.0",
        WEB_CONCURRENCY="3",
        MLFLOW_SERVER_ENABLE_JOB_EXECUTION="true",
    )
    assert listeners(server) == [("127.0.0.1", port)]
    assert psutil.Process(server.pid).children(recursive=True) == []
    assert not any("sqlite" in word for word in psutil.Process(server.pid).cmdline())


def test_a_port_that_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////nowhere")
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(StoreError) as caught:
        port = taken.getsockname()[1]
        serve_ui(find_folders(), grid_name="", port=port, on_links=print)
    assert (
        str(caught.value)
        == f"port {port} must be free on 127.0.0.1, but something listens there; choose another: "
        f"make ui ARGS='--port {port + 1}'"
    )


@pytest.mark.parametrize("content", [b"x" * 5000, None])
def test_a_store_that_cannot_be_read_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    store = tmp_path / "m.db"
    store.mkdir() if content is None else store.write_bytes(content)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}")
    with pytest.raises(StoreError, match=r"^the tracking store's file must be a SQLite database"):
        serve_ui(find_folders(), grid_name="", port=0, on_links=print)


def test_a_server_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@host:1/x")
    with pytest.raises(
        StoreError,
        match=r"^the tracking store is a server already: open https://me:\*\*\*@host:1/x$",
    ):
        serve_ui(find_folders(), grid_name="", port=0, on_links=print)


def test_the_table_of_runs_shows_trials_with_their_scores_the_best_first() -> None:
    record, trials = toy_study()
    run = PublishedRun(
        "r",
        trials[0].trial_id,
        trials[0].arm_id,
        0,
        1,
        "COMPLETE",
        {"val/macro_f1": 0.5, "test/macro_f1": 0.4},
        {},
        {},
        {},
        "",
    )
    study = PublishedStudy(record, "sqlite:///x", "7", "p", (run,))
    condition = "tags.`ablate.study_id` = 'abc123' AND tags.`ablate.kind` = 'trial'"
    axes = ", ".join(f'"params.`{axis}`"' for axis in (*record.axes, "seed"))
    assert view_state(study) == (
        f'{{"searchFilter": "{condition}", "orderByKey": "metrics.`val/macro_f1`", '
        '"orderByAsc": false, '
        f'"selectedColumns": ["metrics.`val/macro_f1`", "metrics.`test/macro_f1`", {axes}]}}'
    )
    assert (
        shared_view_url("http://h:1/", study)
        == "http://h:1/#/experiments/7/runs?workflowType=machine_learning&viewStateShareKey=ablate-abc123"
    )
    assert runs_url("http://h:1", study) == (
        "http://h:1/#/experiments/7/runs?workflowType=machine_learning"
        "&searchFilter=tags.%60ablate.study_id%60%20%3D%20%27abc123%27%20AND%20tags.%60ablate.kind%60%20%3D%20%27trial%27"
        "&orderByKey=metrics.%60val%2Fmacro_f1%60&orderByAsc=false"
    )
