"""The LR schedule, against torch's own schedulers."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ablate.training.schedule import lr_factor


def _torch_factors(n_steps: int, warmup: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    ramp = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)
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
    own = [lr_factor(step, n_steps=n_steps, warmup_steps=warmup, schedule="cosine") for step in range(n_steps)]
    assert own == pytest.approx(_torch_factors(n_steps, warmup), abs=1e-9)


@given(st.integers(1, 500), st.integers(0, 400), st.sampled_from(["cosine", "constant"]))
def test_it_rises_to_the_peak_and_never_above(n_steps: int, warmup: int, schedule: str) -> None:
    factors = [lr_factor(step, n_steps=n_steps, warmup_steps=min(warmup, n_steps), schedule=schedule) for step in range(n_steps)]
    assert all(0 < factor <= 1 for factor in factors)
    top = factors.index(max(factors))
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert factors[top:] == sorted(factors[top:], reverse=True)
