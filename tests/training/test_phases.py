"""What a change of phase does.

Thaws, puts the best weights back, and begins optimizer and schedule anew.
"""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support.spying import moved, spy

from ablate.errors import SpecError
from ablate.model.network import build_network, check_recipe
from ablate.recipe.phase import Phase
from ablate.recipe.recipe import Recipe
from ablate.study.trial_facts import PhaseFact
from ablate.training.trial_run import run_trial

GRADUAL = {
    "strategy": "gradual",
    "freeze_depth": 0,
    "n_phases": 3,
    "epochs": 6,
    "head_lr": 1e-2,
    "batch_norm": "frozen",
}
STEPS_PER_EPOCH = 3


def _run(request):
    epochs: list[tuple[int, int, dict[str, float]]] = []
    return run_trial(request, lambda *epoch: epochs.append(epoch)), epochs


@pytest.mark.slow
def test_what_is_frozen_in_a_phase_is_bit_equal_and_what_is_thawed_moves(
    make_request, monkeypatch
) -> None:
    steps = spy(monkeypatch)
    request = make_request(**GRADUAL)
    _run(request)
    units = build_network(request.trial.recipe, n_classes=3, image_size=64, seed=0).units
    norms = {name for name in steps[0].before if ".bn" in name or name.startswith("bn")}
    for phase, n_free in enumerate((0, 1, len(units))):
        own = steps[2 * STEPS_PER_EPOCH * phase : 2 * STEPS_PER_EPOCH * (phase + 1)]
        free = {name for unit in units[len(units) - n_free :] for name in unit.parameter_names} | {
            "classifier.weight",
            "classifier.bias",
        }
        assert moved(own[0].before, own[-1].after) == free - norms, phase


@pytest.mark.slow
def test_no_momentum_survives_and_the_schedule_begins_anew(make_request, monkeypatch) -> None:
    steps = spy(monkeypatch)
    _run(make_request(**GRADUAL, warmup=0.5))
    assert [i for i, step in enumerate(steps) if not step.has_momentum] == [0, 6, 12]
    assert len({id(step.active.optimizer) for step in steps}) == 3
    rates = [step.rates["classifier.weight"] for step in steps]
    assert rates[:6] == rates[6:12] == rates[12:]
    assert rates[:4] == sorted(rates[:4])


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lion"])
@pytest.mark.parametrize("schedule", ["cosine", "constant", "step", "one_cycle"])
def test_every_parameter_learns_at_its_own_rate_at_every_step(
    make_request, monkeypatch, schedule: str, optimizer: str
) -> None:
    """Against the formula, in every phase, frozen units counted.

    The rate is head_lr x lr_ratio x layer_decay ** (units from the head) x factor of the schedule.
    """
    steps = spy(monkeypatch)
    request = make_request(
        epochs=4,
        schedule=schedule,
        optimizer=optimizer,
        layer_decay=0.7,
        phases=(
            Phase(epochs=2, freeze_depth=-2, head_lr=4e-3, lr_ratio=0.5),
            Phase(epochs=2, freeze_depth=0, head_lr=1e-3, lr_ratio=0.2),
        ),
    )
    _run(request)
    units = build_network(request.trial.recipe, n_classes=3, image_size=64, seed=0).units
    below = {name: len(units) - i for i, unit in enumerate(units) for name in unit.parameter_names}
    assert len(steps) == 4 * STEPS_PER_EPOCH
    for i, step in enumerate(steps):
        head_lr, ratio, depth = (4e-3, 0.5, len(units) - 2) if i < 6 else (1e-3, 0.2, 0)
        factor = step.rates["classifier.weight"] / head_lr
        frozen = {name for unit in units[:depth] for name in unit.parameter_names}
        expected = {
            name: head_lr * factor * (ratio * 0.7 ** below[name] if name in below else 1.0)
            for name in step.before
            if name in step.rates
        }
        assert step.rates == pytest.approx(expected, rel=1e-12)
        assert (
            step.rates.keys()
            == {
                name
                for name in step.active.network.module.state_dict()
                if name in below or "classifier" in name
            }
            - frozen
        )
    assert len(set(steps[-1].rates.values())) == len(units) + 1


def test_the_best_weights_so_far_are_put_back_at_a_change(make_request, monkeypatch) -> None:
    """Val is made to like epoch 1 best.

    Phase 2 starts from its weights, bit for bit, and not from those of epoch 2.
    """
    scores = iter([0.1, 0.9, 0.2, 0.3, 0.4])
    monkeypatch.setattr(
        "ablate.training.tasks.classification.Classification.evaluate",
        lambda self, predictions, targets: {"macro_f1": next(scores, 0.0)},
    )
    steps = spy(monkeypatch)
    request = make_request(
        phases=(Phase(epochs=3, freeze_depth=-1), Phase(epochs=2, freeze_depth=0)), head_lr=1e-2
    )
    outcome, _ = _run(request)
    assert outcome.best_epoch == 1
    assert moved(steps[2 * STEPS_PER_EPOCH - 1].after, steps[3 * STEPS_PER_EPOCH].before) == set()
    assert moved(steps[3 * STEPS_PER_EPOCH - 1].after, steps[3 * STEPS_PER_EPOCH].before) != set()
    kept = load_file(request.folder / "delta.safetensors")
    best = steps[2 * STEPS_PER_EPOCH - 1].after
    assert all(torch.equal(tensor, best[name]) for name, tensor in kept.items())


@pytest.mark.slow
def test_a_plateau_ends_a_phase_and_the_epochs_count_on(make_request, monkeypatch) -> None:
    scores = iter([0.5, 0.4, 0.3, 0.2, 0.6, 0.1, 0.1, 0.9, 0.9])
    monkeypatch.setattr(
        "ablate.training.tasks.classification.Classification.evaluate",
        lambda *_: {"macro_f1": next(scores)},
    )
    steps = spy(monkeypatch)
    phases = (
        Phase(epochs=5, freeze_depth="all", until="plateau", patience=2),
        Phase(epochs=9, freeze_depth=0, until="plateau", patience=2),
    )
    outcome, epochs = _run(make_request(phases=phases))
    assert [metrics["phase"] for _, _, metrics in epochs] == [0, 0, 0, 1, 1, 1, 1]
    assert [metrics["frozen_units"] for _, _, metrics in epochs] == [7, 7, 7, 0, 0, 0, 0]
    assert [(epoch, n) for epoch, n, _ in epochs] == [(epoch, 14) for epoch in range(7)]
    assert sorted({step.epoch for step in steps}) == list(range(7)), (
        "views are those of the epoch counted over phases"
    )
    assert (outcome.best_epoch, outcome.metrics["n_epochs"]) == (4, 7)


def test_the_log_and_the_record_say_what_thaws(make_request, caplog) -> None:
    caplog.set_level(logging.INFO)
    outcome, _ = _run(make_request(strategy="lp_ft", freeze_depth=-2, epochs=3))
    assert [
        record.getMessage() for record in caplog.records if record.name.endswith("active_phase")
    ] == [
        "phase 1 of 2: 1 epochs, 7 of 7 units frozen, thaws nothing",
        "phase 2 of 2: 2 epochs, 5 of 7 units frozen, thaws blocks.4 conv_head+bn2",
    ]
    assert outcome.facts.phases == (
        PhaseFact(epochs=1, freeze_depth=7, n_units=7),
        PhaseFact(epochs=2, freeze_depth=5, n_units=7, thawed=("blocks.4", "conv_head+bn2")),
    )


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["test_efficientnet", "test_vit"])
def test_cut_anew_at_each_boundary_a_trial_is_that_of_the_whole_network(
    make_request, tmp_path: Path, backbone: str
) -> None:
    recipe = {**GRADUAL, "freeze_depth": -2, "backbone": backbone, "augment": "light"}
    direct, direct_epochs = _run(make_request(**recipe))
    shared, shared_epochs = _run(make_request(**recipe, cache=tmp_path / "cache"))
    points = [cut.at for cut in shared.facts.prefix]
    assert None not in points
    assert len(set(points)) == len(points) == 3
    losses = [
        [metrics["train/loss"] for _, _, metrics in epochs]
        for epochs in (direct_epochs, shared_epochs)
    ]
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)
    assert shared.metrics["test/nll"] == pytest.approx(direct.metrics["test/nll"], abs=1e-4)


def test_the_probe_of_lp_ft_reads_what_a_probe_has_left_in_the_cache(
    make_request, tmp_path: Path
) -> None:
    _run(make_request(freeze_depth="all", epochs=2, augment="light", cache=tmp_path / "cache"))
    outcome, _ = _run(
        make_request(
            strategy="lp_ft",
            freeze_depth=0,
            probe_epochs=2,
            epochs=3,
            augment="light",
            cache=tmp_path / "cache",
        )
    )
    assert (outcome.facts.views_computed, outcome.facts.views_from_cache) == (0, 3)
    assert [cut.why_uncut for cut in outcome.facts.prefix] == [
        "",
        "nothing is frozen before the first module that learns",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "affine", "statistics"),
    [("frozen", 0, 0), ("affine", 1, 0), ("adapt", 0, 1), ("train", 1, 1)],
)
def test_the_batch_norm_policy_rules_what_is_thawed_in_each_phase(
    make_request, monkeypatch, policy: str, affine: int, statistics: int
) -> None:
    """Bit by bit: BatchNorm of a frozen unit rests whatever the policy.

    Of a free unit it does what the policy says, and its counter counts steps.
    """
    steps = spy(monkeypatch)
    _run(
        make_request(
            phases=(Phase(epochs=1, freeze_depth=-1), Phase(epochs=1, freeze_depth=0)),
            head_lr=1e-2,
            batch_norm=policy,
        )
    )
    for own, names in ((steps[:3], ("bn2",)), (steps[3:], ("bn1", "bn2", "blocks"))):
        changed = moved(own[0].before, own[-1].after)
        norm = {name for name in own[0].before if name.startswith(names) and ".bn" in f".{name}"}
        weights = {name for name in norm if name.endswith((".weight", ".bias"))}
        assert changed & norm == (weights if affine else set()) | (
            norm - weights if statistics else set()
        )
        assert not {name for name in changed if ".bn" in f".{name}"} - norm
        counters = [
            own[-1].after[name] - own[0].before[name]
            for name in norm
            if name.endswith("num_batches_tracked")
        ]
        assert {int(count) for count in counters} == {3 * statistics}


def test_phases_that_freeze_again_are_refused_before_anything_starts() -> None:
    recipe = Recipe(
        backbone="test_efficientnet",
        weights="none",
        phases=(Phase(epochs=1, freeze_depth=0), Phase(epochs=1, freeze_depth="all")),
    )
    with pytest.raises(SpecError) as caught:
        check_recipe(recipe, n_classes=3, image_size=64)
    assert str(caught.value) == (
        "phases must thaw units and never freeze them again, got freeze_depth 0, all for the 7 "
        "units of test_efficientnet"
    )
