"""Every task that there is, and one that only the tests know."""

from __future__ import annotations

import pytest
from support import ordinal_task

from ablate.study.tasks import TASKS, TaskSpec, task_of


@pytest.fixture(autouse=True)
def _third_task(monkeypatch: pytest.MonkeyPatch) -> None:
    ordinal_task.register(monkeypatch)


@pytest.fixture(params=[*TASKS, ordinal_task.ORDINAL.name])
def spec(request: pytest.FixtureRequest) -> TaskSpec:
    """Each task's spec."""
    return task_of(request.param)
