"""Arms and trials keep their ids, by which finished trials are found.

`golden_ids.json` was written before levels were compared by what they mean. `golden_grids/` has the
example grids as they were then: those in experiments/ get other seeds and questions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from ablate.grid.expand import expand, study_trials
from ablate.grid.parse import load_grid
from ablate.grid.pilot_arms import candidates, probe_arms

HERE = Path(__file__).parent
GRIDS = {path.stem: path for path in sorted((HERE / "golden_grids").glob("*.yaml"))}
GOLDEN = json.loads((HERE / "golden_ids.json").read_text())


def _digest(words: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]


def test_every_golden_grid_is_here() -> None:
    assert len(GOLDEN) == 12
    assert set(GOLDEN) == set(GRIDS)


@pytest.mark.parametrize("name", GOLDEN)
def test_ids_names_and_exclusions_are_those_of_before(name: str) -> None:
    grid = load_grid(GRIDS[name])
    asked: dict[str, Any] = {"data": grid.data, "fingerprint": "f"}
    expansion = expand(grid, **asked)
    trials = study_trials(grid, expansion, **asked, seeds=grid.seeds)
    probes = probe_arms(grid, **asked) if grid.search else ()
    tried = candidates(grid, expansion, **asked) if grid.tune else []
    assert {
        "n_arms": len(expansion.arms),
        "n_trials": len(trials),
        "arm_ids": _digest(arm.arm_id for arm in expansion.arms),
        "names": _digest(arm.name for arm in expansion.arms),
        "trial_ids": _digest(trial.trial_id for trial in trials),
        "excluded": _digest(
            json.dumps([one.cell, one.why], default=str) for one in expansion.excluded
        ),
        "baseline": expansion.baseline_arm_id,
        "probe_arm_ids": _digest(arm.arm_id for arm in probes),
        "candidate_ids": _digest(one.trial.trial_id for one in tried),
    } == GOLDEN[name]
