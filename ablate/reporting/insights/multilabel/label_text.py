"""What report and cards say of images with several labels, where a single label would be told otherwise."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ablate.metrics.multilabel import THRESHOLD
from ablate.quoting import code
from ablate.reporting.insights.multilabel.label_insight import LabelError, LabelInsight
from ablate.reporting.text.markdown import bullets, join_sections, plural, table

NO_CALIBRATION = f"Not measured where images have several labels. A class is called from a probability of {THRESHOLD:g}, the same for all classes; no threshold was tuned."
NO_SUSPECTS = "Suspect labels: not looked for where images have several; the surest errors of the best arm are above."
LOAD_CHAMPION = f"""import mlflow
import numpy as np
from PIL import Image

uri = mlflow.get_run("{{run_id}}").data.tags["ablate.champion"]
model = mlflow.pyfunc.load_model(uri)
image = np.asarray(Image.open("image.jpg").convert("RGB"))
class_names = {{class_names}}
probabilities = model.predict(image[np.newaxis])[0]  # each by itself: they do not sum to 1
print([name for name, probability in zip(class_names, probabilities) if probability >= {THRESHOLD:g}])
"""
LOAD_RUN = f"""from pathlib import Path

import mlflow
from PIL import Image

from ablate.training.serving.export import export_complete
from ablate.training.serving.predict import load_classifier

files = mlflow.artifacts.download_artifacts(run_id="{{run_id}}")
classifier = load_classifier(export_complete(Path(files), Path("classifier")))
found = classifier.classify(Image.open("image.jpg"))  # class -> probability, the most probable first
print([name for name, probability in found.items() if probability >= {THRESHOLD:g}])
"""


def label_error_sentences(insight: LabelInsight) -> list[str]:
    """Three sentences: how often all is right, how many classes it calls, the weakest class."""
    n_true = int(insight.classes["support"].sum()) / insight.n_images
    exact = (
        f"It gets every class right on {100 * insight.exact:.1f} % of the test images ({plural(insight.n_seeds, 'seed')} together); "
        f"it calls {insight.n_called:.2f} classes an image, labelled are {n_true:.2f}."
    )
    worst = insight.classes.dropna(subset=["f1"]).sort_values("f1", kind="stable").iloc[0]
    name = code(str(worst["class"]))
    called = (
        "it calls no image so"
        if math.isnan(worst["precision"])
        else f"{100 * worst['precision']:.0f} % of what it calls {name} is right"
    )
    return [
        exact,
        f"Its weakest class is {name}: it finds {100 * worst['recall']:.0f} % of its images, and {called}.",
    ]


def label_errors(insight: LabelInsight, class_names: Sequence[str]) -> str:
    """The sentences, and tables of wrong pairs and of the surest errors."""
    pairs = [
        [
            code(class_names[pair.first]),
            code(class_names[pair.second]),
            str(pair.n_wrong),
            str(pair.n_together),
        ]
        for pair in insight.pairs
    ]
    wrong = (
        table(
            ["called together", "and", "not both labelled", "images so called"],
            pairs,
            n_text_columns=2,
        )
        if pairs
        else ""
    )
    together = f"Classes that it calls together most often where the labels do not (images, {plural(insight.n_seeds, 'seed')} together):\n\n{wrong}"
    parts = [
        bullets(label_error_sentences(insight)),
        together if pairs else "",
        _errors(
            "The surest calls without the label, those that most seeds made first: look at their labels.",
            insight.false_positives,
            class_names,
        ),
        _errors(
            "The labels that it is surest are not there, those that most seeds missed first.",
            insight.false_negatives,
            class_names,
        ),
    ]
    return join_sections([part for part in parts if part]).rstrip()


def _errors(what: str, errors: Sequence[LabelError], class_names: Sequence[str]) -> str:
    rows = [
        [code(one.image_id), code(class_names[one.position]), f"{one.p:.3f}", str(one.n_seeds)]
        for one in errors
    ]
    return (
        f"{what}\n\n{table(['image', 'class', 'probability', 'seeds'], rows, n_text_columns=2)}"
        if rows
        else ""
    )


def label_table(insight: LabelInsight) -> str:
    """Scores by class."""
    names = ["precision", "recall", "f1", "auroc", "average_precision"]
    rows = [
        [
            code(str(row["class"])),
            *("undefined" if math.isnan(row[name]) else f"{row[name]:.3f}" for name in names),
            str(row["support"]),
        ]
        for row in insight.classes.to_dict("records")
    ]
    return table(
        ["class", "precision", "recall", "F1", "AUROC", "average precision", "images"], rows
    )
