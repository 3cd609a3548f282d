"""The facts of trials as versions up to 0.1 stored them: English sentences, in journals and tags.

Nothing writes these any more. Each function takes one sentence apart; what is not such a sentence
is not known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

# Written by versions up to 0.1 and frozen with them: a pattern is never changed, only dropped.
_UNITS = re.compile(r"(\d+) of (\d+) units")
_VIEWS = re.compile(r"(\d+) computed, (\d+) from the cache")
_CUT = re.compile(r"cut at (?P<at>.*), (?P<row>[\dx]+ \w+)")
_FOLDED = re.compile(r"(\d+) frozen BatchNorms folded, logits move by (\S+) of the largest")
_MERGED = re.compile(r"merged in fp32, logits of (\d+) val images differ by at most (\S+)")
_TRAIN_IMAGES = re.compile(
    r"(?P<n_used>\d+) of (?P<n_all>\d+)"
    r"(?:, (?P<shots>\d+) a class, drawn by the seed)?"
    r"(?:; classes with fewer, used whole: (?P<short>\d+))?"
)
_WHOLE_BATCH = re.compile(r"(\d+) \(whole batches\)")
_MICRO_BATCH = re.compile(
    r"(?P<size>\d+) of (?P<batch_size>\d+), gradients summed, "
    r"(?P<reason>as asked|because memory was short)"
    r"(?:; BatchNorm that trains saw (?P<seen>\d+) images at a time, not \d+)?"
)
_PHASE = re.compile(
    r"\d+: (?P<epochs>\d+) epochs(?: at most, until (?P<patience>\d+) without a better score)?, "
    r"(?P<depth>\d+) of (?P<n_units>\d+) units frozen, thaws (?P<thawed>.*)"
)


def from_sentences(stored: Mapping[str, Any], words: Collection[str]) -> dict[str, Any]:
    """Return `stored` with a value in the place of each sentence. Facts in `words` are text."""
    values: dict[str, Any] = {}
    for name, value in stored.items():
        if name in words or not isinstance(value, str):
            # Neither a word nor a known sentence: nobody knows what it says, so it is left out.
            values[name] = value
        elif name in _READERS:
            values.update(_READERS[name](value))
    return values


def _int_or_none(text: str | None) -> int | None:
    """The number of an optional part of a sentence; None where the sentence leaves it out."""
    if text is None:
        return None
    return int(text)


def _threads(text: str) -> dict[str, Any]:
    if not text.isdecimal():
        return {}
    return {"threads": int(text)}


# Old versions said "no" in words of their own, "none" or "as trained": that is a fact as well,
# and an empty value stands for it. An empty dict says that nothing is known.
def _depthwise(text: str) -> dict[str, Any]:
    return {"is_depthwise_fp32": text == "tiles, fp32"}


def _freeze_depth(text: str) -> dict[str, Any]:
    match = _UNITS.fullmatch(text)
    if match is None:
        return {}
    depth, n_units = map(int, match.groups())
    return {"freeze_depth": depth, "n_units": n_units}


def _units(text: str) -> dict[str, Any]:
    return {"units": text.split()}


def _unadapted(text: str) -> dict[str, Any]:
    return {"layers_without_adapter": [] if text == "none" else text.split()}


def _larger(text: str) -> dict[str, Any]:
    if text == "none":
        return {"adapters_larger_than_their_layer": {}}
    sizes = {}
    for entry in text.split("; "):
        layer, colon, both_sizes = entry.partition(": ")
        # Without a colon it is no entry, and nobody knows what it says.
        if colon:
            sizes[layer] = both_sizes
    return {"adapters_larger_than_their_layer": sizes}


def _prefix(text: str) -> dict[str, Any]:
    # One cut per phase of training.
    return {"prefix": list(map(_cut, text.split("; then ")))}


def _cut(text: str) -> dict[str, str]:
    match = _CUT.fullmatch(text)
    if match is not None:
        return match.groupdict()
    # Whatever else it says is a reason: the sentence had one form for a cut only.
    return {"why_uncut": text.removeprefix("uncut: ")}


def _prefix_views(text: str) -> dict[str, Any]:
    match = _VIEWS.fullmatch(text)
    if match is None:
        return {}
    n_computed, n_reused = map(int, match.groups())
    return {"views_computed": n_computed, "views_from_cache": n_reused}


def _evaluation(text: str) -> dict[str, Any]:
    match = _FOLDED.fullmatch(text)
    if match is not None:
        return {"folded_norms": {"n": int(match[1]), "moved": float(match[2])}}
    if text == "as trained":
        return {"folded_norms": {"n": 0}}
    return {}


def _problems(text: str) -> dict[str, Any]:
    return {"cache_problems": [] if text == "none" else text.split("; ")}


def _phases(text: str) -> dict[str, Any]:
    phases = []
    for phase in text.split("; "):
        match = _PHASE.fullmatch(phase)
        # Phases mean something together only: where one cannot be read, none is known.
        if match is None:
            return {}
        thawed = match["thawed"]
        phases.append(
            {
                "epochs": int(match["epochs"]),
                "patience": _int_or_none(match["patience"]),
                "freeze_depth": int(match["depth"]),
                "n_units": int(match["n_units"]),
                "thawed": [] if thawed == "nothing" else thawed.split(),
            }
        )
    return {"phases": phases}


def _micro_batch(text: str) -> dict[str, Any]:
    whole = _WHOLE_BATCH.fullmatch(text)
    if whole is not None:
        # A whole batch is its own micro-batch.
        size = int(whole[1])
        return {"micro_batch": {"size": size, "batch_size": size, "reason": "whole batches"}}
    match = _MICRO_BATCH.fullmatch(text)
    if match is None:
        return {}
    reason = "memory"
    if match["reason"] == "as asked":
        reason = "as asked"
    parts: dict[str, Any] = {
        "size": int(match["size"]),
        "batch_size": int(match["batch_size"]),
        "reason": reason,
        "n_seen_by_norms": _int_or_none(match["seen"]),
    }
    return {"micro_batch": parts}


def _train_images(text: str) -> dict[str, Any]:
    match = _TRAIN_IMAGES.fullmatch(text)
    if match is None:
        return {}
    parts = {
        "n_used": int(match["n_used"]),
        "n_all": int(match["n_all"]),
        "shots": _int_or_none(match["shots"]),
        "n_short_classes": int(match["short"] or 0),
    }
    return {"train_images": parts}


def _class_weights(text: str) -> dict[str, Any]:
    if text == "none":
        return {"class_weights": []}
    try:
        return {"class_weights": list(map(float, text.split()))}
    except ValueError:
        return {}


def _adapter_merge(text: str) -> dict[str, Any]:
    match = _MERGED.fullmatch(text)
    if match is not None:
        return {"adapter_merge": {"n_images": int(match[1]), "difference": float(match[2])}}
    if text.startswith("not merged: "):
        return {"adapter_merge": {"why_not": text.removeprefix("not merged: ")}}
    return {}


_READERS: Mapping[str, Callable[[str], dict[str, Any]]] = {
    "threads": _threads,
    "depthwise_gradients": _depthwise,
    "freeze_depth": _freeze_depth,
    "units": _units,
    "layers_without_adapter": _unadapted,
    "adapters_larger_than_their_layer": _larger,
    "prefix": _prefix,
    "prefix_views": _prefix_views,
    "evaluation": _evaluation,
    "cache_problems": _problems,
    "phases": _phases,
    "micro_batch": _micro_batch,
    "train_images": _train_images,
    "class_weights": _class_weights,
    "adapter_merge": _adapter_merge,
}
"""Name of a fact in an older version -> the fields that its sentence holds."""
