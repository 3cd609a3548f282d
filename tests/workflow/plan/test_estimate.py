"""What a study costs: the sum over trials and views by hand, and a real probe beside a real run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from ablate.cli import app
from ablate.errors import SpecError
from ablate.grid.parse import load_grid
from ablate.scheduling.executors.slots import gpu_slots, slots_that_fit
from ablate.study.request import Compute
from ablate.targets import OneLabel
from ablate.workflow.folders import find_folders
from ablate.workflow.plan.estimate import Cost, Kind, Measured, kinds_of, nearest, study_cost
from ablate.workflow.plan.probe import Probes, _part, probe_kinds
from ablate.workflow.plan.trials_per_gpu import with_trials_per_gpu
from ablate.workflow.prepare.check_arms import check_arms
from ablate.workflow.prepare.machines import Machines, choose_slots, parse_kind
from ablate.workflow.prepare.resolved import Resolved, resolve

LIGHT = ("freeze_depth: [all, -1]", "freeze_depth: [all, 0]\n  augment: [none, light]")


def resolved_grid(path: Path):
    resolved = resolve(
        load_grid(path), find_folders(), seeds=None, allow_fallback=False, command=""
    )
    return resolved, check_arms(resolved).facts


def test_the_sum_by_hand(write_grid: Callable[..., Path]) -> None:
    """16 train, 8 val and 9 test images, batch 8, one epoch, two head LRs: 2 arms per kind.

    The clean view is shared by the kinds that freeze.
    """
    resolved, facts = resolved_grid(write_grid("reckoned", LIGHT))
    kinds = kinds_of(resolved, facts)
    assert {
        (kind.depth > 0, kind.augment): len(arms) for kind, arms in kinds.items()
    } == dict.fromkeys([(True, "none"), (True, "light"), (False, "none"), (False, "light")], 2)
    frozen = Measured(start_s=1.0, step_s=0.5, val_s=0.25, end_s=0.125, prefix_s=2.0, peak_mb=1)
    whole = Measured(start_s=3.0, step_s=10.0, val_s=0.0, end_s=0.0, prefix_s=0.0, peak_mb=1)
    cost = study_cost(resolved, kinds, {kind: frozen if kind.depth else whole for kind in kinds})
    of_frozen, of_whole = 1.0 + 2 * 0.5 + 8 * 0.25 + 9 * 0.125, 3.0 + 2 * 10.0
    assert cost.trials_s == pytest.approx(4 * of_frozen + 4 * of_whole)
    assert cost.longest_s == of_whole
    clean, light = (16 + 8 + 9) * 2.0, 16 * 2.0
    assert cost.prefixes_s == pytest.approx(clean + light)


FITTED = (
    (
        "freeze_depth: [all, -1]",
        "freeze_depth: [all]\n  shots: [null, 3]\n  classifier: [linear, ridge]",
    ),
    ("1.0e-3, 1.0e-2", "1.0e-3"),
    ("epochs: 1", "epochs: 4"),
)


def test_few_shots_and_fitted_classifiers_by_hand(write_grid: Callable[..., Path]) -> None:
    """Two classes of 8 train images: 3 shots are 6 images, one batch of 8.

    A fitted arm sees everything once, a trained one in each of 4 epochs.
    """
    path = write_grid("few_and_fitted", *FITTED)
    resolved, facts = resolved_grid(path)
    kinds = kinds_of(resolved, facts)
    assert {kind.classifier: len(arms) for kind, arms in kinds.items()} == {"linear": 2, "ridge": 2}
    one = Measured(start_s=1.0, step_s=0.5, val_s=0.25, end_s=0.125, prefix_s=2.0, peak_mb=1)
    cost = study_cost(resolved, kinds, dict.fromkeys(kinds, one))
    trained = sum(1.0 + 4 * (steps * 0.5 + 8 * 0.25) + 9 * 0.125 for steps in (2, 1))
    fitted = sum(1.0 + steps * 0.5 + 8 * 0.25 + 9 * 0.125 for steps in (2, 1))
    assert cost.trials_s == pytest.approx(trained + fitted)
    assert cost.prefixes_s == pytest.approx((16 + 8 + 9) * 2.0)  # a kept view is of the whole split
    alone = sum(4 * (n + 8) + 9 for n in (16, 6)) + sum(n + 8 + 9 for n in (16, 6))
    assert (
        f"sharing: {16 + 8 + 9} of {alone} passes"
        in CliRunner().invoke(app, ["plan", str(path)]).output
    )


@pytest.mark.slow
def test_a_fitted_kind_is_measured_too(write_grid: Callable[..., Path]) -> None:
    said = (
        CliRunner()
        .invoke(
            app, ["plan", str(write_grid("fitted_probe", *FITTED)), "--probe", "--workers", "1"]
        )
        .output
    )
    assert "ridge fitted at once" in said
    assert "It rests on one measured step and evaluation of 2 kinds of arm (" in said


def test_no_study_is_shorter_than_its_longest_trial() -> None:
    cost = Cost(trials_s=100.0, prefixes_s=20.0, longest_s=50.0)
    assert [cost.wall_s(n_slots, before_s=5.0) for n_slots in (1, 2, 4)] == [125.0, 65.0, 55.0]


def test_a_kind_is_taken_as_itself_or_as_the_nearest_of_its_backbone() -> None:
    def kind(
        backbone: str = "a",
        depth: int = 5,
        n_trainable: int = 100,
        augment: str = "none",
        image_size: int = 96,
    ) -> Kind:
        return Kind(backbone, depth, n_trainable, augment, 16, "auto", image_size)

    measured = [kind("b"), kind(depth=0), kind(augment="light"), kind()]
    assert nearest(kind(), measured) == kind()
    assert nearest(kind(n_trainable=120, augment="light"), measured) == kind(augment="light")
    assert nearest(kind(depth=1), measured) == kind(depth=0)
    assert nearest(kind("c", depth=0), measured) == kind(depth=0)
    # a step at another size costs more than one at another depth
    sized = [kind(), kind(depth=0, image_size=224)]
    assert nearest(kind(image_size=192), sized) == sized[1]


def test_a_few_images_are_spread_over_the_classes() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 2])
    assert labels[OneLabel(labels, 3).in_turn()].tolist() == [0, 1, 2, 0, 1, 0, 0]
    split = type(
        "Split",
        (),
        {
            "labels": labels,
            "image_ids": tuple("abcdefg"),
            "read": staticmethod("abcdefg".__getitem__),
        },
    )()
    part = _part(split, 9, n_classes=3)
    assert [part.read(i) for i in range(9)] == list("aegbfcdae")
    assert part.labels.tolist() == [0, 1, 2, 0, 1, 0, 0, 0, 1]
    assert len(set(part.image_ids)) == 9


@pytest.mark.slow
def test_plan_measures_real_steps_and_says_what_the_estimate_rests_on(
    write_grid: Callable[..., Path], desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frozen kinds have a prefix and steps without it, whole ones have none.

    Nothing of the probe stays behind.
    """
    seen: list[Probes] = []

    def watched(*given: Any, **named: Any) -> Probes:
        seen.append(probe_kinds(*given, **named))
        return seen[-1]

    monkeypatch.setattr("ablate.workflow.plan.estimate_grid.probe_kinds", watched)
    path = write_grid("foretold", LIGHT)
    assert "estimate" not in CliRunner().invoke(app, ["plan", str(path)]).output
    before = {path for path in (desk / "home").rglob("*") if path.is_file()}
    said = CliRunner().invoke(app, ["plan", str(path), "--probe", "--workers", "1"]).output
    assert "on 1 slot of this machine for 8 trials: " in said
    assert "It rests on one measured step and evaluation of 4 kinds of arm (" in said
    assert len(seen[0].kinds) == 4
    for kind, found in seen[0].kinds.items():
        assert (found.prefix_s > 0) == (kind.depth > 0)
        assert found.step_s > 0
        assert 50 < found.peak_mb < seen[0].total_mb
    left = {path for path in (desk / "home").rglob("*") if path.is_file()} - before
    assert {path.name.partition("-")[0] for path in left} <= {"compute"}


@pytest.mark.parametrize(
    ("peak_mb", "total_mb", "margin", "slots"),
    [
        (1000, 10_000, 0.1, 9),
        (1000, 10_000, 0.0, 10),
        (1001, 10_000, 0.0, 9),
        (4000, 80_000, 0.1, 18),
        (9000, 8000, 0.1, 1),
    ],
)
def test_slots_that_fit(peak_mb: float, total_mb: float, margin: float, slots: int) -> None:
    assert slots_that_fit(peak_mb, total_mb=total_mb, margin=margin) == slots


def test_trials_share_gpus_breadth_first() -> None:
    slots = gpu_slots(["0", "GPU-x"], threads=1, trials_per_gpu=2)
    assert [(slot.name, slot.environment["CUDA_VISIBLE_DEVICES"]) for slot in slots] == [
        ("gpu:0:0", "0"),
        ("gpu:GPU-x:0", "GPU-x"),
        ("gpu:0:1", "0"),
        ("gpu:GPU-x:1", "GPU-x"),
    ]


def test_measured_memory_bounds_the_slots_of_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    compute = Compute(device="cpu", precision="fp32", channels_last=False, threads=1)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)))
    monkeypatch.setattr("ablate.workflow.prepare.machines._host_memory_mb", lambda: 16_000.0)
    assert (
        len(choose_slots(compute, Machines(), n_trials=100)) == 7
    )  # 2,000 MB each, nobody measured
    assert len(choose_slots(compute, Machines(peak_mb=500.0), n_trials=100)) == 28
    assert len(choose_slots(compute, Machines(peak_mb=9000.0), n_trials=100)) == 1
    assert len(choose_slots(compute, Machines(peak_mb=500.0, workers=3), n_trials=100)) == 3


_PEAK = """
import numpy as np
from ablate.training.machine.memory import peak_mb, reset_peak
gone = np.ones(300_000_000, dtype=np.uint8)
del gone
reset_peak("cpu")
before = peak_mb("cpu")
held = np.ones(100_000_000, dtype=np.uint8)
while_held = peak_mb("cpu")
del held
print(while_held - before, peak_mb("cpu") - before)
"""


@pytest.mark.slow
def test_the_peak_of_a_process_is_what_it_held() -> None:
    """In a process of its own.

    What others left in this one's heap could be taken for the array, and nothing would grow.
    """
    done = subprocess.run([sys.executable, "-c", _PEAK], check=True, capture_output=True, text=True)
    while_held, afterwards = map(float, done.stdout.split())
    assert 80 < while_held < 200
    assert 80 < afterwards < 200


def test_trials_per_gpu_auto_goes_by_the_largest_kind_and_a_number_measures_nothing(
    write_grid: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved, _ = resolved_grid(write_grid("packed"))

    def measured(
        resolved: Resolved, kinds: Mapping[Kind, object], *given: Any, **named: Any
    ) -> Probes:
        found = {
            kind: Measured(0.0, 0.0, 0.0, 0.0, 0.0, peak_mb=1000.0 * number)
            for number, kind in enumerate(kinds, start=1)
        }
        return Probes(
            found, n_slots=1, decode_s=0.0, worker_start_s=0.0, total_mb=16_000.0, took_s=0.0
        )

    monkeypatch.setattr("ablate.workflow.plan.probe.probe_kinds", measured)
    assert with_trials_per_gpu(Machines(), "auto", resolved, find_folders(), threads=1) == Machines(
        peak_mb=2000.0, trials_per_gpu=7
    )
    monkeypatch.setattr("ablate.workflow.plan.probe.probe_kinds", None)
    assert with_trials_per_gpu(Machines(), "3", resolved, find_folders(), threads=1) == Machines(
        trials_per_gpu=3
    )
    for wrong in ("0", "many", "-1"):
        with pytest.raises(SpecError) as caught:
            with_trials_per_gpu(Machines(), wrong, resolved, find_folders(), threads=1)
        assert (
            str(caught.value)
            == f"--trials-per-gpu must be auto or a whole number from 1 to 64, got {wrong!r}"
        )
    with pytest.raises(SpecError) as caught:
        with_trials_per_gpu(Machines(kind="ray"), "auto", resolved, find_folders(), threads=1)
    assert str(caught.value) == (
        "--trials-per-gpu auto must come with --executor local, "
        "memory is measured on this machine; name a number for a cluster"
    )


def test_executor_and_address_are_checked() -> None:
    for text, address, message in (
        ("slurm", None, "--executor must be local, inline or ray, got 'slurm'"),
        ("local", "auto", "--address must come with --executor ray, got --executor local"),
    ):
        with pytest.raises(SpecError) as caught:
            parse_kind(text, address=address)
        assert str(caught.value) == message
