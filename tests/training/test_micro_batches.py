"""Where memory is short.

Parts of a batch give the gradients of the whole, and a trial starts again with smaller parts.
"""

from __future__ import annotations

import pytest
import torch

from ablate.errors import TrialError
from ablate.study.trial_facts import MicroBatch
from ablate.training import trial_run
from ablate.training.loop.step import micro_batches
from ablate.training.machine import memory
from ablate.training.tasks.classification import Classification
from ablate.training.trial_run import run_trial


@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 1.0, 2.5])])
@pytest.mark.parametrize("micro_batch", [1, 2, 3, 5, 7, 8])
def test_losses_of_parts_sum_up_to_the_loss_of_the_whole(weights, micro_batch):
    task = Classification(0.1, weights)
    torch.manual_seed(0)
    logits, labels = torch.randn(7, 3, dtype=torch.float32), torch.tensor([0, 1, 2, 2, 1, 0, 2])
    parts = micro_batches(7, micro_batch=micro_batch)
    total = sum(
        task.loss(logits[part], labels[part]) * (task.mass(labels[part]) / task.mass(labels))
        for part in parts
    )
    torch.testing.assert_close(total, task.loss(logits, labels))
    assert torch.cat([labels[part] for part in parts]).tolist() == labels.tolist()


def test_a_last_part_of_one_image_joins_the_part_before_it():
    assert micro_batches(9, micro_batch=4) == [slice(0, 4), slice(4, 9)]
    assert micro_batches(33, micro_batch=32) == [slice(0, 33)]


@pytest.fixture
def short_of(monkeypatch):
    """Memory that holds so many images at a time.

    The real trial, broken off where it asks for more.
    """

    def shorten(n_images: int, error: Exception) -> list[int]:
        tried, real = [], trial_run._run

        def run(request, emit, *, micro_batch):
            tried.append(micro_batch)
            if micro_batch > n_images:
                raise error
            return real(request, emit, micro_batch=micro_batch)

        monkeypatch.setattr(trial_run, "_run", run)
        return tried

    return shorten


ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory."),
    MemoryError(),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
]


@pytest.mark.slow
@pytest.mark.parametrize("error", ERRORS, ids=["cuda", "host", "torch on a cpu"])
def test_parts_are_halved_until_memory_holds_them(make_request, short_of, caplog, error):
    whole = run_trial(make_request(freeze_depth=-1, batch_norm="frozen"), lambda *epoch: None)
    tried = short_of(3, error)
    outcome = run_trial(make_request(freeze_depth=-1, batch_norm="frozen"), lambda *epoch: None)
    assert tried == [8, 4, 2]
    assert outcome.facts.micro_batch == MicroBatch(size=2, batch_size=8, reason="memory")
    assert whole.facts.micro_batch == MicroBatch(size=8, batch_size=8, reason="whole batches")
    assert outcome.metrics["n_steps"] == whole.metrics["n_steps"]
    assert outcome.metrics["val/nll"] == pytest.approx(whole.metrics["val/nll"], abs=1e-4)
    assert [record.getMessage().partition(" (")[0] for record in caplog.records] == [
        f"memory does not hold {n} images at a time" for n in (8, 4)
    ]


@pytest.mark.slow
def test_batch_norm_that_trains_is_named(make_request, short_of):
    short_of(4, MemoryError())
    outcome = run_trial(make_request(freeze_depth=0), lambda *epoch: None)
    assert outcome.facts.micro_batch == MicroBatch(
        size=4, batch_size=8, reason="memory", n_seen_by_norms=4
    )


@pytest.mark.slow
def test_memory_that_holds_not_even_one_image_fails_the_trial(make_request, short_of):
    short_of(0, MemoryError("no"))
    message = (
        r"^memory must hold one image of the trial's network at least, it does not: no; take "
        r"a smaller backbone or image_size$"
    )
    with pytest.raises(TrialError, match=message):
        run_trial(make_request(), lambda *epoch: None)


def test_other_errors_are_not_mistaken_for_it(make_request, short_of):
    tried = short_of(0, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match=r"^mat1 and mat2"):
        run_trial(make_request(), lambda *epoch: None)
    assert tried == [8]


def test_halvings_end_at_one():
    assert list(memory.halvings(32)) == [32, 16, 8, 4, 2, 1]
    assert list(memory.halvings(5)) == [5, 3, 2, 1]
    assert list(memory.halvings(1)) == [1]


@pytest.mark.parametrize("fields", [{"batch_size": 1}, {"micro_batch": 1}])
def test_one_image_where_batch_norm_trains_is_told_with_the_ways_out(
    make_request, monkeypatch, fields
):
    """A plan refuses it; a search may still propose it, and short memory lead there."""
    monkeypatch.setattr(
        trial_run, "_run", lambda *_, **__: torch.nn.BatchNorm2d(3)(torch.zeros(1, 3, 1, 1))
    )
    with pytest.raises(TrialError) as caught:
        run_trial(make_request(**fields), lambda *_: None)
    field = next(iter(fields))
    assert str(caught.value) == (
        f"{field} must leave at least 2 images in the network at a time, got 1: BatchNorm that "
        "trains at the end of test_efficientnet sees one value of "
        f"each channel there, which has no variance; take a larger {field}, batch_norm: frozen, or "
        "a larger data.image_size"
    )


def test_another_error_of_torch_stays_what_it_is(make_request, monkeypatch):
    monkeypatch.setattr(trial_run, "_run", lambda *_, **__: torch.zeros(2).reshape(3))
    with pytest.raises(RuntimeError, match="shape"):
        run_trial(make_request(), lambda *_: None)
