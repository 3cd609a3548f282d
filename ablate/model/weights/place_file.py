"""Files of weights, as other people's code leaves them, into the trunk of a timm model.

What is undone: the container (`state_dict`, `model`, `teacher`, ...), the prefix (`module.encoder_q.` of MoCo v1 and v2, `module.base_encoder.` of MoCo v3,
`backbone.` of DINO, whatever else names the trunk's tensors), and the names and shapes that timm knows how to convert (position embeddings of another image
size, DINOv2, CLIP's image tower). Projectors, predictors, decoders, momentum encoders, queues are left out and listed. Every trunk tensor must be placed.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ablate.errors import WeightsError, some
from ablate.model.backbone import Pooling, classifier_names
from ablate.model.weights.read_file import read_tensors, shown
from ablate.model.weights.tensor_values import digest_of_tensors, odd_forms, odd_values

_NOT_TRUNK = (
    *(
        "fc.",
        "head.",
        "classifier.",
        "projector.",
        "projection_head.",
        "predictor.",
        "prediction_head.",
        "prototypes.",
    ),
    *("decoder.", "decoder_", "mask_token", "dino_head.", "ibot_head.", "queue"),
)
"""How names begin that are the pretraining task's own."""
_MOMENTUM = ("encoder_k", "momentum_encoder", "teacher_momentum")
_SHOWN = 5
_PARTS_SHOWN = 20
"""Parts that a file holds besides the trunk, as many as are named."""
_MOCO_V3_SMALL = (384, 6)
"""Width and heads of timm's ViT-S; MoCo v3's has 12 heads, and the tensors fit all the same."""


@dataclass(frozen=True, slots=True)
class Placed:
    """What a file turned out to hold."""

    notes: str
    """What was undone and left out; empty for a plain state dict."""
    pooling: Pooling
    """What suits these weights; auto: whatever the backbone does."""
    content: str
    """sha256 of the trunk's tensors as they stand in the file, 64 hex digits: the same however the file is packed."""


def place_file(module: nn.Module, path: Path, *, backbone: str) -> Placed:
    """Copy a file's trunk into `module`. Only tensors are read, nothing in the file is run.

    Raises WeightsError, having changed nothing, where the file cannot be read or not every trunk tensor is placed, naming what is missing, left or misshapen.
    """
    containers, state = read_tensors(path)
    prefix = _prefix_of(module, state)
    own = {
        name.removeprefix(prefix): tensor
        for name, tensor in state.items()
        if name.startswith(prefix)
    }
    _check_heads(module, prefix, own, path)
    left_out = _left_out(module, own)
    own_trunk = {name: tensor for name, tensor in own.items() if name not in left_out}
    _refuse_any(path, list(odd_forms(own_trunk)))
    fit = _best_fit(module, own)
    if fit.faults:
        raise WeightsError(
            f"weights {shown(path.name)} must fit the trunk of {backbone}; {'; '.join(fit.faults)}. Is it another backbone, or another image_size?"
        )
    _refuse_any(path, list(odd_values(fit.tensors, fit.wanted)))
    with torch.no_grad():
        for name, tensor in fit.tensors.items():
            fit.wanted[name].copy_(tensor)
    notes = _notes(module, state, containers=containers, prefix=prefix, fit=fit)
    is_mae = any(name.startswith("decoder_") for name in own)
    has_tokens = bool(getattr(module, "num_prefix_tokens", 0))
    return Placed(notes, "avg" if is_mae and has_tokens else "auto", digest_of_tensors(own_trunk))


def _refuse_any(path: Path, faults: list[str]) -> None:
    if faults:
        raise WeightsError(
            f"weights {shown(path.name)} must hold the trunk's tensors as finite numbers in floating point, dense and in memory; "
            f"{'; '.join(faults[:_SHOWN])}{f' and {len(faults) - _SHOWN} more' if len(faults) > _SHOWN else ''}. "
            "Save the trained network's state dict again, in float32"
        )


def _notes(
    module: nn.Module, state: Mapping[str, Tensor], *, containers: list[str], prefix: str, fit: _Fit
) -> str:
    """What was undone and left out; that the classifier is left out goes without saying."""
    own = {
        name.removeprefix(prefix): tensor
        for name, tensor in state.items()
        if name.startswith(prefix)
    }
    resized = [
        f"{name} resized from {list(own[name].shape)}"
        for name in fit.tensors
        if name in own and own[name].shape != fit.tensors[name].shape
    ]
    strangers = [_short(name) for name in state if not name.startswith(prefix)]
    left_out = Counter([*strangers, *(f"{prefix}{_short(name)}" for name in fit.left_out)])
    counts = [f"{shown(name)} ({count})" for name, count in left_out.items()]
    is_said = bool(prefix) or not set(left_out) <= set(classifier_names(module))
    opened = [" > ".join([*containers, f"{prefix}*"])] if prefix else []
    named = [f"left out: {some(counts, most=_PARTS_SHOWN)}"] if is_said else []
    return "; ".join([*opened, *resized, *named])


@dataclass(frozen=True, slots=True)
class _Fit:
    wanted: Mapping[str, Tensor]
    """The trunk's tensors in the module."""
    tensors: Mapping[str, Tensor]
    """Those of the file by the same names."""
    left_out: Mapping[str, None]
    """Names, in the order of the file."""
    faults: tuple[str, ...]


def trunk_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and persistent buffers of a timm model but for its classifier, by name; writing to one writes to the model."""
    heads = tuple(f"{head}." for head in classifier_names(module))
    return {
        name: tensor for name, tensor in module.state_dict().items() if not name.startswith(heads)
    }


def _best_fit(module: nn.Module, own: Mapping[str, Tensor]) -> _Fit:
    """As it stands, or where that does not fit, as timm's own filter of the model's family converts it."""
    plain = _fit(module, own)
    convert = getattr(sys.modules[type(module).__module__], "checkpoint_filter_fn", None)
    if not plain.faults or convert is None:
        return plain
    try:
        converted = _fit(module, convert(dict(own), module))
    except Exception:  # a filter that meets what it was not written for raises anything
        return plain
    return plain if converted.faults else converted


def _fit(module: nn.Module, own: Mapping[str, Tensor]) -> _Fit:
    wanted = trunk_tensors(module)
    left_out = _left_out(module, own)
    given = {name: tensor for name, tensor in own.items() if name not in left_out}
    missing = [
        name for name in wanted if name not in given and not name.endswith("num_batches_tracked")
    ]
    unexpected = [shown(name) for name in given if name not in wanted]
    clashes = [
        (name, tensor.shape, wanted[name].shape)
        for name, tensor in given.items()
        if name in wanted and wanted[name].shape != tensor.shape
    ]
    misshapen = [f"{name} {list(came)} instead of {list(due)}" for name, came, due in clashes]
    faults = tuple(
        f"{what}: {some(names, most=_SHOWN)}"
        for what, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("misshapen", misshapen),
        )
        if names
    )
    return _Fit(wanted, given, left_out, faults)


def _left_out(module: nn.Module, own: Mapping[str, Tensor]) -> dict[str, None]:
    """Names that are the pretraining task's own, and none of the trunk's, in the order of the file."""
    wanted = trunk_tensors(module)
    heads = (*(f"{name}." for name in classifier_names(module)), *_NOT_TRUNK)
    return {name: None for name in own if name.startswith(heads) and name not in wanted}


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
    whole = [
        prefix for prefix in counts if 2 * counts[prefix] > most
    ]  # an encoder that lacks a tensor is still the one that is meant
    return max(
        whole,
        key=lambda prefix: (
            not any(word in prefix for word in _MOMENTUM),
            counts[prefix],
            -len(prefix),
        ),
    )


def _check_heads(module: nn.Module, prefix: str, own: Mapping[str, Tensor], path: Path) -> None:
    blocks = getattr(module, "blocks", None)
    heads = (
        getattr(getattr(blocks[0], "attn", None), "num_heads", None)
        if isinstance(blocks, nn.Sequential) and len(blocks)
        else None
    )
    if (
        prefix.endswith("base_encoder.")
        and "pos_embed" in own
        and (getattr(module, "embed_dim", None), heads) == _MOCO_V3_SMALL
    ):
        raise WeightsError(
            f"weights {path.name} must be for a network with as many attention heads: MoCo v3's ViT-S has 12, timm's has 6, so that its tensors fit and "
            "compute something else; take MoCo v3's ViT-B or ResNet-50"
        )


def _short(name: str) -> str:
    """The words of a name that say which part it is of: `module.queue` -> `module.queue`, `module.encoder_k.conv1.weight` -> `module.encoder_k`."""
    parts = name.split(".")
    return ".".join(parts[:2] if parts[0] == "module" else parts[:1])
