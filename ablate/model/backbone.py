"""Backbones by name: any timm classification model, its preprocessing, its order of calls."""

from __future__ import annotations

import difflib
from functools import lru_cache
from typing import Any, Literal, cast

import timm
import torch
from timm.models import (
    get_pretrained_cfg,
    is_model,
    list_models,
    list_pretrained,
    split_model_name_tag,
)
from torch import nn

from ablate.errors import SpecError, first_line
from ablate.model.backbone_facts import ImageSize, Preprocessing

Pooling = Literal["auto", "avg", "max", "avgmax", "token"]
# what timm can be asked for; "auto" leaves the pooling that the backbone has
POOLINGS = ("avg", "max", "avgmax", "token")
_PROBE_CLASSES = 7
"""Classes of the network that `run_order` traces; the order does not depend on it."""


def preprocessing_of(backbone: str, *, image_size: ImageSize) -> Preprocessing:
    """Return the preprocessing of a backbone at `image_size` pixels.

    "auto" is the size that it was pretrained at. Raises SpecError for an unknown backbone.
    """
    cfg = pretrained_cfg_of(backbone)
    return Preprocessing(
        mean=_rgb(cfg.mean),
        std=_rgb(cfg.std),
        image_size=resolve_image_size(backbone, image_size),
        crop_pct=float(cfg.crop_pct),
        interpolation=str(cfg.interpolation),
    )


def resolve_image_size(backbone: str, image_size: ImageSize) -> int:
    """Return the side in pixels. Raises SpecError for an unknown backbone or a size below 1."""
    native = int(pretrained_cfg_of(backbone).input_size[1])
    if image_size == "auto":
        return native
    if image_size < 1:
        raise SpecError(
            f"image_size must be auto or an int of at least 1 pixel, got {image_size}; "
            f"{backbone} was pretrained at {native}"
        )
    return image_size


def pretrained_cfg_of(backbone: str) -> Any:
    """Return timm's `PretrainedCfg` of a backbone.

    Raises SpecError for an unknown backbone, naming the nearest ones.
    """
    # "resnet18.a1_in1k" -> ("resnet18", "a1_in1k"); the tag names a set of weights
    architecture, tag = split_model_name_tag(backbone)
    # a colon is timm's scheme of a source ("hf-hub:user/model"): no name of its registry
    if not is_model(architecture) or ":" in backbone:
        # 0.5: below it the nearest of timm's 1,000 names have nothing in common with this one
        near = difflib.get_close_matches(architecture, list_models(), n=3, cutoff=0.5)
        raise SpecError(
            f"backbone must be the name of a timm classification model, got {backbone!r}"
            f"{_nearest(near)}"
        )
    try:
        return get_pretrained_cfg(backbone)
    except RuntimeError:
        tags = [name.split(".", 1)[1] for name in list_pretrained(f"{architecture}.*")]
        # 0.0: an architecture has a handful of tags, and even a distant one is worth naming
        near = difflib.get_close_matches(tag, tags, n=3, cutoff=0.0)
        raise SpecError(
            f"backbone {architecture} must carry a pretrained tag that timm knows, got {tag!r}"
            f"{_nearest(near)}"
        ) from None


def create_backbone(
    backbone: str,
    *,
    n_classes: int,
    image_size: ImageSize,
    drop_path: float = 0.0,
    pretrained: bool = False,
) -> nn.Module:
    """Return the timm model with a fresh head.

    Weights are random, from torch's global generator, unless `pretrained` asks the timm hub.
    `drop_path` is timm's `drop_path_rate`, in [0, 1): that of the last residual branch; 0 leaves it
    as the backbone has it. Raises SpecError for an unknown backbone and for one that takes no such
    rate. Whether the backbone takes images of such a size, `run_order` finds out.
    """
    cfg = pretrained_cfg_of(backbone)
    side = resolve_image_size(backbone, image_size)
    # timm's sizes are (channels, height, width)
    native = int(cfg.input_size[1])
    arguments: dict[str, Any] = {}
    # only position embeddings fix the size; timm's convolutional networks refuse `img_size`
    if cfg.fixed_input_size and side != native:
        arguments["img_size"] = side
    if drop_path > 0:
        arguments["drop_path_rate"] = drop_path
    try:
        module = timm.create_model(
            backbone, pretrained=pretrained, num_classes=n_classes, **arguments
        )
    except TypeError as error:
        # timm hands the rate to the architecture's class, which may not know it
        if "drop_path_rate" not in str(error):
            raise
        raise SpecError(
            f"drop_path must be 0 for {backbone}, which has no residual branches that timm can "
            f"leave out; got {drop_path:g}"
        ) from None
    return cast(nn.Module, module)


def classifier_names(module: nn.Module) -> tuple[str, ...]:
    """Return the names of the classifier's modules; together they are the head.

    There is one, or two for distilled transformers. Raises SpecError where timm names none.
    """
    cfg = cast(dict[str, Any], module.pretrained_cfg)
    # a name, several (distilled transformers have two heads), or nothing
    declared = cfg.get("classifier") or ()
    if isinstance(declared, str):
        declared = (declared,)
    modules = dict(module.named_modules())
    names = []
    for name in declared:
        # without parameters it is an Identity that stands where a head would be
        if name in modules and next(modules[name].parameters(), None) is not None:
            names.append(name)
    if not names:
        raise SpecError(
            "backbone must be a classification model with a classifier that timm names, "
            f"{cfg.get('architecture')} has none; take another backbone"
        )
    return tuple(names)


def head_names_of(module: nn.Module) -> tuple[str, ...]:
    """Return the names of the classifier's parameters."""
    prefixes = head_prefixes(module)
    return tuple(name for name, _ in module.named_parameters() if name.startswith(prefixes))


def head_prefixes(module: nn.Module) -> tuple[str, ...]:
    """Return what the names of the classifier's parameters and buffers begin with."""
    # parameters of the classifier alone: a norm or an MLP in front of it counts as trunk
    return tuple(f"{name}." for name in classifier_names(module))


def set_pooling(module: nn.Module, pooling: Pooling, *, n_classes: int) -> None:
    """Let a timm model pool its last map or tokens another way, in place; "auto" changes nothing.

    The classifier is made anew, every trunk tensor stays. A ViT made for its class token keeps its
    final norm before the pooling. Raises SpecError where the backbone cannot pool like that.
    """
    if pooling in ("auto", pooling_of(module)):
        return
    try:
        if pooling == "token" and not getattr(module, "num_prefix_tokens", 0):
            raise ValueError("it has no class token")
        cast(Any, module).reset_classifier(n_classes, pooling)
        # some architectures accept the argument and ignore it
        if pooling_of(module) != pooling:
            raise ValueError("it pools in its own way")
    except (AssertionError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        name = cast(dict[str, Any], module.pretrained_cfg).get("architecture")
        raise SpecError(
            f"pooling must be one that {name} has, got {pooling} ({_reason_of(error)}); "
            f"auto is {pooling_of(module)}"
        ) from None


def pooling_of(module: nn.Module) -> str:
    """Return timm's word for how a model pools, e.g. "avg" or "token".

    "its own" where it does not say.
    """
    # older families keep the pooling in their head
    for owner in (module, getattr(module, "head", None)):
        pool = getattr(owner, "global_pool", None)
        # a word, or a module that knows its word
        word = getattr(pool, "pool_type", pool)
        if isinstance(word, str) and word:
            return word
    return "its own"


@lru_cache(maxsize=64)
def run_order(
    backbone: str, image_size: int, pooling: Pooling = "auto", drop_path: float = 0.0
) -> tuple[str, ...]:
    """Return the names of all modules in the order of their calls in one forward pass.

    A module called twice is listed twice. Runs on torch's meta device: no weights, no memory.
    Modules whose weight is read by their parent instead of being called are absent, and an adapter
    around one of those would do nothing. Raises SpecError where the network cannot take images of
    that size.
    """
    try:
        calls, logits = _trace(backbone, image_size, pooling, drop_path)
    # what timm's models raise for a size that does not fit
    except (
        RuntimeError,
        AssertionError,
        ValueError,
        TypeError,
        IndexError,
        ZeroDivisionError,
    ) as error:
        native = resolve_image_size(backbone, "auto")
        raise SpecError(
            f"image_size must suit {backbone}, which was pretrained at {native} and cannot take "
            f"{image_size} ({_reason_of(error)}); try auto"
        ) from error
    # a network of several outputs, or of a map of them, is none for classification
    if not isinstance(logits, torch.Tensor) or tuple(logits.shape) != (2, _PROBE_CLASSES):
        raise SpecError(
            f"backbone must turn an image into one row of logits, {backbone} does not; "
            "take another backbone"
        )
    # the network itself is called first, and has no name
    return tuple(filter(None, calls))


def _trace(
    backbone: str, image_size: int, pooling: Pooling, drop_path: float
) -> tuple[list[str], object]:
    """Names of the modules in the order of their calls, and what the network returns."""
    calls: list[str] = []
    with torch.device("meta"), torch.no_grad():
        module = create_backbone(
            backbone, n_classes=_PROBE_CLASSES, image_size=image_size, drop_path=drop_path
        )
        module.eval()
        set_pooling(module, pooling, n_classes=_PROBE_CLASSES)
        for name, child in module.named_modules():
            # `name=name` binds now; a plain closure would see the last name of the loop
            child.register_forward_pre_hook(lambda _m, _inputs, name=name: calls.append(name))
        # two images, so that a network that merges rows shows in the shape of its output
        logits = module(torch.empty(2, 3, image_size, image_size))
    return calls, logits


def _rgb(values: tuple[float, ...]) -> tuple[float, float, float]:
    red, green, blue = map(float, values)
    return red, green, blue


def _nearest(names: list[str]) -> str:
    if not names:
        return ""
    return f"; nearest: {', '.join(names)}"


def _reason_of(error: BaseException) -> str:
    return first_line(error) or type(error).__name__
