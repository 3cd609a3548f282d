"""What report and cards say of any arm where images have several labels."""

from __future__ import annotations

from ablate.metrics.multilabel import THRESHOLD
from ablate.reporting.results import CardWords

CALIBRATION_SECTION = (
    "## Calibration\n\nNot measured where images have several labels. "
    f"A class is predicted from a probability of {THRESHOLD:g}, the same for all classes; "
    "no threshold was tuned."
)
NO_SUSPECTS = (
    "Suspect labels: not searched for where images have several; "
    "the most confident errors of the best arm are above."
)
_ORDER = "# class -> probability, the most probable first"
_IF_CALLED = f"if probability >= {THRESHOLD:g}"
# an f-string for the threshold; doubled braces are filled in by the card
_LOAD_CHAMPION = f"""import mlflow
import numpy as np
from PIL import Image

uri = mlflow.get_run("{{run_id}}").data.tags["ablate.champion"]
model = mlflow.pyfunc.load_model(uri)
image = np.asarray(Image.open("image.jpg").convert("RGB"))
class_names = {{class_names}}
probabilities = model.predict(image[np.newaxis])[0]  # each by itself: they do not sum to 1
print([name for name, probability in zip(class_names, probabilities) {_IF_CALLED}])
"""
_LOAD_RUN = f"""from pathlib import Path

import mlflow
from PIL import Image

from ablate.training.serving.export import export_complete
from ablate.training.serving.predict import load_classifier

files = mlflow.artifacts.download_artifacts(run_id="{{run_id}}")
classifier = load_classifier(export_complete(Path(files), Path("classifier")))
found = classifier.classify(Image.open("image.jpg"))  {_ORDER}
print([name for name, probability in found.items() {_IF_CALLED}])
"""
WORDS = CardWords(
    purpose="To find these {n_classes} classes, in images like those of the data: {classes}.",
    limit="Trained on {n_images} images of {n_classes} classes; it knows no others.",
    load_champion=_LOAD_CHAMPION,
    load_run=_LOAD_RUN,
)
