"""A phase of training: what is frozen, how fast it learns and when it ends.

A recipe has one or several, one after the other.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

Strategy = Literal["single", "lp_ft", "gradual"]
Number = Annotated[float, Field(strict=True)]
"""A number as it stands in a file: neither a text that looks like one nor a switch."""
Epochs = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]
Depth = Annotated[int, Field(ge=-10_000, le=10_000, strict=True)]
"""Of freezing; which depths a network has is known when it is built."""


class Phase(BaseModel):
    """One phase, as `phases:` of a grid file gives it. What it leaves out is the recipe's."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: Epochs = Field(
        description="passes over train; with until: plateau the most that it takes"
    )
    freeze_depth: Literal["all"] | Depth | None = Field(
        None, description="leading frozen units; null = the recipe's"
    )
    head_lr: Number | None = Field(
        None, gt=0, description="peak learning rate of the head; null = the recipe's"
    )
    lr_ratio: Number | None = Field(
        None, gt=0, description="LR of the trunk / LR of the head; null = the recipe's"
    )
    until: Literal["epochs", "plateau"] = Field(
        "epochs",
        description="epochs: it takes them all | "
        "plateau: it ends after `patience` epochs without a better select_by",
    )
    patience: Epochs | None = Field(None, description="of until: plateau; null = the recipe's")

    # patience without a plateau would be ignored in silence
    @model_validator(mode="after")
    def _patience_is_for_a_plateau(self) -> Self:
        if self.patience is not None and self.until == "epochs":
            raise PydanticCustomError(
                "patience", "must be a phase with until: plateau where it has patience"
            )
        return self

    def __str__(self) -> str:
        """Short and one to one, for the name of an arm: `4xall(head_lr=0.01)`."""
        # Names of arms are keys of reports and of MLflow runs: this spelling cannot change.
        text = str(self.epochs)
        if self.freeze_depth is not None:
            text += f"x{self.freeze_depth}"
        settings = []
        if self.head_lr is not None:
            settings.append(f"head_lr={self.head_lr:g}")
        if self.lr_ratio is not None:
            settings.append(f"lr_ratio={self.lr_ratio:g}")
        if self.until == "plateau":
            # nothing behind the sign means the recipe's own patience
            patience = ""
            if self.patience is not None:
                patience = str(self.patience)
            settings.append(f"plateau={patience}")
        if settings:
            text += f"({','.join(settings)})"
        return text
