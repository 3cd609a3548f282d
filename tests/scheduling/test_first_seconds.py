"""The first moments of a study's folder: killed at any touch of it, or begun by two commands at
once, it is usable afterwards and each trial ends once.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import ON_PATH, TESTS
from support.toy_dying import MILLISECONDS, N_PAIRS, OPERATIONS

HERE = Path(__file__).parent
N_TRIALS = 3


@pytest.mark.slow
def test_a_study_that_dies_or_is_begun_twice_in_its_first_moments_is_usable(tmp_path):
    environment = {**os.environ, "PYTHONPATH": ON_PATH}
    done = subprocess.run(
        [sys.executable, str(TESTS / "support" / "toy_dying.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    deaths = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(deaths) == len(OPERATIONS) + len(MILLISECONDS) + N_PAIRS
    for death in deaths:
        assert death["codes"][-1] == 0, death
        assert (death["complete"], death["distinct"]) == (N_TRIALS, N_TRIALS), death
    killed = [death for death in deaths if death["death"].startswith("operation")]
    assert {death["codes"][0] for death in killed} == {-signal.SIGKILL}
    assert {death["codes"][0] for death in deaths if death["death"].startswith("after")} <= {
        -signal.SIGALRM,
        0,
    }
    pairs = [sorted(death["codes"][:2]) for death in deaths if death["death"].startswith("pair")]
    assert all(codes in ([0, 0], [0, 2]) for codes in pairs)
