"""How a plan learns what a network would be: by building it on torch's meta device, or from what an earlier look left in `$ABLATE_HOME`.

Importing torch and timm takes longer than everything else that a plan does. A look is remembered under all that it depends on: the recipe, the versions of
the libraries, this package's own code, and for weights which file it is and when it last
changed. Runs look anew.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from ablate.files import write_text
from ablate.model.backbone_facts import ImageSize, PrefixCost, Preprocessing, RecipeFacts
from ablate.recipe.recipe import Recipe
from ablate.study.weights_identity import WeightsIdentity, are_pretrained, weights_name

Device = Literal["cpu", "cuda"]
Value = TypeVar("Value")
_LIBRARIES = ("torch", "torchvision", "timm", "peft", "safetensors", "huggingface-hub")
_CODE = ("model", "recipe", "study")
"""Packages of `ablate` that decide what a look sees."""
_SETTINGS = (
    "CUDA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "HF_HOME",
    "HF_HUB_CACHE",
    "TORCH_HOME",
    "XDG_CACHE_HOME",
)


class Looks(Protocol):
    """What a plan asks."""

    def recipe_facts(self, recipe: Recipe, *, n_classes: int, image_size: ImageSize) -> RecipeFacts:
        """See `model.network.check_recipe`."""
        ...

    def check_weights(self, recipe: Recipe, *, image_size: ImageSize) -> WeightsIdentity | None:
        """See `model.network.identify_weights`; None for random weights."""
        ...

    def prefix_cost(self, backbone: str, image_size: int, depth: int) -> PrefixCost:
        """See `model.cost.cost_of_depth`."""
        ...

    def device(self) -> Device:
        """See `training.precision.compute_device`."""
        ...


class Direct:
    """Builds and asks, every time."""

    def recipe_facts(self, recipe: Recipe, *, n_classes: int, image_size: ImageSize) -> RecipeFacts:
        """See `Looks`."""
        from ablate.model.network import check_recipe

        return check_recipe(recipe, n_classes=n_classes, image_size=image_size)

    def check_weights(self, recipe: Recipe, *, image_size: ImageSize) -> WeightsIdentity | None:
        """See `Looks`."""
        from ablate.model.backbone import pretrained_cfg_of
        from ablate.model.network import identify_weights

        if not are_pretrained(recipe):
            pretrained_cfg_of(recipe.backbone)
            return None
        return identify_weights(recipe, image_size=image_size)

    def prefix_cost(self, backbone: str, image_size: int, depth: int) -> PrefixCost:
        """See `Looks`."""
        from ablate.model.cost import cost_of_depth

        return cost_of_depth(backbone, image_size, depth)

    def device(self) -> Device:
        """See `Looks`."""
        from ablate.training.machine.precision import compute_device

        return compute_device()


@dataclass(frozen=True)
class Remembered:
    """Takes an earlier look where nothing that it depends on has changed, else looks and remembers. What cannot be is refused anew every time."""

    folder: Path
    direct: Looks = dataclasses.field(default_factory=Direct)

    def recipe_facts(self, recipe: Recipe, *, n_classes: int, image_size: ImageSize) -> RecipeFacts:
        """See `Looks`."""
        asked = ["recipe", recipe.model_dump(mode="json"), n_classes, image_size]
        return self._recalled(
            asked,
            _recipe_facts,
            lambda: self.direct.recipe_facts(recipe, n_classes=n_classes, image_size=image_size),
        )

    def check_weights(self, recipe: Recipe, *, image_size: ImageSize) -> WeightsIdentity | None:
        """See `Looks`."""
        path = self._path(["weights", weights_name(recipe), image_size, str(Path.cwd())])
        seen = _read(path)
        if seen is not None:
            try:
                if all(_stamp(Path(name)) == stamp for name, stamp in seen["files"].items()):
                    return (
                        None
                        if seen["identity"] is None
                        else WeightsIdentity.model_validate(seen["identity"])
                    )
            except (KeyError, AttributeError, ValueError):
                pass  # damaged: looked at again
        from ablate.model.weights.load import weight_file

        before = _stamps(weight_file(recipe.backbone, recipe.weights))
        identity = self.direct.check_weights(recipe, image_size=image_size)
        after = _stamps(weight_file(recipe.backbone, recipe.weights))
        is_settled = (
            bool(after) and before == after
        )  # not replaced while it was read, nor fetched just now
        if is_settled or not are_pretrained(recipe):
            _write(
                path,
                {
                    "files": after,
                    "identity": None if identity is None else identity.model_dump(mode="json"),
                },
            )
        return identity

    def prefix_cost(self, backbone: str, image_size: int, depth: int) -> PrefixCost:
        """See `Looks`."""
        return self._recalled(
            ["prefix", backbone, image_size, depth],
            _prefix_cost,
            lambda: self.direct.prefix_cost(backbone, image_size, depth),
        )

    def device(self) -> Device:
        """See `Looks`."""
        dev, driver = Path("/dev"), Path("/proc/driver/nvidia/version")
        asked = [
            "device",
            sorted(path.name for kind in ("nvidia*", "kfd", "dxg") for path in dev.glob(kind)),
            driver.read_text() if driver.is_file() else "",
        ]
        return self._recalled(asked, _device, lambda: _Answer(self.direct.device())).device

    def _recalled(
        self,
        asked: list[Any],
        made_of: Callable[[dict[str, Any]], Value],
        look: Callable[[], Value],
    ) -> Value:
        path = self._path(asked)
        known = _read(path)
        if known is not None:
            try:
                return made_of(known)
            except (KeyError, TypeError):
                pass  # damaged: looked at again
        found = look()
        _write(path, dataclasses.asdict(found))  # type: ignore[call-overload]
        return found

    def _path(self, asked: list[Any]) -> Path:
        text = json.dumps([surroundings(), asked], sort_keys=True)
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"


def surroundings() -> str:
    """Everything that any look depends on: versions, the code that looks, and settings of the environment."""
    return "\x1f".join(
        [
            sys.version,
            *_versions(),
            _digest_of_code(),
            *(f"{name}={os.environ.get(name)}" for name in _SETTINGS),
        ]
    )


@lru_cache(maxsize=1)
def _versions() -> tuple[str, ...]:
    return tuple(f"{name} {_version(name)}" for name in _LIBRARIES)


@lru_cache(maxsize=1)
def _digest_of_code() -> str:
    sha = hashlib.sha256()
    for package in _CODE:
        for path in sorted((Path(__file__).parents[2] / package).rglob("*.py")):
            sha.update(path.name.encode() + b"\0" + path.read_bytes())
    return sha.hexdigest()


@dataclass(frozen=True)
class _Answer:
    device: Device


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def _recipe_facts(known: dict[str, Any]) -> RecipeFacts:
    return RecipeFacts(
        **{**_tupled(known), "preprocessing": Preprocessing(**_tupled(known["preprocessing"]))}
    )


def _tupled(values: dict[str, Any]) -> dict[str, Any]:
    """Tuples come back from JSON as lists."""
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }


def _prefix_cost(known: dict[str, Any]) -> PrefixCost:
    return PrefixCost(**known)


def _device(known: dict[str, Any]) -> _Answer:
    return _Answer(known["device"])


def _stamps(file: Path | None) -> dict[str, list[int] | None]:
    return {} if file is None else {str(file.absolute()): _stamp(file)}


def _stamp(path: Path) -> list[int] | None:
    """What changes when a file is written or another takes its name. Size and time of writing can be set to what they were; the time of change cannot."""
    try:
        stat = path.stat()
    except (OSError, ValueError):
        return None
    return [stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _write(path: Path, value: dict[str, Any]) -> None:
    """A home that takes nothing costs time, not the plan."""
    with suppress(OSError):
        write_text(path, json.dumps(value))
