"""A search whose trials are a formula: no network, no images."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ablate.grid.search_space import Choice, Range, Search
from ablate.recipe.recipe import Recipe
from ablate.scheduling.executors.inline import InlineExecutor
from ablate.scheduling.proposals import Cell
from ablate.scheduling.run_search import run_search
from ablate.scheduling.samplers import SearchPlan
from ablate.scheduling.session import Session
from ablate.scheduling.study_folder import StudyPlan
from ablate.study.trial import Trial
from ablate.tracking.events import Event
from support.toy_conductor import make_request
from support.toy_study import toy_study

PILOT = 1000
SPACE = {
    "head_lr": Range(low=1e-5, high=1.0, log=True),
    "weight_decay": Range(low=1e-6, high=1.0, log=True),
    "lora_rank": Choice(levels=(0, 2, 4, 8)),
    "adapter_units": Range(low=1, high=4, when={"lora_rank": (2, 4, 8)}),
}
TEMPLATE = toy_study()[1][0]
N_EPOCHS = 9


def make_trial(cell: Cell, *, epochs: int = N_EPOCHS) -> Trial:
    recipe = Recipe.model_validate({"epochs": epochs, **cell})
    return TEMPLATE.model_copy(update={"recipe": recipe, "seed": PILOT})


def search(
    folder: Path,
    *,
    sampler: str = "tpe",
    pruner: str = "none",
    n_trials: int = 30,
    seed: int = 0,
    epochs: int = N_EPOCHS,
    executor=None,
    on_event=None,
    space=None,
    objectives=(),
    n_best: int = 3,
    make=None,
    **more,
):
    heard: list[Event] = []

    def hear(event: Event) -> None:
        heard.append(event)
        if on_event:
            on_event(event)

    space = space or SPACE
    record = toy_study()[0].model_copy(update={"arms": (), "axes": dict.fromkeys(space, ())})
    asked = Search(
        sampler=sampler, n_trials=n_trials, confirm=n_best, pruner=pruner, objectives=objectives
    )
    found = run_search(
        SearchPlan(asked, space, select_by="val/macro_f1", n_epochs=epochs, seed=seed),
        StudyPlan(record, ()),
        Session(
            folder,
            executor or InlineExecutor("support.toy_trials:analytic"),
            make_request,
            on_event=hear,
            **more,
        ),
        make_trial=make or partial(make_trial, epochs=epochs),
    )
    return found, heard
