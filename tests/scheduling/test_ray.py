"""What only a cluster can do: lose a node, carry files and stores over, refuse a cluster that is not there."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from toy_cluster import joined, on_two_nodes, two_nodes
from toy_execution import order, request_of
from toy_study import toy_study

from ablate.errors import RequestError, StoreError
from ablate.scheduling.conductor import run_study
from ablate.scheduling.limits import Limits
from ablate.spec.request import CheckpointSpec, Compute, TrialRequest
from ablate.tracking.artifacts import read_predictions
from ablate.tracking.events import EpochEnded, TrialEnded, TrialStarted, TrialState
from ablate.tracking.journal import attempts

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'ablate[ray]'")


def toy_request(trial, attempt: int, folder: Path) -> TrialRequest:
    compute = Compute(device="cpu", precision="fp32", channels_last=False, threads=1)
    return TrialRequest(trial=trial, attempt=attempt, n_classes=3, store_path=folder.parent / "images", folder=folder, compute=compute)


def test_a_node_that_is_killed_in_the_middle_costs_an_attempt_and_the_study_ends_complete(tmp_path):
    """Every trial waits in its first attempt, so the killed node surely runs one; what waited on the other node is ended by its time limit."""
    cluster = joined()
    record, trials = toy_study()
    for trial in trials[:2]:
        order(tmp_path / "trials", trial, "wait until 2")
    heard, waiting = [], set()

    def on_event(event) -> None:
        heard.append(event)
        if isinstance(event, EpochEnded) and event.attempt == 1 and event.epoch == 0:
            waiting.add(event.trial_id)
            if len(heard) > 3 and waiting >= {trial.trial_id for trial in trials[:2]} and not killed:
                killed.append(cluster.do("kill"))

    killed: list[None] = []
    executor = on_two_nodes(tmp_path / "trials", timeout_s=12.0)
    try:
        summary = run_study(
            record=record,
            trials=trials,
            folder=tmp_path,
            executor=executor,
            store=None,
            make_request=toy_request,
            on_event=on_event,
            limits=Limits(retries=2),
        )
    finally:
        cluster.do("join")
    assert killed
    assert (summary.n_complete, summary.n_failed, summary.n_retries) == (len(trials), 0, 2)
    first = [attempts(heard)[trial.trial_id, 1].ended for trial in trials[:2]]
    assert {ended.failure.kind for ended in first} == {"WorkerDied", "TrialTimeout"}
    (lost,) = [ended.failure for ended in first if ended.failure.kind == "WorkerDied"]
    slot = next(event.slot for event in heard if isinstance(event, TrialStarted) and attempts(heard)[event.trial_id, 1].ended.failure == lost)
    assert lost.message.startswith(f"the worker of slot {slot} on ")
    (hung,) = [ended.failure for ended in first if ended.failure.kind == "TrialTimeout"]
    assert hung.message == "the trial must end within 12 s (--trial-timeout), it did not"
    assert "in _obey" in hung.traceback
    for trial in trials:
        ends = [event for event in heard if isinstance(event, TrialEnded) and event.trial_id == trial.trial_id and event.state is TrialState.COMPLETE]
        assert len(ends) == 1
        assert read_predictions(tmp_path / "trials" / f"{trial.trial_id}-{ends[0].attempt}" / "predictions.parquet")


@pytest.mark.parametrize("what", ["exit", "segfault"])
def test_a_worker_that_dies_fails_its_trial_and_is_replaced(what, tmp_path):
    _, trials = toy_study()
    order(tmp_path, trials[1], what)
    heard: list = []
    left = [request_of(trial, tmp_path) for trial in trials]
    on_two_nodes(tmp_path).run(lambda slot: left.pop(0) if left else None, heard.append)
    ends = {event.trial_id: event for event in heard if isinstance(event, TrialEnded)}
    assert ends[trials[1].trial_id].failure.kind == "WorkerDied"
    assert [ends[trial.trial_id].state is TrialState.COMPLETE for trial in trials] == [True, False, True, True, True, True]


def test_a_worker_that_is_stopped_is_given_up(tmp_path):
    _, trials = toy_study()
    order(tmp_path, trials[0], "stop")
    heard: list = []
    left = [request_of(trial, tmp_path) for trial in trials[:2]]
    on_two_nodes(tmp_path, silent_s=4.0, max_slots=1).run(lambda slot: left.pop(0) if left else None, heard.append)
    first, second = [event for event in heard if isinstance(event, TrialEnded)]
    assert (first.failure.kind, first.failure.message) == ("WorkerSilent", "the worker of slot ray:0 must be heard of every 4 s, it was not")
    assert second.state is TrialState.COMPLETE


def test_a_checkpoint_travels_with_its_trial(tmp_path):
    """`lengthy` goes on from what is kept and keeps each epoch: an attempt on either node reads the one before it, whatever node that was on."""
    joined()
    from ablate.scheduling.executors.ray import RayExecutor, Share

    _, trials = toy_study()
    chains = {}
    for attempt, epochs_before in ((1, 0), (2, 2)):
        heard: list = []
        left = []
        for trial in trials[:2]:
            spec = CheckpointSpec(folder=tmp_path / "checkpoints" / trial.trial_id, every_s=0)
            spec.folder.mkdir(parents=True, exist_ok=True)
            kept = spec.folder / "epochs.json"
            if epochs_before:
                kept.write_text(json.dumps(chains[trial.trial_id][:epochs_before]))
            left.append(request_of(trial, tmp_path, attempt=attempt).model_copy(update={"checkpoint": spec}))
        RayExecutor("toy_trials:lengthy", share=Share(cpus=1)).run(lambda slot, left=left: left.pop(0) if left else None, heard.append)
        for trial in trials[:2]:
            chain = [event.metrics["val/macro_f1"] for event in heard if isinstance(event, EpochEnded) and event.trial_id == trial.trial_id]
            assert chains.setdefault(trial.trial_id, chain) == chain
            assert len(chain) == 4
            assert len(json.loads((tmp_path / "checkpoints" / trial.trial_id / "epochs.json").read_text())) >= 3
    assert not list((two_nodes().folder / "node2" / "visits").glob("*"))


def test_a_pruned_trial_ends_there_or_an_epoch_later(tmp_path):
    _, trials = toy_study()
    joined()
    from ablate.scheduling.executors.ray import RayExecutor, Share

    heard: list = []
    spec = CheckpointSpec(folder=tmp_path / "kept", every_s=0)
    spec.folder.mkdir()
    left = [request_of(trials[0], tmp_path).model_copy(update={"checkpoint": spec})]

    def hear(event) -> bool:
        heard.append(event)
        return isinstance(event, EpochEnded)

    RayExecutor("toy_trials:lengthy", share=Share(cpus=1), max_slots=1).run(lambda slot: left.pop(0) if left else None, hear)
    assert heard[-1].state is TrialState.PRUNED
    assert 1 <= sum(isinstance(event, EpochEnded) for event in heard) <= 2


def test_a_share_that_no_node_has_is_refused(tmp_path):
    joined()
    from ablate.scheduling.executors.ray import RayExecutor, Share

    with pytest.raises(StoreError, match=r"^a node of the Ray cluster must have 7 CPUs and 0 GPUs for a trial, none has: \{.*\}\.$"):
        RayExecutor("toy_trials:run", share=Share(cpus=7))


def test_the_client_protocol_is_refused():
    from ablate.scheduling.executors.ray import connected

    expected = r"^--address must be HOST:PORT or auto, as a machine of the cluster sees it, got 'ray://head:10001': Ray's client protocol streams no results\.$"
    with pytest.raises(StoreError, match=expected), connected("ray://head:10001"):
        pass


def test_without_ray_the_way_out_is_said():
    code = (
        "import sys; sys.modules['ray'] = None\n"
        "from ablate.errors import RequestError\n"
        "try:\n    import ablate.scheduling.executors.ray\nexcept RequestError as error:\n    print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == (
        "--executor ray must have Ray installed, it is not here (import of ray halted; None in sys.modules); install it with: pip install 'ablate[ray]'\n"
    )
    assert issubclass(StoreError, RequestError)


def test_nothing_else_imports_ray():
    code = "import sys, ablate.cli, ablate.workflow.run, ablate.scheduling.conductor; print('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
