"""A finished trial at work: exported as one folder, loaded from it, predicting."""

# MLflow models name this package as their loader; those of earlier versions do too.
from ablate.training.serving.predict import _load_pyfunc as _load_pyfunc
