"""Trials in this process, one after the other: for tests and debuggers."""

from __future__ import annotations

from ablate.scheduling.executors._base import OnEvent, Slot, Take, execute, started


class InlineExecutor:
    """One slot, which is the caller. A trial that kills its process kills the caller with it."""

    def __init__(self, run_trial: str) -> None:
        """`run_trial` names the function: "ablate.training.trial_run:run_trial", say."""
        self._run_trial = run_trial

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The one slot."""
        return (Slot("inline:0"),)

    def run(self, take: Take, on_event: OnEvent) -> None:
        """See `Executor.run`."""
        slot = self.slots[0].name
        while (request := take(slot)) is not None:
            on_event(started(request, slot=slot))
            execute(self._run_trial, request, on_event)
