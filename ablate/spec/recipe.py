"""The recipe: everything that decides how one network is trained, except its data and its seed. Each field can be an axis."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

AdapterKind = Literal["none", "lora", "dora", "ia3", "ssf", "bottleneck", "adaptformer", "vpt", "bitfit", "norm_tuning"]
Level = str | int | float | bool | None | tuple[str, ...]
"""One value of an axis."""


class Recipe(BaseModel):
    """How one network is fine-tuned. Frozen and hashable; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    backbone: str = Field("tf_efficientnet_lite0", description="name of a timm classification model")
    weights: str = Field(
        "auto",
        description="auto: bundled, else the timm hub | hub | torchvision | none: random | path of a file (safetensors, checkpoint) below the working folder",
    )
    freeze_depth: Literal["all"] | Annotated[int, Field(strict=True)] = Field(
        "all", description="leading frozen units: all = linear probe, 0 = full fine-tuning, -1 = the last unit is free"
    )
    head_lr: float = Field(1e-3, gt=0, description="peak learning rate of the head")
    lr_ratio: float = Field(0.1, gt=0, description="LR of the trunk and its adapters / LR of the head")
    optimizer: Literal["adamw", "sgd"] = Field("adamw", description="sgd has Nesterov's momentum")
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd")
    weight_decay: float = Field(0.01, ge=0, description="on parameters with two or more dimensions; norms and biases have none")
    schedule: Literal["cosine", "constant"] = Field("cosine", description="of the LR after the warm-up; cosine would reach 0 after the last step")
    warmup: float = Field(0.1, ge=0, lt=1, description="share of all steps in which the LR rises linearly from 0")
    epochs: int = Field(6, ge=1, strict=True, description="passes over train; the best one by select_by is kept")
    batch_size: int = Field(32, ge=1, strict=True, description="images per optimizer step")
    patience: Annotated[int, Field(ge=1, strict=True)] | None = Field(None, description="stop after this many epochs without a better select_by; null = never")
    augment: Literal["none", "light", "medium", "strong"] = Field("none", description="how train images are varied; see below")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of the uniform distribution in the target")
    class_weights: Literal["none", "balanced"] = Field("none", description="balanced: N / (n_classes * n_c) on the loss")
    batch_norm: Literal["frozen", "affine", "adapt", "train"] = Field(
        "train", description="BatchNorm of the free units. frozen: all fixed | affine: statistics fixed | adapt: affine fixed | train: nothing fixed"
    )
    pooling: Literal["auto", "avg", "max", "avgmax", "token"] = Field(
        "auto", description="how the trunk's last map or tokens become one vector; auto: the backbone's own, avg for a file of MAE weights"
    )
    adapter: Literal["auto"] | AdapterKind = Field(
        "auto", description="what is put into the frozen units; auto: lora where lora_rank > 0, else none; see below"
    )
    lora_rank: int = Field(0, ge=0, strict=True, description="rank of LoRA and DoRA; 0 = none")
    lora_alpha: float | None = Field(None, gt=0, description="scaling = lora_alpha / lora_rank; null = lora_rank, a scaling of 1")
    lora_dropout: float = Field(0.0, ge=0, lt=1, description="dropout inside the adapters of lora, dora, bottleneck, adaptformer, vpt")
    lora_targets: Literal["auto"] | tuple[str, ...] = Field(
        "auto", description="for lora, dora, ia3, ssf. auto: every layer of the adapted units that can | list of name patterns with * wildcards"
    )
    lora_units: Literal["all"] | Annotated[int, Field(ge=1, strict=True)] = Field(
        "all", description="how many frozen units carry adapters, counted back from the freeze boundary"
    )
    bottleneck_width: int = Field(64, ge=1, strict=True, description="of bottleneck and adaptformer: width of the layer in the middle")
    prompt_tokens: int = Field(10, ge=1, strict=True, description="of vpt: learned tokens in each adapted block")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field("auto", description="auto: the fastest that a probe of the device finds; recorded in the run")

    @field_validator("weights")
    @classmethod
    def _stays_below_the_working_folder(cls, weights: str) -> str:
        path = PurePath(weights)
        if path.is_absolute() or ".." in path.parts:
            raise PydanticCustomError("path", "must be auto, hub, torchvision, none or a path below the working folder, without '..'")
        return weights

    @property
    def adapter_kind(self) -> AdapterKind:
        """The kind of adapter that the recipe asks for, with `auto` resolved."""
        if self.adapter == "auto":
            return "lora" if self.lora_rank > 0 else "none"
        return self.adapter
