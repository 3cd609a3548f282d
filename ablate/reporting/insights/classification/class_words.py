"""What cards of a classification say of any arm."""

from __future__ import annotations

from ablate.reporting.results import CardWords

# pasted by users into a session of their own, so it imports all that it uses
_LOAD_CHAMPION = """import mlflow
import numpy as np
from PIL import Image

uri = mlflow.get_run("{run_id}").data.tags["ablate.champion"]
model = mlflow.pyfunc.load_model(uri)
image = np.asarray(Image.open("image.jpg").convert("RGB"))
probabilities = model.predict(image[np.newaxis])[0]  # in the order of the classes above
"""
_LOAD_RUN = """from pathlib import Path

import mlflow
from PIL import Image

from ablate.training.serving.export import export_complete
from ablate.training.serving.predict import load_classifier

files = mlflow.artifacts.download_artifacts(run_id="{run_id}")
classifier = load_classifier(export_complete(Path(files), Path("classifier")))
print(classifier.classify(Image.open("image.jpg")))  # class -> probability, the most probable first
"""
WORDS = CardWords(
    purpose=("To classify images like those of the data into {n_classes} classes: {classes}."),
    limit=(
        "Trained on {n_images} images of {n_classes} classes; it gives one of these classes to "
        "any image, also to one that shows none of them."
    ),
    load_champion=_LOAD_CHAMPION,
    load_run=_LOAD_RUN,
    scores_by_seed=("test/nll", "test/ece"),
)
