"""Files of weights, as other people's code leaves them, into the trunk of a timm model.

What is undone: the container (`state_dict`, `model`, `teacher`, ...), the prefix (`module.encoder_q.` of MoCo v1 and v2, `module.base_encoder.` of MoCo v3,
`backbone.` of DINO, whatever else names the trunk's tensors), and the names and shapes that timm knows how to convert (position embeddings of another image
size, DINOv2, CLIP's image tower). Projectors, predictors, decoders, momentum encoders, queues are left out and listed. Every trunk tensor must be placed.
"""

from __future__ import annotations

import argparse
import pickle
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from ablate.errors import WeightsError, some
from ablate.model.backbone import Pooling, classifier_names

CONTAINERS = ("state_dict_ema", "model_ema", "state_dict", "model", "teacher", "student", "model_state_dict", "net")
"""Keys below which files keep their tensors, the better one first: DINO evaluates its teacher."""
_NOT_TRUNK = (
    *("fc.", "head.", "classifier.", "projector.", "projection_head.", "predictor.", "prediction_head.", "prototypes."),
    *("decoder.", "decoder_", "mask_token", "dino_head.", "ibot_head.", "queue"),
)
"""How names begin that are the pretraining task's own."""
_MOMENTUM = ("encoder_k", "momentum_encoder", "teacher_momentum")
_SHOWN = 5
_MOCO_V3_SMALL = (384, 6)
"""Width and heads of timm's ViT-S; MoCo v3's has 12 heads, and the tensors fit all the same."""


@dataclass(frozen=True, slots=True)
class Placed:
    """What a file turned out to hold."""

    notes: str
    """What was undone and left out; empty for a plain state dict."""
    pooling: Pooling
    """What suits these weights; auto: whatever the backbone does."""


def place_file(module: nn.Module, path: Path, *, backbone: str) -> Placed:
    """Copy a file's trunk into `module`. Only tensors are read, nothing in the file is run.

    Raises WeightsError, having changed nothing, where the file cannot be read or not every trunk tensor is placed, naming what is missing, left or misshapen.
    """
    containers, state = _unpacked(_content_of(path), path)
    prefix = _prefix_of(module, state)
    own = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    _check_heads(module, prefix, own, path)
    fit = _best_fit(module, own)
    if fit.faults:
        raise WeightsError(f"weights {path.name} must fit the trunk of {backbone}; {'; '.join(fit.faults)}. Is it another backbone, or another image_size?")
    with torch.no_grad():
        for name, tensor in fit.tensors.items():
            fit.wanted[name].copy_(tensor)
    resized = [f"{name} resized from {list(own[name].shape)}" for name in fit.tensors if name in own and own[name].shape != fit.tensors[name].shape]
    left_out = Counter([_short(name) for name in state if not name.startswith(prefix)] + [f"{prefix}{_short(name)}" for name in fit.left_out])
    named = ", ".join(f"{name} ({count})" for name, count in left_out.items())
    is_said = bool(prefix) or not set(left_out) <= set(classifier_names(module))  # that the classifier is left out goes without saying
    notes = [" > ".join([*containers, f"{prefix}*"])] * bool(prefix) + resized + [f"left out: {named}"] * is_said
    is_mae = any(name.startswith("decoder_") for name in own)
    has_tokens = bool(getattr(module, "num_prefix_tokens", 0))
    return Placed("; ".join(notes), "avg" if is_mae and has_tokens else "auto")


@dataclass(frozen=True, slots=True)
class _Fit:
    wanted: Mapping[str, Tensor]
    """The trunk's tensors in the module."""
    tensors: Mapping[str, Tensor]
    """Those of the file by the same names."""
    left_out: tuple[str, ...]
    faults: tuple[str, ...]


def trunk_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and persistent buffers of a timm model but for its classifier, by name; writing to one writes to the model."""
    heads = tuple(f"{head}." for head in classifier_names(module))
    return {name: tensor for name, tensor in module.state_dict().items() if not name.startswith(heads)}


def _best_fit(module: nn.Module, own: Mapping[str, Tensor]) -> _Fit:
    """As it stands, or where that does not fit, as timm's own filter of the model's family converts it."""
    plain = _fit(module, own)
    convert = getattr(sys.modules[type(module).__module__], "checkpoint_filter_fn", None)
    if not plain.faults or convert is None:
        return plain
    try:
        converted = _fit(module, convert(dict(own), module))
    except (KeyError, RuntimeError, AttributeError, ValueError, IndexError, AssertionError, TypeError):
        return plain  # a filter that meets what it was not written for
    return plain if converted.faults else converted


def _fit(module: nn.Module, own: Mapping[str, Tensor]) -> _Fit:
    wanted = trunk_tensors(module)
    heads = (*(f"{name}." for name in classifier_names(module)), *_NOT_TRUNK)
    left_out = tuple(name for name in own if name not in wanted and name.startswith(heads))
    given = {name: tensor for name, tensor in own.items() if name not in left_out}
    missing = [name for name in wanted if name not in given and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in given if name not in wanted]
    clashes = [(name, tensor.shape, wanted[name].shape) for name, tensor in given.items() if name in wanted and wanted[name].shape != tensor.shape]
    misshapen = [f"{name} {list(came)} instead of {list(due)}" for name, came, due in clashes]
    faults = tuple(
        f"{what}: {some(names, most=_SHOWN)}" for what, names in (("missing", missing), ("unexpected", unexpected), ("misshapen", misshapen)) if names
    )
    return _Fit(wanted, given, left_out, faults)


def _prefix_of(module: nn.Module, state: Mapping[str, Tensor]) -> str:
    """The prefix below which most of the trunk's names stand; the encoder that learned by gradients where there is a momentum one too."""
    wanted = trunk_tensors(module).keys()
    counts: Counter[str] = Counter()
    for name in state:
        parts = name.split(".")
        for i in range(min(4, len(parts))):
            if ".".join(parts[i:]) in wanted:
                counts["".join(f"{part}." for part in parts[:i])] += 1
    if not counts:
        return "module." if all(name.startswith("module.") for name in state) else ""
    most = max(counts.values())
    whole = [prefix for prefix in counts if 2 * counts[prefix] > most]  # an encoder that lacks a tensor is still the one that is meant
    return max(whole, key=lambda prefix: (not any(word in prefix for word in _MOMENTUM), counts[prefix], -len(prefix)))


def _check_heads(module: nn.Module, prefix: str, own: Mapping[str, Tensor], path: Path) -> None:
    blocks = getattr(module, "blocks", None)
    heads = getattr(getattr(blocks[0], "attn", None), "num_heads", None) if isinstance(blocks, nn.Sequential) and len(blocks) else None
    if prefix.endswith("base_encoder.") and "pos_embed" in own and (getattr(module, "embed_dim", None), heads) == _MOCO_V3_SMALL:
        raise WeightsError(
            f"weights {path.name} must be for a network with as many attention heads: MoCo v3's ViT-S has 12, timm's has 6, so that its tensors fit and "
            "compute something else; take MoCo v3's ViT-B or ResNet-50"
        )


def _content_of(path: Path) -> object:
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        with torch.serialization.safe_globals([argparse.Namespace]):  # where DINO and MAE keep their options: a plain record
            return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError, ValueError, AttributeError, KeyError) as error:
        raise WeightsError(
            f"weights {path.name} must be a safetensors file or a state dict of tensors alone, it cannot be read as either ({type(error).__name__}); "
            "save it again with safetensors.torch.save_file(model.state_dict(), path)"
        ) from error


def _unpacked(content: object, path: Path) -> tuple[list[str], dict[str, Tensor]]:
    """The keys that were opened, and the tensors by name."""
    opened: list[str] = []
    while isinstance(content, Mapping):
        key = next((key for key in CONTAINERS if isinstance(content.get(key), Mapping)), None)
        if key is None:
            break
        opened.append(key)
        content = cast(Mapping[str, Any], content)[key]
    if not isinstance(content, Mapping) or not content or not all(isinstance(value, Tensor) for value in content.values()):
        raise WeightsError(f"weights {path.name} must map names to tensors; save it again with safetensors.torch.save_file(model.state_dict(), path)")
    return opened, dict(cast(Mapping[str, Tensor], content))


def _short(name: str) -> str:
    """The words of a name that say which part it is of: `module.queue` -> `module.queue`, `module.encoder_k.conv1.weight` -> `module.encoder_k`."""
    parts = name.split(".")
    return ".".join(parts[:2] if parts[0] == "module" else parts[:1])
