"""The columns of every DataFrame that the library gives. The docs list them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Type = Literal["text", "whole number", "number", "yes or no"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column, or a family of them: `<axis>`, `val/<metric>`."""

    name: str
    type: Type
    """A number may be missing (NaN); the other types never are."""
    meaning: str

    def describes(self, name: str, *, axes: Sequence[str] = ()) -> bool:
        """Whether a frame's column is this one, in a study with these axes."""
        # An axis may have any name, so a pattern cannot tell.
        if self.name == "<axis>":
            return name in axes
        # re.escape leaves `<` and `>` as they are, so families are still found.
        pattern = re.sub(r"<\w+>", "(.+)", re.escape(self.name))
        return re.fullmatch(pattern, name) is not None


_ARM = Column("arm", "text", "name of the arm, as reports and `ablate plan` print it")
_ARM_ID = Column("arm_id", "text", "digest of the arm's recipe and data")
_AXIS = Column("<axis>", "text", "level of each axis of the grid, as it is written in its file")
_P = Column("p/<class>", "number", "probability of the class, from 0 to 1")

TRIALS = (
    _ARM,
    _ARM_ID,
    Column("trial_id", "text", "digest of the trial; empty where it was not run"),
    Column("seed", "whole number", "seed of the trial"),
    Column("state", "text", "COMPLETE, FAILED, KILLED, PRUNED, RUNNING or NOT RUN"),
    _AXIS,
    Column("val/<metric>", "number", "score on val at the best epoch; missing unless COMPLETE"),
    Column("test/<metric>", "number", "score on test at the best epoch; missing unless COMPLETE"),
    # "number" where a trial that did not complete has none: a whole number cannot be missing in
    # pandas.
    Column("n_epochs", "number", "epochs that were trained"),
    Column("n_steps", "number", "optimizer steps that were taken"),
    Column("cost/<quantity>", "number", "parameters, multiply-adds, memory and disk of the model"),
    Column("time/<quantity>", "number", "seconds, milliseconds or images per second, measured"),
)
"""Of `Study.trials`: one row per arm and seed of the grid, whether it was run or not."""

ARMS = (
    _ARM,
    _ARM_ID,
    _AXIS,
    Column("is_baseline", "yes or no", "whether every difference is against this arm"),
    Column("is_champion", "yes or no", "whether its mean score on val is the best"),
    Column("n_seeds", "whole number", "completed trials of the arm"),
    Column("n_trials", "whole number", "trials that the grid asks for"),
    Column("at_target/n_seeds", "number", "seeds with a threshold for the target precision"),
    Column("at_target/n_reached", "number", "seeds whose val scores reach the target precision"),
    Column("<metric>/mean", "number", "mean over the arm's completed seeds"),
    Column("<metric>/sd", "number", "standard deviation over the seeds (n - 1)"),
    Column("<metric>/low", "number", "lower end of the mean's 95 % interval"),
    Column("<metric>/high", "number", "upper end of the mean's 95 % interval"),
)
"""Of `Study.arms`: one row per arm, the best mean score on val first."""

EFFECTS = (
    Column("kind", "text", "question, main effect or interaction"),
    Column("name", "text", "the question in the grid's words, or the level"),
    Column("is_exploratory", "yes or no", "whether the grid asks questions and this is none"),
    Column("axes", "text", "the axis, or two with ` x ` between them"),
    Column("levels", "text", "the level, or one of each axis"),
    Column("against", "text", "the level that it is compared with"),
    Column("metric", "text", "the score that is compared, in units of which the effect is"),
    Column("difference", "number", "mean difference over matched trials"),
    Column("low", "number", "lower end of its interval; all of a study hold together in 95 %"),
    Column("high", "number", "upper end of its interval"),
    Column("p_corrected", "number", "below 0.05 exactly where the interval excludes 0"),
    Column("verdict", "text", "better, worse, no larger (than the margin), undecided or unknown"),
    Column("omega_squared", "number", "share of the variance that the axis explains"),
    Column("se_seeds", "number", "standard error from the spread over seeds"),
    Column("se_images", "number", "standard error from the choice of test images"),
    Column("df", "number", "degrees of freedom of both; missing where only images vary"),
    Column("smallest_detectable", "number", "effect that this design finds with 80 % power"),
    Column(
        "seeds_to_settle", "number", "seeds that would settle it, were the difference what it is"
    ),
    Column("n_seeds", "whole number", "seeds that enter"),
    Column("n_pairs", "whole number", "matched pairs of trials; squares for an interaction"),
    Column("n_higher", "whole number", "pairs in which the level scored higher"),
    Column("sd_of_pairs", "number", "standard deviation of the pairs' differences"),
    Column("n_same_arm", "whole number", "pairs that are one and the same arm"),
    Column("n_cells_left_out", "whole number", "matched cells lost to failed trials"),
)
"""Of `Study.effects`: one row per comparison and metric."""

PREDICTIONS = (
    _ARM,
    Column("seed", "whole number", "seed of the trial that predicts"),
    Column("split", "text", "val or test"),
    Column("image_id", "text", "the image, as its data set names it"),
    Column("group", "text", "the group of the image; only where the grid has `data.group_by`"),
    Column("label", "text", "true class; several are separated by commas"),
    Column("top_class", "text", "class with the highest probability"),
    _P,
)
"""Of `Study.predictions`: one row per seed and image."""

CHAMPION = (
    Column("image", "text", "path of the image; its position where it has none"),
    Column("top_class", "text", "class with the highest probability"),
    Column("top_probability", "number", "that probability"),
    _P,
)
"""Of `Champion.predict`: one row per image, in the order of the images."""

PLANNED_ARMS = (
    _ARM,
    _ARM_ID,
    Column("is_baseline", "yes or no", "whether every difference will be against this arm"),
    Column("n_cells", "whole number", "cells of the grid that are this arm"),
    Column("freeze_depth", "whole number", "leading units that stay frozen"),
    Column("n_units", "whole number", "units of the backbone"),
    Column("n_trainable", "whole number", "parameters that are trained"),
    Column("n_parameters", "whole number", "parameters in all"),
)
"""Of `Plan.arms`: one row per arm."""

# Frame, as it is written in Python -> its columns; the order is that of the docs.
FRAMES = {
    "plan.arms": PLANNED_ARMS,
    "study.trials": TRIALS,
    "study.arms": ARMS,
    "study.effects": EFFECTS,
    "study.predictions(arm)": PREDICTIONS,
    "study.champion.predict(images)": CHAMPION,
}


def columns_text() -> str:
    """All of them as Markdown, for the docs."""
    parts = []
    for frame, columns in FRAMES.items():
        lines = [f"### `{frame}`", "", "| column | type | meaning |", "|---|---|---|"]
        for column in columns:
            lines.append(f"| `{column.name}` | {column.type} | {column.meaning} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"
