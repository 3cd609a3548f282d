"""The recipe: how one network is trained, whatever its data and seed. Each field can be an axis."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from ablate.recipe.field_types import (
    MAX_PHASES,
    AdapterKind,
    Images,
    Level,
    WeightsByClass,
    WeightsInOrder,
    Width,
)
from ablate.recipe.former_names import with_current_names
from ablate.recipe.optimizers import check_optimizer
from ablate.recipe.paths import FilePath
from ablate.recipe.phase import Depth, Epochs, Number, Phase, Strategy
from ablate.recipe.shown_part import ImageSide, Interpolation, View

__all__ = ["MAX_PHASES", "AdapterKind", "Images", "Level", "Recipe"]


class Recipe(BaseModel):
    """How one network is fine-tuned. Frozen and hashable; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # The order of the fields is the order of the table in docs/grid-files.md.
    backbone: str = Field(
        "tf_efficientnet_lite0", description="name of a timm classification model"
    )
    weights: FilePath = Field(
        "auto",
        description="auto: bundled, else the timm hub | hub | torchvision | more: packages of the "
        "extra more-weights, see below | none: random | path of a file (safetensors, checkpoint) "
        "below the working folder",
    )
    # What is None here, `data` says for all arms: see `DataSpec.shown_to`.
    image_size: Literal["auto"] | ImageSide | None = Field(
        None,
        description="side in pixels that the network sees; auto: the backbone's own; "
        "null: as `data` says",
    )
    view: View | None = Field(
        None,
        description="what the network sees of an image: crop | squash | pad, see `data`; "
        "null: as `data` says",
    )
    crop_share: Number | None = Field(
        None,
        gt=0,
        le=1,
        description="share of the middle square's side that val and test see; null: as `data` "
        "says; whole images (view: squash or pad) take none",
    )
    interpolation: Interpolation | None = Field(
        None, description="how images are resized; null: as the backbone has them"
    )
    freeze_depth: Literal["all"] | Depth = Field(
        "all",
        description="leading frozen units: all = linear probe, 0 = full fine-tuning, "
        "-1 = all but the last",
    )
    head_lr: Number = Field(1e-3, gt=0, description="peak learning rate of the head")
    lr_ratio: Number = Field(
        0.1, gt=0, description="LR of the trunk and its adapters / LR of the head"
    )
    layer_decay: Number = Field(
        1.0,
        gt=0,
        le=1,
        description="unit i below the head (1 is the last) learns at "
        "head_lr * lr_ratio * layer_decay^i; 1 = off",
    )
    # A check of its own, not a Literal: a hundred names would be the error message.
    optimizer: Annotated[str, BeforeValidator(check_optimizer)] = Field(
        "adamw", description="adamw | sgd, with Nesterov's momentum | a name below"
    )
    momentum: Number = Field(
        0.9, ge=0, lt=1, description="of sgd and the optimizers with momentum below"
    )
    weight_decay: Number = Field(
        0.01,
        ge=0,
        description="on parameters with two or more dimensions; norms and biases have none",
    )
    l2_sp: Number = Field(
        0.0,
        ge=0,
        description="L2-SP: penalty l2_sp / 2 * |w - start|^2 on the trunk's weights, "
        "in place of their weight_decay; 0 = off",
    )
    lwf: Number = Field(
        0.0,
        ge=0,
        description="LwF: weight of the distance between the pretrained classifier's outputs, "
        "recorded on the clean images, and what it makes of the trunk now; 0 = off",
    )
    lwf_temperature: Number = Field(
        2.0, gt=0, description="of lwf: logits are divided by it before the softmax"
    )
    co_tuning: Number = Field(
        0.0,
        ge=0,
        description="Co-Tuning: weight of the pretrained classifier's loss, whose targets are the "
        "source classes of an image's class; 0 = off",
    )
    delta: Number = Field(
        0.0,
        ge=0,
        description="DELTA, all channels alike: penalty delta / 2 * |feature maps - those of the "
        "start|^2 of each unit that learns, mean over its places; 0 = off",
    )
    bss: Number = Field(
        0.0,
        ge=0,
        description="BSS: weight of the smallest squared singular values of a batch's features; "
        "0 = off",
    )
    bss_k: Images = Field(1, description="of bss: how many singular values are shrunk")
    clip_norm: Number | None = Field(
        None, gt=0, description="largest norm of all gradients together; null = no clipping"
    )
    drop_path: Number = Field(
        0.0,
        ge=0,
        lt=1,
        description="stochastic depth rate of the last block (timm's drop_path_rate); "
        "0 keeps the backbone's default",
    )
    dropout: Number = Field(
        0.0,
        ge=0,
        lt=1,
        description="dropout rate on the features before the head; 0 = off",
    )
    ema_decay: Number = Field(
        0.0,
        ge=0,
        lt=1,
        description="moving average of the weights: mean * ema_decay + w * (1 - ema_decay) "
        "is scored and kept; 0 = off",
    )
    schedule: Literal["cosine", "constant", "step", "one_cycle"] = Field(
        "cosine", description="of the LR in each phase; see below"
    )
    warmup: Number = Field(
        0.1, ge=0, lt=1, description="share of a phase's steps in which the LR rises to its peak"
    )
    step_every: Number = Field(
        0.3,
        gt=0,
        le=1,
        description="of schedule step: the LR drops whenever this share of a phase's steps has "
        "passed",
    )
    step_factor: Number = Field(
        0.1, gt=0, lt=1, description="of schedule step: LR after a drop / LR before it"
    )
    epochs: Epochs = Field(
        6, description="passes over train, over all phases; the best one by select_by is kept"
    )
    batch_size: Images = Field(32, description="images per optimizer step")
    micro_batch: Images | None = Field(
        None,
        description="images per forward pass; gradients are accumulated over the batch; "
        "null = the whole batch",
    )
    strategy: Strategy = Field(
        "single",
        description="single phase | lp_ft: linear probe first, then freeze_depth | "
        "gradual: one more unit is trained in each phase",
    )
    probe_epochs: Epochs | None = Field(
        None, description="of lp_ft: how many of the `epochs` are the probe's; null = a third"
    )
    # 3 is the least: a probe, one step, and the depth that the recipe asks for.
    n_phases: int = Field(
        3,
        ge=3,
        le=MAX_PHASES,
        strict=True,
        description="of gradual: a probe, then -1, -2, ... and freeze_depth last; "
        "the epochs are divided evenly",
    )
    phases: tuple[Phase, ...] = Field(
        (),
        max_length=MAX_PHASES,
        description="in place of a strategy: a list of phases, see below; they replace epochs",
    )
    patience: Epochs | None = Field(
        None, description="stop after this many epochs without a better select_by; null = never"
    )
    augment: (
        Literal["none", "light", "medium", "strong", "randaugment", "trivialaugment", "augmix"]
        | Annotated[float, Field(ge=0, le=1, strict=True)]
    ) = Field(
        "none",
        description="augmentation of train images: a level, a policy, or a strength from 0 (none) "
        "to 1; see below",
    )
    flip: Literal["auto", "none", "horizontal", "vertical", "both"] = Field(
        "auto",
        description="flips of train images, each with probability 0.5; auto: horizontal where "
        "`augment` is on, none for digits, letters and signs",
    )
    color_jitter: Annotated[Number, Field(ge=0, le=1)] | None = Field(
        None,
        description="range of brightness, contrast and saturation, a tenth of it for the hue; "
        "null: as `augment` sets it",
    )
    erase: Annotated[Number, Field(ge=0, le=1)] | None = Field(
        None, description="probability of an erased patch; null: as `augment` sets it"
    )
    mixup: Number = Field(
        0.0,
        ge=0,
        description="alpha of mixup: images and labels of pairs are blended, "
        "share ~ Beta(alpha, alpha); 0 = off",
    )
    cutmix: Number = Field(
        0.0,
        ge=0,
        description="alpha of cutmix: a box of another image, and its share of the label; "
        "with mixup, each batch is one or the other at random; 0 = off",
    )
    shots: Images | None = Field(
        None,
        description="train images per class, drawn by the seed; 5 shots include the 1 shot; "
        "a class with fewer images gives all; null = all",
    )
    sampler: Literal["shuffle", "balanced", "sqrt"] = Field(
        "shuffle",
        description="shuffle: each image once per epoch | drawn with replacement, balanced: every "
        "class equally often, sqrt: in proportion to the root of its size",
    )
    loss: Literal["cross_entropy", "focal", "bce"] = Field(
        "cross_entropy", description="bce: one class against the rest, summed over the classes"
    )
    focal_gamma: Number = Field(2.0, ge=0, description="of focal loss; 0 is cross-entropy")
    logit_adjustment: Number = Field(
        0.0,
        ge=0,
        description="tau: the loss uses logits + tau * log of the class's share of train; 0 = off",
    )
    label_smoothing: Number = Field(
        0.0, ge=0, lt=1, description="share of the uniform distribution in the target"
    )
    class_weights: Literal["none", "balanced", "effective"] | WeightsInOrder | WeightsByClass = (
        Field(
            "none",
            description="balanced: N / (n_classes * n_c) on the loss | "
            "effective: (1 - beta) / (1 - beta^n_c), mean 1 | list in the order of the classes | "
            "{class: weight}, 1 for the others",
        )
    )
    effective_beta: Number = Field(
        0.999,
        ge=0,
        lt=1,
        description="beta of the effective class weights; 0 = no weights, "
        "towards 1 = inverse frequency",
    )
    classifier: Literal["linear", "logistic", "ridge", "knn"] = Field(
        "linear",
        description="linear: the head is trained | fitted in one go on features of the frozen "
        "trunk, without augmentation: logistic regression, ridge, nearest neighbours",
    )
    classifier_l2: Number = Field(
        1.0,
        gt=0,
        description="penalty of logistic (1 / C) and ridge (alpha), on centred features "
        "of mean variance 1",
    )
    neighbours: Images = Field(
        5, description="of knn: cosine distance, votes weighted by 1 / distance"
    )
    batch_norm: Literal["frozen", "affine", "adapt", "train"] = Field(
        "train",
        description="BatchNorm of the free units. frozen: all fixed | affine: statistics fixed | "
        "adapt: affine fixed | train: nothing fixed",
    )
    pooling: Literal["auto", "avg", "max", "avgmax", "token"] = Field(
        "auto",
        description="how the trunk's last map or tokens become one vector; auto: the backbone's "
        "own, avg for a file of MAE weights",
    )
    adapter: Literal["auto"] | AdapterKind = Field(
        "auto",
        description="what is added to the frozen units; auto: lora where lora_rank > 0, else none; "
        "see below",
    )
    lora_rank: int = Field(
        0, ge=0, le=1_000_000, strict=True, description="rank of LoRA and DoRA; 0 = none"
    )
    lora_alpha: Number | None = Field(
        None, gt=0, description="scaling = lora_alpha / lora_rank; null = lora_rank, a scaling of 1"
    )
    adapter_dropout: Number = Field(
        0.0,
        ge=0,
        lt=1,
        description="dropout inside the adapters of lora, dora, bottleneck, adaptformer, vpt",
    )
    adapter_targets: Literal["auto"] | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        "auto",
        description="of lora, dora, ia3, ssf. auto: every suitable layer of the adapted units | "
        "list of name patterns with * wildcards",
    )
    adapter_units: Literal["all"] | Width = Field(
        "all",
        description="how many frozen units carry adapters, counted back from the freeze boundary",
    )
    bottleneck_width: Width = Field(
        64, description="of bottleneck and adaptformer: width of the layer in the middle"
    )
    prompt_tokens: Width = Field(10, description="of vpt: learned tokens in each adapted block")
    # What auto became is in the trial's facts: a second machine may choose otherwise.
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto",
        description="auto: the fastest in a quick measurement on the device; recorded in the run",
    )

    @model_validator(mode="before")
    @classmethod
    def _takes_former_names(cls, values: Any) -> Any:
        return with_current_names(values)

    @field_validator("weights")
    @classmethod
    def _stays_below_the_working_folder(cls, weights: str) -> str:
        # A grid file from elsewhere must not make trials read any file of the machine.
        path = PurePath(weights)
        if path.is_absolute() or ".." in path.parts:
            raise PydanticCustomError(
                "path",
                "must be auto, hub, torchvision, more, none or a path below the working folder, "
                "without '..'",
            )
        return weights

    @property
    def adapter_kind(self) -> AdapterKind:
        """The kind of adapter that the recipe asks for, with `auto` resolved."""
        if self.adapter == "auto":
            return "lora" if self.lora_rank > 0 else "none"
        return self.adapter

    @property
    def is_fitted(self) -> bool:
        """Whether the classifier is fitted at once: one pass over clean images, and no epochs."""
        return self.classifier != "linear"

    @property
    def scored_as(self) -> Literal["cross_entropy", "focal", "bce"]:
        """The loss that turns logits into probabilities; of a fitted classifier always softmax."""
        if self.is_fitted:
            return "cross_entropy"
        return self.loss
