"""How a plan learns what a network would be: `BuiltFacts` builds it on torch's meta device.

Importing torch and timm takes longer than everything else that a plan does, so `CachedFacts` keeps
the answers in `$ABLATE_HOME`, under all that they depend on: the recipe, the versions of the
libraries, this package's code, and for weights which file it is and when it last changed. Runs
build anew.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from ablate.model.backbone_facts import ImageSize, PrefixCost, Preprocessing, RecipeFacts
from ablate.recipe.recipe import Recipe
from ablate.scheduling.executors.fork_server import Helper
from ablate.study.weights_identity import WeightsIdentity, are_pretrained, weights_name
from ablate.workflow.prepare.answers import read_answer, stamps_of, write_answer

Device = Literal["cpu", "cuda"]
Value = TypeVar("Value")
# Those that build networks, or that say which weights there are.
_LIBRARIES = ("torch", "torchvision", "timm", "peft", "safetensors", "huggingface-hub")
_CODE = ("model", "recipe", "study")
"""Packages of `ablate` that decide what a network is."""
_SETTINGS = (
    "CUDA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "HF_HOME",
    "HF_HUB_CACHE",
    "TORCH_HOME",
    "XDG_CACHE_HOME",
)
"""Variables of the environment that decide which device and which weights there are."""


class NetworkFacts(Protocol):
    """What a plan asks of networks that nobody trains yet."""

    def recipe_facts(self, recipe: Recipe, *, n_classes: int, image_size: ImageSize) -> RecipeFacts:
        """See `model.network.check_recipe`."""
        ...

    def check_weights(self, recipe: Recipe, *, image_size: ImageSize) -> WeightsIdentity | None:
        """See `model.network.identify_weights`; None for random weights."""
        ...

    def check_source_classifier(self, recipe: Recipe) -> None:
        """See `model.weights.source_classifier.load_source_classifier`. Raises WeightsError."""
        ...

    def prefix_cost(self, backbone: str, image_size: int, depth: int) -> PrefixCost:
        """See `model.cost.cost_of_depth`."""
        ...

    def device(self) -> Device:
        """See `training.machine.precision.compute_device`."""
        ...


class BuiltFacts:
    """Builds every network that it is asked about."""

    # torch and timm come in with these imports: they stand in the methods, so that a plan whose
    # answers are all remembered never pays for them.

    def recipe_facts(self, recipe: Recipe, *, n_classes: int, image_size: ImageSize) -> RecipeFacts:
        """See `NetworkFacts`."""
        from ablate.model.network import check_recipe

        return check_recipe(recipe, n_classes=n_classes, image_size=image_size)

    def check_weights(self, recipe: Recipe, *, image_size: ImageSize) -> WeightsIdentity | None:
        """See `NetworkFacts`."""
        from ablate.model.backbone import pretrained_cfg_of
        from ablate.model.network import identify_weights

        if not are_pretrained(recipe):
            # Random weights are of a backbone all the same: raises where timm knows none.
            pretrained_cfg_of(recipe.backbone)
            return None
        return identify_weights(recipe, image_size=image_size)

    def check_source_classifier(self, recipe: Recipe) -> None:
        """See `NetworkFacts`."""
        from ablate.model.weights.source_classifier import load_source_classifier

        load_source_classifier(recipe.backbone, recipe.weights)

    def prefix_cost(self, backbone: str, image_size: int, depth: int) -> PrefixCost:
        """See `NetworkFacts`."""
        from ablate.model.cost import cost_of_depth

        return cost_of_depth(backbone, image_size, depth)

    def device(self) -> Device:
        """See `NetworkFacts`."""
        from ablate.training.machine.precision import compute_device

        return compute_device()


def ask_built(method: str, *positional: Any, **named: Any) -> Any:
    """Call a method of `BuiltFacts`: what a helper is asked for."""
    return getattr(BuiltFacts(), method)(*positional, **named)


ASK_BUILT = f"{ask_built.__module__}:{ask_built.__name__}"


@dataclass(frozen=True)
class HelpedFacts:
    """`BuiltFacts` in a process that has imported torch and timm already."""

    helper: Helper

    def recipe_facts(self, recipe: Recipe, *, n_classes: int, image_size: ImageSize) -> RecipeFacts:
        """See `NetworkFacts`."""
        facts: RecipeFacts = self.helper.call(
            ASK_BUILT, "recipe_facts", recipe, n_classes=n_classes, image_size=image_size
        )
        return facts

    def check_weights(self, recipe: Recipe, *, image_size: ImageSize) -> WeightsIdentity | None:
        """See `NetworkFacts`."""
        identity: WeightsIdentity | None = self.helper.call(
            ASK_BUILT, "check_weights", recipe, image_size=image_size
        )
        return identity

    def check_source_classifier(self, recipe: Recipe) -> None:
        """See `NetworkFacts`."""
        self.helper.call(ASK_BUILT, "check_source_classifier", recipe)

    def prefix_cost(self, backbone: str, image_size: int, depth: int) -> PrefixCost:
        """See `NetworkFacts`."""
        cost: PrefixCost = self.helper.call(ASK_BUILT, "prefix_cost", backbone, image_size, depth)
        return cost

    def device(self) -> Device:
        """See `NetworkFacts`."""
        device: Device = self.helper.call(ASK_BUILT, "device")
        return device


@dataclass(frozen=True)
class CachedFacts:
    """Takes an earlier answer where nothing that it depends on has changed, else asks `built`.

    Refusals are not remembered: what cannot be built is tried again every time.
    """

    folder: Path
    built: NetworkFacts = dataclasses.field(default_factory=BuiltFacts)

    def recipe_facts(self, recipe: Recipe, *, n_classes: int, image_size: ImageSize) -> RecipeFacts:
        """See `NetworkFacts`."""

        def build() -> RecipeFacts:
            return self.built.recipe_facts(recipe, n_classes=n_classes, image_size=image_size)

        question = ["recipe", recipe.model_dump(mode="json"), n_classes, image_size]
        return self._remembered(question, _as_recipe_facts, build)

    def check_weights(self, recipe: Recipe, *, image_size: ImageSize) -> WeightsIdentity | None:
        """See `NetworkFacts`."""
        # A relative path means another file in another working directory.
        path = self._path(["weights", weights_name(recipe), image_size, str(Path.cwd())])
        # Not `_remembered`: an answer about files is only as good as the files are old.
        known = _KnownWeights.read(path)
        if known is not None and known.is_current():
            return known.identity
        from ablate.model.weights.load import weight_file

        before = stamps_of(weight_file(recipe.backbone, recipe.weights))
        identity = self.built.check_weights(recipe, image_size=image_size)
        after = stamps_of(weight_file(recipe.backbone, recipe.weights))
        # Weights that were fetched just now, or replaced while they were read, are read again: the
        # answer is of one of two files, and nobody can say of which.
        is_settled = bool(after) and before == after
        if is_settled or not are_pretrained(recipe):
            _KnownWeights(after, identity).write(path)
        return identity

    def check_source_classifier(self, recipe: Recipe) -> None:
        """See `NetworkFacts`."""
        # Not remembered: few grids ask, and the file may be another by now.
        self.built.check_source_classifier(recipe)

    def prefix_cost(self, backbone: str, image_size: int, depth: int) -> PrefixCost:
        """See `NetworkFacts`."""

        def build() -> PrefixCost:
            return self.built.prefix_cost(backbone, image_size, depth)

        question = ["prefix", backbone, image_size, depth]
        return self._remembered(question, lambda known: PrefixCost(**known), build)

    def device(self) -> Device:
        """See `NetworkFacts`."""
        # A card or a driver that comes or goes changes these, and torch need not be imported.
        nodes: list[str] = []
        # CUDA; ROCm; CUDA in Windows' subsystem for Linux.
        for pattern in ("nvidia*", "kfd", "dxg"):
            for path in Path("/dev").glob(pattern):
                nodes.append(path.name)
        driver = Path("/proc/driver/nvidia/version")
        driver_text = ""
        if driver.is_file():
            driver_text = driver.read_text()
        answer = self._remembered(
            ["device", sorted(nodes), driver_text],
            lambda known: _KnownDevice(**known),
            lambda: _KnownDevice(self.built.device()),
        )
        return answer.device

    def _remembered(
        self,
        question: list[Any],
        read: Callable[[dict[str, Any]], Value],
        build: Callable[[], Value],
    ) -> Value:
        path = self._path(question)
        known = read_answer(path)
        if known is not None:
            try:
                return read(known)
            except (KeyError, TypeError):
                pass  # damaged: asked again
        answer = build()
        write_answer(path, dataclasses.asdict(answer))  # type: ignore[call-overload]
        return answer

    def _path(self, question: list[Any]) -> Path:
        # Whatever changes is part of the name: an answer that no longer holds is never found.
        text = json.dumps([surroundings(), question], sort_keys=True)
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"


@dataclass(frozen=True, slots=True)
class _KnownDevice:
    device: Device


@dataclass(frozen=True, slots=True)
class _KnownWeights:
    """An identity, and the state of the files that it was read from."""

    stamps: dict[str, list[int] | None]
    identity: WeightsIdentity | None
    """None for random weights."""

    @classmethod
    def read(cls, path: Path) -> _KnownWeights | None:
        """What is remembered; None where nothing is, or it is damaged."""
        known = read_answer(path)
        try:
            if known is None:
                return None
            stamps = dict(known["files"])
            if known["identity"] is None:
                return cls(stamps, None)
            return cls(stamps, WeightsIdentity.model_validate(known["identity"]))
        except (KeyError, TypeError, ValueError):
            return None

    def is_current(self) -> bool:
        """Whether the files are as they were when the identity was read."""
        return all(stamps_of(Path(name)) == {name: stamp} for name, stamp in self.stamps.items())

    def write(self, path: Path) -> None:
        """Inverse of `read`."""
        identity = None
        if self.identity is not None:
            identity = self.identity.model_dump(mode="json")
        write_answer(path, {"files": self.stamps, "identity": identity})


def surroundings() -> str:
    """Everything that any answer depends on: versions, this code, and the environment."""
    # sys.version too: another Python is another torch.
    settings = [f"{name}={os.environ.get(name)}" for name in _SETTINGS]
    return "\x1f".join([sys.version, *_versions(), _digest_of_code(), *settings])


@lru_cache(maxsize=1)
def _versions() -> tuple[str, ...]:
    return tuple(f"{name} {_version(name)}" for name in _LIBRARIES)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


@lru_cache(maxsize=1)
def _digest_of_code() -> str:
    # The code and not the version: in a checkout it changes between two releases.
    sha = hashlib.sha256()
    for package in _CODE:
        for path in sorted((Path(__file__).parents[2] / package).rglob("*.py")):
            sha.update(path.name.encode() + b"\0" + path.read_bytes())
    return sha.hexdigest()


def _as_recipe_facts(known: dict[str, Any]) -> RecipeFacts:
    fields = _with_tuples(known)
    fields["preprocessing"] = Preprocessing(**_with_tuples(known["preprocessing"]))
    return RecipeFacts(**fields)


def _with_tuples(values: dict[str, Any]) -> dict[str, Any]:
    """Tuples come back from JSON as lists."""
    fields = dict(values)
    for name, value in values.items():
        if isinstance(value, list):
            fields[name] = tuple(value)
    return fields
