"""The library's face: a grid in; a plan, a study, predictions and a report out.

    import ablate

    study = ablate.run("flowers")
    study.arms                                   # a DataFrame, the best arm first
    study.effects                                # what each level changes, with its uncertainty
    study.champion.predict(["my/photo.jpg"])     # class names and probabilities

The commands call the same functions. Nothing is printed; `on_event` and `on_progress` hear how a
run goes. Every error that is raised on purpose is an `AblateError`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.errors import AblateError
from ablate.grid.grid_file import Grid
from ablate.workflow.folders import Folders
from ablate.workflow.folders import find_folders as folders

if TYPE_CHECKING:
    from ablate.tracking.events import Event
    from ablate.workflow.champion import Champion
    from ablate.workflow.plan.plan_grid import Plan
    from ablate.workflow.requests import Request
    from ablate.workflow.run.run_options import RunOptions
    from ablate.workflow.study import Study

__all__ = [
    "AblateError",
    "Champion",
    "Folders",
    "Grid",
    "Plan",
    "RunOptions",
    "Study",
    "folders",
    "load_grid",
    "open_study",
    "plan",
    "run",
]

_LAZY = {
    "Champion": "ablate.workflow.champion",
    "Plan": "ablate.workflow.plan.plan_grid",
    "RunOptions": "ablate.workflow.run.run_options",
    "Study": "ablate.workflow.study",
}
"""Types whose modules import pandas, MLflow or Optuna, which takes seconds."""
GridLike = Grid | Mapping[str, Any] | Path | str
"""A grid, its content, the path of its file, or a name in `experiments/`."""


def load_grid(grid: GridLike, *, name: str = "grid") -> Grid:
    """Read and check a grid: a path, a name in `experiments/`, or what a file would hold.

    `name` is what a mapping's study and report are called; a key `question` is what it asks. Raises
    SpecError that lists every mistake.
    """
    return _request(grid, name=name).grid


def plan(
    grid: GridLike,
    *,
    seeds: tuple[int, ...] | None = None,
    allow_fallback: bool = True,
    folders: Folders | None = None,
) -> Plan:
    """Return what a grid would train, and what it leaves out and why. Trains nothing.

    `folders` None takes those of the environment. Raises RequestError.
    """
    from ablate.workflow.plan.plan_grid import plan_grid
    from ablate.workflow.prepare.all_mistakes import all_mistakes

    asked = _request(grid)
    used = folders or _folders(asked)
    with all_mistakes(asked):
        return plan_grid(asked.grid, used, seeds=seeds, allow_fallback=allow_fallback)


def run(
    grid: GridLike,
    options: RunOptions | None = None,
    *,
    on_event: Callable[[Event], object] | None = None,
    on_progress: Callable[[str, int, int], None] | None = None,
    folders: Folders | None = None,
) -> Study:
    """Train what is missing of a grid's trials, publish each in MLflow, and write the report.

    What completed before is not trained again. A trial that fails does not raise: `study.outcome`
    counts it. `on_event` hears each start, epoch and end of a trial; `on_progress` hears (what,
    done, total) of the preparation. Raises RequestError before anything is started; StudyStopped,
    ReportError after; KeyboardInterrupt, after which the same call goes on.
    """
    from ablate.workflow.run.run_grid import run_grid
    from ablate.workflow.run.run_options import RunOptions
    from ablate.workflow.run.watcher import Quiet
    from ablate.workflow.run.workers_ahead import workers_ahead
    from ablate.workflow.study import Study

    # Nobody is told anything unless a function was given.
    watcher = Quiet()
    if on_event is not None:
        watcher = replace(watcher, on_event=on_event)
    if on_progress is not None:
        watcher = replace(watcher, on_progress=on_progress)
    asked = _request(grid)
    used = folders or _folders(asked)
    chosen = options or RunOptions()
    with workers_ahead(chosen.executor, chosen.threads) as fork_server:
        outcome = run_grid(asked, chosen, used, watcher, fork_server=fork_server)
    # By its id: the newest study of the name may be one that another process began meanwhile.
    record = outcome.context.record
    return Study(used, record.grid_name, record.study_id, outcome=outcome)


def open_study(
    grid: Grid | Path | str, study_id: str | None = None, *, folders: Folders | None = None
) -> Study:
    """Open a study that was run before, by its grid or that grid's name: the newest, or one by id.

    Raises StoreError where the tracking store does not answer or has no such study, SpecError for
    what is no name.
    """
    from ablate.errors import SpecError
    from ablate.workflow.grid_names import grid_name
    from ablate.workflow.study import Study

    if not isinstance(grid, (Grid, Path, str)):
        raise SpecError(
            "open_study takes a grid from ablate.load_grid, its name or the path of its file, "
            f"got a {type(grid).__name__}"
        )
    name = grid.name if isinstance(grid, Grid) else grid_name(str(grid))
    study = Study(folders or _folders(), name, study_id)
    study.published  # noqa: B018  read now, so that a study that is not there is an error here
    return study


# In the functions above, `folders` is the argument and hides the function of that name.
def _folders(asked: Request | None = None) -> Folders:
    data_dir = None
    if asked is not None:
        data_dir = asked.data_dir
    return folders(data_dir=data_dir)


def _request(grid: GridLike, *, name: str = "grid") -> Request:
    from ablate.workflow.requests import request

    return request(grid, name=name)


# PEP 562: Python asks here for a name that the module does not have yet.
def __getattr__(name: str) -> object:
    from importlib import import_module

    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'ablate.api' has no attribute {name!r}")
