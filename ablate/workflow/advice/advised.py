"""Advice for a grid's data or a folder of images: the one function behind `ablate advise`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.advice.advise import advise
from ablate.advice.facts import ImageSetFacts, MachineFacts
from ablate.advice.grid_document import grid_document
from ablate.advice.recommendation import Advice
from ablate.advice.rough_cost import RoughCost, rough_cost
from ablate.data.dataset import DataSet, load_data
from ablate.data.layouts import SHARD_SOURCES
from ablate.errors import DataError, SpecError, escaped
from ablate.study.tasks import USUAL_TASK
from ablate.study.trial import DataSpec
from ablate.workflow.advice.image_facts import image_facts
from ablate.workflow.folders import Folders
from ablate.workflow.grid_names import find_grid
from ablate.workflow.requests import Request, request

if TYPE_CHECKING:
    from ablate.workflow.plan.estimate_grid import Estimate

_SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}
"""Of a folder that says nothing of splits."""
_NOT_OF_DATA = ("view", "image_size", "crop_share")
"""Fields of `data` that are recommended, so those of a grid are not asked for."""


@dataclass(frozen=True)
class Target:
    """What advice is wanted for."""

    name: str
    """What was typed."""
    task: str
    data: DataSpec
    data_dir: Path
    is_folder: bool = False
    """Whether images were named, and not a grid."""


@dataclass(frozen=True)
class Advised:
    """An advice, and what it rests on."""

    target: Target
    spec: DataSpec
    """`target.data` as it was found."""
    data_set: DataSet
    facts: ImageSetFacts
    machine: MachineFacts
    advice: Advice

    @property
    def document(self) -> dict[str, object]:
        """The content of a grid file."""
        given = self.spec.model_dump(mode="json", exclude_none=True)
        data: dict[str, Any] = {}
        for name, value in given.items():
            if name not in _NOT_OF_DATA:
                data[name] = value
        return grid_document(self.advice, data)

    @property
    def cost(self) -> RoughCost:
        """About what the advised study costs."""
        return rough_cost(self.facts, self.machine, self.advice)

    def estimate(self, folders: Folders) -> Estimate:
        """Time and memory of the advised study, measured here. Raises RequestError."""
        from ablate.workflow.plan.plan_grid import plan_grid

        asked = request(self.document, name="advised")
        here = Folders(
            home=folders.home,
            data_dir=self.target.data_dir,
            tracking_uri=folders.tracking_uri,
            optuna_url=folders.optuna_url,
        )
        return plan_grid(asked.grid, here).estimate()


def find_target(name: str, folders: Folders) -> Target:
    """A folder (or CSV) of images where there is one of that name, else a grid.

    Raises RequestError.
    """
    path = Path(name)
    if _holds_images(path):
        return _of_folder(name, path.absolute())
    try:
        find_grid(name)
    except SpecError as error:
        raise SpecError(
            f"FOLDER_OR_GRID must be a folder of images that is there, or a grid: {error}"
        ) from None
    return _of_grid(name, request(name), folders)


def _holds_images(path: Path) -> bool:
    """Whether it is a folder or a CSV file; False for a name that no file can have."""
    try:
        return path.is_dir() or (path.suffix.lower() == ".csv" and path.is_file())
    except (OSError, ValueError):
        return False


def load_target(target: Target, *, allow_fallback: bool) -> tuple[DataSpec, DataSet]:
    """The images of a target. Raises DataError."""
    return load_data(
        target.data, data_dir=target.data_dir, allow_fallback=allow_fallback, task=target.task
    )


def advise_on(
    target: Target,
    loaded: tuple[DataSpec, DataSet],
    machine: MachineFacts,
    *,
    probe_score: float | None = None,
) -> Advised:
    """The plan for images that were found. Raises DataError."""
    spec, data_set = loaded
    facts = image_facts(spec, data_set, probe_score=probe_score)
    return Advised(target, spec, data_set, facts, machine, advise(facts, machine))


def _of_folder(name: str, path: Path) -> Target:
    if path.parent == path:
        raise DataError(
            f"FOLDER must be a folder of images below another folder, got {escaped(name)}; "
            "give the folder whose folders are the classes."
        )
    # Drawn where the folder says nothing of splits; its own splits go before.
    data = DataSpec.model_validate(
        {"source": _source_of(path), "path": path.name, "split_seed": 0, "fractions": _SHARES}
    )
    return Target(name, _task_of(path), data, path.parent, is_folder=True)


def _source_of(path: Path) -> str:
    """By the first file that a source of shards reads; `folder` where there is none."""
    if path.is_dir():
        for suffix, source in SHARD_SOURCES.items():
            if next(path.rglob(f"*{suffix}"), None) is not None:
                return source
    return "folder"


def _task_of(path: Path) -> str:
    # A folder with labels.csv names several labels of an image; class folders name one.
    if (path / "labels.csv").is_file():
        return "multilabel"
    return USUAL_TASK


def _of_grid(name: str, asked: Request, folders: Folders) -> Target:
    plain: Mapping[str, object] = dict.fromkeys(("view", "crop_share"))
    data = asked.grid.data.model_copy(update={**plain, "image_size": "auto"})
    return Target(name, asked.grid.task, data, asked.data_dir or folders.data_dir)
