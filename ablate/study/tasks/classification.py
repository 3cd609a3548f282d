"""One label per image."""

from __future__ import annotations

from ablate.study.tasks._base import HubMetric, Metric, TaskSpec

CLASSIFICATION = TaskSpec(
    name="classification",
    # The order is that of the columns in every table of a report.
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
        # Secondary reading only: all of these are reported, none decides.
        Metric("accuracy", "accuracy", hub=HubMetric("accuracy")),
        Metric("balanced_accuracy", "balanced accuracy", is_shown=False),
        Metric("nll", "log loss", is_lower_better=True, is_shown=False),
        Metric("ece", "calibration error", is_lower_better=True, is_shown=False),
        # Of the second class, in the order of the classes: the positive one.
        Metric("average_precision", "average precision", n_classes=2),
    ),
    primary="macro_f1",
    secondary="auroc_ovr_macro",
    targets="one_label",
    hub_task="image-classification",
    has_confusion=True,
)
