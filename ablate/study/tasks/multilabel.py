"""Several labels per image, or none: each class is a yes or a no of its own."""

from __future__ import annotations

from ablate.study.tasks._base import FieldRule, HubMetric, Metric, TaskSpec

MULTILABEL = TaskSpec(
    name="multilabel",
    metrics=(
        Metric(
            "macro_f1",
            "macro F1",
            is_class_mean=True,
            hub=HubMetric("f1", {"average": "macro"}),
        ),
        Metric(
            "auroc_ovr_macro",
            "AUROC",
            is_class_mean=True,
            hub=HubMetric("roc_auc", {"average": "macro", "multi_class": "ovr"}),
        ),
        Metric(
            "average_precision_macro",
            "mean average precision",
            hub=HubMetric("average_precision", {"average": "macro"}),
        ),
        Metric("micro_f1", "micro F1", is_shown=False),
        Metric("subset_accuracy", "subset accuracy", hub=HubMetric("accuracy")),
    ),
    primary="macro_f1",
    secondary="auroc_ovr_macro",
    targets="several_labels",
    hub_task="image-classification",
    hub_tags=("multi-label",),
    # What a reader of the mistake gets to see is the sentence of the rule.
    field_rules={
        "loss": FieldRule(("bce",), "each label is a yes or a no of its own"),
        "logit_adjustment": FieldRule((0,), "it shifts a softmax, and bce has none"),
        "sampler": FieldRule(
            ("shuffle",),
            "an image with several labels has no single class to be drawn by; "
            "class_weights weigh the labels",
        ),
        "shots": FieldRule(
            (None,),
            "an image with several labels counts for several classes; "
            "data.sizes draws a subset that keeps their shares",
        ),
        "classifier": FieldRule(("linear",), "a fitted classifier gives an image one class"),
        "co_tuning": FieldRule(
            (0,), "its source classes are those of one class, and here an image has several"
        ),
        "class_weights": FieldRule(
            ("none", "balanced", "a list", "a mapping"),
            "effective numbers weigh classes, and here a yes is weighed beside a no",
            refused=("effective",),
        ),
    },
    base_defaults={"loss": "bce"},
    why_no_class_groups="a new class takes the images of several classes, each image of one, "
    "and here an image has several labels; rename labels in labels.csv instead",
    why_no_target_precision="it is for two classes that exclude each other, "
    "and here each label is a yes or a no",
)
