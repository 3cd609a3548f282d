"""What only a cluster can do: lose a node, carry files and stores over, refuse a cluster that is
not there.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest
from support.toy_cluster import joined, on_two_nodes, two_nodes
from support.toy_execution import end_of, failure_of, order, request_of
from support.toy_study import toy_study

from ablate.errors import RequestError, StoreError
from ablate.scheduling.conductor import run_study
from ablate.scheduling.limits import Limits
from ablate.scheduling.session import Session
from ablate.scheduling.study_folder import StudyPlan
from ablate.study.request import CheckpointSpec, Compute, TrialRequest
from ablate.tracking.artifacts import read_predictions
from ablate.tracking.events import EpochEnded, Event, TrialEnded, TrialState
from ablate.tracking.journal import attempts

pytestmark = [
    pytest.mark.skipif(
        find_spec("ray") is None, reason="Ray is not installed: pip install 'ray>=2.50,<3'"
    ),
    pytest.mark.xdist_group("ray"),
]


def toy_request(trial, attempt: int, folder: Path) -> TrialRequest:
    compute = Compute(device="cpu", precision="fp32", channels_last=False, threads=1)
    return TrialRequest(
        trial=trial,
        attempt=attempt,
        n_classes=3,
        store_path=folder.parent / "images",
        folder=folder,
        compute=compute,
    )


@pytest.mark.slow
def test_a_node_that_is_killed_in_the_middle_costs_an_attempt_and_the_study_ends_complete(tmp_path):
    """First attempts take four seconds, and the second node is killed when both nodes are in the
    middle of one.
    """
    cluster = joined()
    record, trials = toy_study(seeds=(0,))
    for trial in trials:
        order(tmp_path / "trials", trial, "slow until 2")
    heard: list[Event] = []
    running: set[str] = set()
    killed: list[str] = []

    def on_event(event) -> None:
        heard.append(event)
        if isinstance(event, EpochEnded) and event.epoch == 0:
            running.add(event.trial_id)
        if isinstance(event, TrialEnded):
            running.discard(event.trial_id)
        if len(running) == 2 and not killed:
            cluster.do("kill")
            killed.append("the second node")

    try:
        summary = run_study(
            StudyPlan(record, tuple(trials)),
            Session(
                tmp_path,
                on_two_nodes(tmp_path / "trials"),
                toy_request,
                on_event=on_event,
                limits=Limits(retries=2),
            ),
        )
    finally:
        cluster.do("join")
    assert (summary.n_complete, summary.n_failed, summary.n_retries) == (len(trials), 0, 1)
    (lost,) = [
        event
        for event in heard
        if isinstance(event, TrialEnded) and event.state is TrialState.FAILED
    ]
    slot = attempts(heard)[lost.trial_id, 1].started.slot
    assert lost.failure is not None
    assert lost.failure.kind == "WorkerDied"
    assert lost.failure.message.startswith(f"the worker of slot {slot} on ")
    for trial in trials:
        (end,) = [
            event
            for event in heard
            if isinstance(event, TrialEnded)
            and event.trial_id == trial.trial_id
            and event.state is TrialState.COMPLETE
        ]
        assert end.attempt == 1 + (trial.trial_id == lost.trial_id)
        assert (
            len(
                read_predictions(
                    tmp_path / "trials" / f"{trial.trial_id}-{end.attempt}" / "predictions.parquet"
                )
            )
            == 12
        )


@pytest.mark.slow
def test_workers_that_die_or_hang_fail_their_trials_and_are_replaced(tmp_path):
    _, trials = toy_study()
    for trial, what in zip(trials, ("stop", "exit", "segfault", "wait"), strict=False):
        order(tmp_path, trial, what)
    heard: list = []
    left = [request_of(trial, tmp_path) for trial in trials]
    # Far apart: on a busy machine a worker is seconds on its way before it stops.
    on_two_nodes(tmp_path, timeout_s=24.0, silent_s=8.0).run(
        lambda slot: left.pop(0) if left else None, heard.append
    )
    kept = attempts(heard)
    tried = [kept[trial.trial_id, 1] for trial in trials]
    stopped, left_early, crashed, hung = map(failure_of, tried[:4])
    slot = tried[0].started.slot
    assert (stopped.kind, stopped.message) == (
        "WorkerSilent",
        f"the worker of slot {slot} must send a sign of life every 8 s, it did not",
    )
    assert [left_early.kind, crashed.kind] == ["WorkerDied", "WorkerDied"]
    assert (hung.kind, hung.message) == (
        "TrialTimeout",
        "the trial must end within 24 s (--trial-timeout), it did not",
    )
    assert "in _obey" in hung.traceback
    assert [end_of(attempt).state for attempt in tried[4:]] == [TrialState.COMPLETE] * 2


def _next_of(left: list[TrialRequest], slot: str) -> TrialRequest | None:
    return left.pop(0) if left else None


@pytest.mark.slow
def test_a_checkpoint_travels_with_its_trial(tmp_path):
    """`lengthy` goes on from what is kept and keeps each epoch: an attempt on either node reads the
    one before it, whatever node that was on.
    """
    joined()
    from ablate.scheduling.executors.ray import RayExecutor
    from ablate.scheduling.executors.ray_cluster import Share

    _, trials = toy_study()
    chains: dict[str, list[float]] = {}
    for attempt, epochs_before in ((1, 0), (2, 2)):
        heard: list = []
        left = []
        for trial in trials[:2]:
            spec = CheckpointSpec(folder=tmp_path / "checkpoints" / trial.trial_id, every_s=0)
            spec.folder.mkdir(parents=True, exist_ok=True)
            kept = spec.folder / "epochs.json"
            if epochs_before:
                kept.write_text(json.dumps(chains[trial.trial_id][:epochs_before]))
            left.append(
                request_of(trial, tmp_path, attempt=attempt).model_copy(update={"checkpoint": spec})
            )
        RayExecutor("support.toy_trials:lengthy", share=Share(cpus=1)).run(
            partial(_next_of, left), heard.append
        )
        for trial in trials[:2]:
            chain = [
                event.metrics["val/macro_f1"]
                for event in heard
                if isinstance(event, EpochEnded) and event.trial_id == trial.trial_id
            ]
            assert chains.setdefault(trial.trial_id, chain) == chain
            assert len(chain) == 4
            kept = json.loads(
                (tmp_path / "checkpoints" / trial.trial_id / "epochs.json").read_text()
            )
            assert kept == chain[: len(kept)]
            assert len(kept) >= 3
    assert not list((two_nodes().folder / "node2" / "visits").glob("*"))


@pytest.mark.slow
def test_a_pruned_trial_ends_there_or_an_epoch_later(tmp_path):
    _, trials = toy_study()
    joined()
    from ablate.scheduling.executors.ray import RayExecutor
    from ablate.scheduling.executors.ray_cluster import Share

    heard: list = []
    spec = CheckpointSpec(folder=tmp_path / "kept", every_s=0)
    spec.folder.mkdir()
    left = [request_of(trials[0], tmp_path).model_copy(update={"checkpoint": spec})]

    def hear(event) -> bool:
        heard.append(event)
        return isinstance(event, EpochEnded)

    RayExecutor("support.toy_trials:lengthy", share=Share(cpus=1), max_slots=1).run(
        lambda slot: left.pop(0) if left else None, hear
    )
    assert heard[-1].state is TrialState.PRUNED
    assert 1 <= sum(isinstance(event, EpochEnded) for event in heard) <= 2


def test_a_share_that_no_node_has_is_refused(tmp_path):
    joined()
    from ablate.scheduling.executors.ray import RayExecutor
    from ablate.scheduling.executors.ray_cluster import Share

    with pytest.raises(
        StoreError,
        match=r"^a node of the Ray cluster must have 7 CPUs and 0 GPUs for a trial, none has: "
        r"\{.*\}\.$",
    ):
        RayExecutor("support.toy_trials:run", share=Share(cpus=7))


@pytest.mark.parametrize("address", [None, "ray://head:10001"])
def test_no_address_and_the_client_protocol_are_refused(address, monkeypatch):
    from ablate.scheduling.executors.ray_cluster import connected

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(StoreError) as caught, connected(address):
        pass
    assert str(caught.value) == (
        "--executor ray must have a cluster's --address (or RAY_ADDRESS), "
        "HOST:PORT or auto as a machine of the cluster sees it, "
        f"got {address!r}; start one with: ray start --head"
    )


def test_without_ray_the_way_out_is_said():
    code = (
        "import sys; sys.modules['ray'] = None\n"
        "from ablate.errors import RequestError\n"
        "try:\n    import ablate.scheduling.executors.ray\nexcept RequestError as error:\n    "
        "print(error)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert said == (
        "--executor ray must have Ray installed, it is not here (import of ray halted; "
        "None in sys.modules); install it with: pip install 'ray>=2.50,<3'\n"
    )
    assert issubclass(StoreError, RequestError)


def test_nothing_else_imports_ray():
    """At the top of a module: whoever asks for Ray imports its executor inside a function."""
    sources = sorted((Path(__file__).parents[2] / "ablate").rglob("*.py"))
    importing = {
        path.name
        for path in sources
        if any(
            re.match(r"(import|from) (ray\b|ablate\.scheduling\.executors\.ray)", line)
            for line in path.read_text().splitlines()
        )
    }
    assert len(sources) > 90
    assert importing == {"ray_cluster.py", "ray_node.py", "ray_seat.py"}


@pytest.mark.parametrize(
    ("cpus", "gpus", "n_trials"),
    [(1, 0.0, 8), (3, 0.0, 2), (1, 1.0, 2), (1, 0.5, 4), (1, 1 / 3, 6), (4, 0.25, 2), (9, 0.0, 0)],
)
def test_trials_that_fit_on_a_node_of_eight_cpus_and_two_gpus(cpus, gpus, n_trials):
    from ablate.scheduling.executors.ray_cluster import Share, fitting

    assert fitting({"CPU": 8.0, "GPU": 2.0}, Share(cpus=cpus, gpus=gpus)) == n_trials
