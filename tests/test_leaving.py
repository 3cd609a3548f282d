"""How the program ends."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

LATE = """
import atexit, os, sys
from ablate.leaving import finish_undisturbed, leave_at_once
leave_at_once()
atexit.register(finish_undisturbed)
class Module:
    def __del__(self):
        os.kill(os.getpid(), {number})
sys.modules[__name__].kept = Module()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_interpreter_ends_changes_no_exit_code(number: signal.Signals) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", LATE.format(number=int(number))], capture_output=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")
