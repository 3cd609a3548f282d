"""What a report needs besides its trials, prepared while they run: its libraries are imported."""

from __future__ import annotations

import contextlib
import importlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager

REPORTING = "ablate.workflow.after.reports"
"""pandas, SciPy and matplotlib come with it: three seconds of a core."""


@contextmanager
def reporting_imported() -> Iterator[None]:
    """Import what a report needs while the block runs; at its end it is there.

    In a thread: the conductor waits for events nearly all the time.
    """
    thread = threading.Thread(target=_import, name="ablate-report-ahead", daemon=True)
    thread.start()
    yield
    # Not where the block was left by an error or an interrupt: then there is no report.
    thread.join()


def _import() -> None:
    # What is wrong with a library is said where the report is made.
    with contextlib.suppress(Exception):
        importlib.import_module(REPORTING)
