"""What a run begins before it knows its data: the process that its workers are forked from.

Imports next to nothing, so that it stands before the imports of everything else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ablate.scheduling.executors.fork_server import ForkServer, can_fork
from ablate.scheduling.executors.slots import thread_environment
from ablate.workflow.prepare.slot_threads import THREADS

MODULES = (
    "ablate.training.trial_run",
    "ablate.workflow.prepare.network_facts",
    "ablate.training.machine.precision",
    "ablate.training.serving.export",
)
"""What trials need, and what answers for networks before and after them: torch and timm, too."""


@contextmanager
def workers_ahead(executor: str, threads: int | None) -> Iterator[ForkServer | None]:
    """Begin to import what trials need, in a process of its own, while the block runs.

    `executor` and `threads` are what the user asked for. None where no worker of this machine can
    be forked.
    """
    if executor != "local" or not can_fork():
        yield None
        return
    with ForkServer(MODULES, environment=thread_environment(threads or THREADS)) as server:
        yield server
