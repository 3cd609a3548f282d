from __future__ import annotations

from pathlib import Path

import pytest

from ablate.scheduling.executors.inline import InlineExecutor


@pytest.fixture
def here(desk: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A desk whose trials run in this process, so that no other one is begun for them."""
    monkeypatch.setattr("ablate.workflow.run.workers_ahead.can_fork", lambda: False)
    monkeypatch.setattr(
        "ablate.workflow.prepare.machines.LocalExecutor", lambda run, **_: InlineExecutor(run)
    )
    return desk
