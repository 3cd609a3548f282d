"""Files of weights, as other people's code leaves them, into the trunk of a timm model.

What is undone: the container (`state_dict`, `model`, `teacher`, ...), the prefix
(`module.encoder_q.` of MoCo v1 and v2, `module.base_encoder.` of MoCo v3, `backbone.` of DINO,
whatever else names the trunk's tensors), and the names and shapes that timm knows how to convert
(position embeddings of another image size, DINOv2, CLIP's image tower). Projectors, predictors,
decoders, momentum encoders, queues are left out and listed. Every trunk tensor must be placed.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ablate.errors import WeightsError, some
from ablate.model.backbone import Pooling, classifier_names, head_prefixes
from ablate.model.weights.read_file import read_tensors, shown
from ablate.model.weights.tensor_values import digest_of_tensors, odd_forms, odd_values

# heads of the pretraining task, as MoCo, SimCLR, BYOL, DINO, iBOT and SwAV name them
_HEADS = (
    "fc.",
    "head.",
    "classifier.",
    "projector.",
    "projection_head.",
    "predictor.",
    "prediction_head.",
    "prototypes.",
    "dino_head.",
    "ibot_head.",
)
_NOT_TRUNK = (*_HEADS, "decoder.", "decoder_", "mask_token", "queue")
"""How names begin that are the pretraining task's own."""
_MOMENTUM = ("encoder_k", "momentum_encoder", "teacher_momentum")
"""What the prefix of an encoder contains that follows another one without gradients."""
_PROJECTING = ("encoder", "backbone", "online", "student", "teacher")
"""What the prefix of a self-supervised encoder contains: its last layer knows no classes."""
_N_LISTED = 5
_N_PARTS_LISTED = 20
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
    """sha256 of the trunk's tensors as they stand in the file, 64 hex digits: the same however the
    file is packed."""


@dataclass(frozen=True, slots=True)
class _Unpacked:
    """A file without its containers and its prefix."""

    containers: Sequence[str]
    state: Mapping[str, Tensor]
    """Every tensor, by its name in the file."""
    prefix: str
    encoder: Mapping[str, Tensor]
    """The tensors below the prefix, by their names without it."""


@dataclass(frozen=True, slots=True)
class _Match:
    """How an encoder's tensors and a trunk's go together."""

    wanted: Mapping[str, Tensor]
    """The trunk's tensors in the module."""
    tensors: Mapping[str, Tensor]
    """Those of the file by the same names."""
    left_out: Sequence[str]
    """Names, in the order of the file."""
    faults: Sequence[str]


def place_file(module: nn.Module, path: Path, *, backbone: str) -> Placed:
    """Copy a file's trunk into `module`. Only tensors are read, nothing in the file is run.

    Raises WeightsError, having changed nothing, where the file cannot be read or not every trunk
    tensor is placed, naming what is missing, left or misshapen.
    """
    file = _unpack(module, path)
    encoder = file.encoder
    _check_heads(module, file.prefix, encoder, path)
    left_out = set(_left_out(module, encoder))
    trunk = {}
    for name, tensor in encoder.items():
        if name not in left_out:
            trunk[name] = tensor
    # before timm's filter converts them, which would raise anything
    _refuse_any(path, list(odd_forms(trunk)))
    match = _best_match(module, encoder)
    if match.faults:
        raise WeightsError(
            f"weights {shown(path.name)} must fit the trunk of {backbone}; "
            f"{'; '.join(match.faults)}. Is it another backbone, or another image_size?"
        )
    _refuse_any(path, list(odd_values(match.tensors, match.wanted)))
    # from here on nothing can fail: a module is filled whole or not touched
    with torch.no_grad():
        for name, tensor in match.tensors.items():
            match.wanted[name].copy_(tensor)
    return Placed(_notes(module, file, match), _pooling(module, encoder), digest_of_tensors(trunk))


def encoder_tensors(module: nn.Module, path: Path) -> Mapping[str, Tensor]:
    """Return what a file holds of a network with its classifier, by timm's names where it has them.

    Nothing where the file is of a contrastive pretraining: what stands in the classifier's place
    there is a projection. Raises WeightsError where it cannot be read.
    """
    file = _unpack(module, path)
    if _has_word(file.prefix, _PROJECTING):
        return {}
    return file.encoder


def trunk_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and persistent buffers of a timm model but for its classifier.

    By name; writing to one writes to the model.
    """
    heads = head_prefixes(module)
    tensors = {}
    for name, tensor in module.state_dict().items():
        if not name.startswith(heads):
            tensors[name] = tensor
    return tensors


def _unpack(module: nn.Module, path: Path) -> _Unpacked:
    containers, state = read_tensors(path)
    prefix = _prefix_of(module, state)
    encoder = {}
    for name, tensor in state.items():
        if name.startswith(prefix):
            encoder[name.removeprefix(prefix)] = tensor
    return _Unpacked(containers, state, prefix, encoder)


def _has_word(prefix: str, words: Iterable[str]) -> bool:
    return any(map(prefix.__contains__, words))


def _pooling(module: nn.Module, encoder: Mapping[str, Tensor]) -> Pooling:
    """What suits the weights: MAE's class token has no loss of its own (He et al. 2022)."""
    # only a masked autoencoder has a decoder beside its encoder
    is_mae = any(name.startswith("decoder_") for name in encoder)
    has_tokens = bool(getattr(module, "num_prefix_tokens", 0))
    return "avg" if is_mae and has_tokens else "auto"


def _refuse_any(path: Path, faults: Sequence[str]) -> None:
    if not faults:
        return
    listed = "; ".join(faults[:_N_LISTED])
    if len(faults) > _N_LISTED:
        listed += f" and {len(faults) - _N_LISTED} more"
    raise WeightsError(
        f"weights {shown(path.name)} must hold the trunk's tensors as finite numbers in floating "
        f"point, dense and in memory; {listed}. "
        "Save the trained network's state dict again, in float32"
    )


def _notes(module: nn.Module, file: _Unpacked, match: _Match) -> str:
    """What was undone and left out; that the classifier is left out goes without saying."""
    notes = []
    if file.prefix:
        notes.append(" > ".join([*file.containers, f"{file.prefix}*"]))
    for name, tensor in match.tensors.items():
        before = file.encoder.get(name)
        if before is not None and before.shape != tensor.shape:
            # a position embedding for another number of patches
            notes.append(f"{name} resized from {list(before.shape)}")
    # parts of the network -> how many of their tensors were left out
    counts: Counter[str] = Counter()
    for name in file.state:
        if not name.startswith(file.prefix):
            counts[_part_of(name)] += 1
    for name in match.left_out:
        counts[f"{file.prefix}{_part_of(name)}"] += 1
    if file.prefix or not set(counts) <= set(classifier_names(module)):
        parts = []
        for name, count in counts.items():
            parts.append(f"{shown(name)} ({count})")
        notes.append(f"left out: {some(parts, most=_N_PARTS_LISTED)}")
    return "; ".join(notes)


def _best_match(module: nn.Module, encoder: Mapping[str, Tensor]) -> _Match:
    """As it stands, or else as timm's own filter of the model's family converts it."""
    plain = _match(module, encoder)
    # where timm's families keep it; `timm.models.load_checkpoint` finds it likewise
    convert = getattr(sys.modules[type(module).__module__], "checkpoint_filter_fn", None)
    if not plain.faults or convert is None:
        return plain
    try:
        converted = _match(module, convert(dict(encoder), module))
    except Exception:  # a filter that meets what it was not written for raises anything
        return plain
    # where neither fits, the file's own names say more than converted ones
    return plain if converted.faults else converted


def _match(module: nn.Module, encoder: Mapping[str, Tensor]) -> _Match:
    wanted = trunk_tensors(module)
    left_out = _left_out(module, encoder)
    tensors = dict(encoder)
    for name in left_out:
        del tensors[name]
    missing = []
    for name in wanted:
        # old files lack a BatchNorm's count of batches; it computes the same without
        if name not in tensors and not name.endswith("num_batches_tracked"):
            missing.append(name)
    faults = {
        "missing": missing,
        "unexpected": [shown(name) for name in tensors if name not in wanted],
        "misshapen": _misshapen(tensors, wanted),
    }
    texts = []
    for kind, names in faults.items():
        if names:
            texts.append(f"{kind}: {some(names, most=_N_LISTED)}")
    return _Match(wanted, tensors, left_out, texts)


def _misshapen(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    """The tensors whose shape is another than the trunk's, with both."""
    texts = []
    for name, tensor in tensors.items():
        if name in wanted and wanted[name].shape != tensor.shape:
            texts.append(f"{name} {list(tensor.shape)} instead of {list(wanted[name].shape)}")
    return texts


def _left_out(module: nn.Module, encoder: Mapping[str, Tensor]) -> list[str]:
    """Names that are the pretraining task's own, and none of the trunk's, in the file's order."""
    wanted = trunk_tensors(module)
    heads = (*head_prefixes(module), *_NOT_TRUNK)
    # a trunk can have such a name itself: ConvNeXt's `head.norm` stands before its classifier
    return [name for name in encoder if name.startswith(heads) and name not in wanted]


def _prefix_of(module: nn.Module, state: Mapping[str, Tensor]) -> str:
    """The prefix below which most of the trunk's names stand.

    Where there is a momentum encoder too, that of the encoder that learned by gradients.
    """
    wanted = trunk_tensors(module).keys()
    counts: Counter[str] = Counter()
    for name in state:
        parts = name.split(".")
        # no encoder is wrapped more deeply than in three names
        for i in range(min(4, len(parts))):
            if ".".join(parts[i:]) in wanted:
                # with its last dot, so that it can be cut off; empty where nothing stands before
                counts[name.removesuffix(".".join(parts[i:]))] += 1
    if not counts:
        # a wrapper for several GPUs around names that timm's filter may know
        is_wrapped = all(name.startswith("module.") for name in state)
        return "module." if is_wrapped else ""
    most = max(counts.values())
    # an encoder that lacks a tensor is still the one that is meant
    encoders = [prefix for prefix in counts if 2 * counts[prefix] > most]

    def preference(prefix: str) -> tuple[bool, int, int]:
        # a student before its momentum copy, then the fuller one, then the shorter prefix
        is_momentum = _has_word(prefix, _MOMENTUM)
        return (not is_momentum, counts[prefix], -len(prefix))

    return max(encoders, key=preference)


def _check_heads(module: nn.Module, prefix: str, encoder: Mapping[str, Tensor], path: Path) -> None:
    """Refuse MoCo v3's ViT-S: its tensors fit timm's, which has another number of heads."""
    blocks = getattr(module, "blocks", None)
    n_heads = None
    if isinstance(blocks, nn.Sequential) and len(blocks):
        n_heads = getattr(getattr(blocks[0], "attn", None), "num_heads", None)
    is_small = (getattr(module, "embed_dim", None), n_heads) == _MOCO_V3_SMALL
    if is_small and prefix.endswith("base_encoder.") and "pos_embed" in encoder:
        raise WeightsError(
            f"weights {path.name} must be for a network with as many attention heads: "
            "MoCo v3's ViT-S has 12, timm's has 6, so that its tensors fit and "
            "compute something else; take MoCo v3's ViT-B or ResNet-50"
        )


def _part_of(name: str) -> str:
    """The words of a name that say which part it is of.

    `module.queue` -> `module.queue`, `module.encoder_k.conv1.weight` -> `module.encoder_k`,
    `fc.weight` -> `fc`.
    """
    # "module" is the wrapper for several GPUs and says nothing of the part
    parts = name.split(".")
    n_words = 2 if parts[0] == "module" else 1
    return ".".join(parts[:n_words])
