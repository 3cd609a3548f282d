"""The LR schedule, against torch's own schedulers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from timm.scheduler import CosineLRScheduler, StepLRScheduler

from ablate.recipe.recipe import Recipe
from ablate.training.loop.schedule import lr_factor, recipe_factor


def _torch_factors(n_steps: int, warmup: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    ramp = torch.optim.lr_scheduler.LinearLR(
        optimizer, start_factor=1 / (warmup + 1), total_iters=warmup
    )
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=n_steps - warmup)
    both = torch.optim.lr_scheduler.SequentialLR(optimizer, [ramp, cosine], milestones=[warmup])
    factors = []
    for _ in range(n_steps):
        factors.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        both.step()
    return factors


@pytest.mark.parametrize(("n_steps", "warmup"), [(20, 4), (7, 1), (50, 10)])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_it_is_torchs_warm_up_and_cosine(n_steps: int, warmup: int) -> None:
    own = [
        lr_factor(step, n_steps=n_steps, warmup_steps=warmup, schedule="cosine")
        for step in range(n_steps)
    ]
    assert own == pytest.approx(_torch_factors(n_steps, warmup), abs=1e-9)


@given(st.integers(1, 500), st.integers(0, 400), st.sampled_from(["cosine", "constant"]))
def test_it_rises_to_the_peak_and_never_above(
    n_steps: int, warmup: int, schedule: Literal["cosine", "constant"]
) -> None:
    factors = [
        lr_factor(step, n_steps=n_steps, warmup_steps=min(warmup, n_steps), schedule=schedule)
        for step in range(n_steps)
    ]
    assert all(0 < factor <= 1 for factor in factors)
    top = factors.index(max(factors))
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert factors[top:] == sorted(factors[top:], reverse=True)


def _factors_of(
    make_scheduler: Callable[[torch.optim.Optimizer], Any], n_steps: int
) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make_scheduler(optimizer)
    factors = []
    for _ in range(n_steps):
        factors.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return factors


@pytest.mark.parametrize(("n_steps", "warmup"), [(40, 0.25), (33, 0.3), (200, 0.1), (20, 0.9)])
def test_one_cycle_is_torchs(n_steps: int, warmup: float) -> None:
    own = [
        recipe_factor(step, Recipe(schedule="one_cycle", warmup=warmup), n_steps=n_steps)
        for step in range(n_steps)
    ]
    theirs = _factors_of(
        lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=1.0, total_steps=n_steps, pct_start=warmup, cycle_momentum=False
        ),
        n_steps - 1,
    )
    assert own[:-1] == pytest.approx(theirs, abs=1e-12)
    assert own[-1] == pytest.approx(1 / 25e4, abs=1e-12)


@pytest.mark.parametrize("n_steps", [30, 37])
def test_step_is_torchs(n_steps: int) -> None:
    recipe = Recipe(schedule="step", warmup=0.0, step_every=0.3, step_factor=0.2)
    own = [recipe_factor(step, recipe, n_steps=n_steps) for step in range(n_steps)]
    theirs = _factors_of(
        lambda optimizer: torch.optim.lr_scheduler.StepLR(
            optimizer, step_size=round(0.3 * n_steps), gamma=0.2
        ),
        n_steps,
    )
    assert own == pytest.approx(theirs, abs=1e-12)
    assert len({round(factor, 9) for factor in own}) == 4


@pytest.mark.parametrize("n_steps", [30, 37])
def test_cosine_and_step_are_timms(n_steps: int) -> None:
    """timm counts updates as we count steps, for schedules without a ramp."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    cosine = CosineLRScheduler(optimizer, t_initial=n_steps, t_in_epochs=False)
    drops = StepLRScheduler(
        optimizer, decay_t=round(0.25 * n_steps), decay_rate=0.1, t_in_epochs=False
    )
    for step in range(n_steps):
        assert recipe_factor(step, Recipe(warmup=0.0), n_steps=n_steps) == pytest.approx(
            cosine._get_lr(step)[0], abs=1e-9
        )
        assert recipe_factor(
            step, Recipe(schedule="step", step_every=0.25, warmup=0.0), n_steps=n_steps
        ) == pytest.approx(drops._get_lr(step)[0], abs=1e-9)


def test_every_schedule_but_one_cycle_rises_in_the_same_way() -> None:
    ramps = [
        [recipe_factor(step, Recipe(schedule=name, warmup=0.2), n_steps=20) for step in range(4)]
        for name in ("cosine", "constant", "step")
    ]
    assert ramps[0] == ramps[1] == ramps[2] == pytest.approx([0.2, 0.4, 0.6, 0.8])
