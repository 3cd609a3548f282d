"""What made each attempt of a study that its last call did not make: code, libraries, machine.

The plan of a study says what its last call was (`StudyPlan.tags`). Whatever the journal held before
that call was made by an earlier one, perhaps of another commit, and says so in every store that it
is published to, however late. `provenance.json` in the study's folder keeps it:

    {"made_by":[{"tags":{"commit":"9f0c2b1a", ...},"attempts":["5d1e...-1", ...]}],"crc":"0a1b2c3d"}

An attempt that is not in it was made by the last call.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ablate.checksum import sealed_json, unsealed_json
from ablate.errors import StoreError
from ablate.files import write_text

FILE = "provenance.json"
_MADE_BY = "made_by"
_LOG = logging.getLogger(__name__)

Tags = Mapping[str, str]
"""Name -> text, as `provenance_to_tags` gives them."""


def read_tags(folder: Path) -> dict[str, Tags]:
    """Attempt's key -> tags of its run, for the study in `folder`.

    Empty, with a warning, where the file is damaged: then the last call speaks for all attempts.
    """
    path = folder / FILE
    try:
        values = unsealed_json(path.read_bytes(), fields=(_MADE_BY,))
        return _by_attempt(values[_MADE_BY])
    except FileNotFoundError:
        return {}  # one call made all, or the study is older than this file
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        _LOG.warning(
            "%s cannot be read (%s); trials of earlier calls are taken for those of the last one",
            path,
            error,
        )
        return {}


def _by_attempt(groups: Any) -> dict[str, Tags]:
    by_attempt: dict[str, Tags] = {}
    for group in groups:
        # As text whatever it was: MLflow takes nothing else for a tag.
        tags = {str(name): str(text) for name, text in group["tags"].items()}
        for key in group["attempts"]:
            by_attempt[str(key)] = tags
    return by_attempt


def note_tags(folder: Path, made_by: Mapping[str, Tags]) -> None:
    """Keep what made some attempts, by their keys, of the study in `folder`.

    Those that are noted already keep what they have: an attempt is made once. Raises StoreError
    where the folder cannot be written.
    """
    # What is damaged reads as empty, and is written anew with what is known now.
    noted = read_tags(folder)
    # Nothing new: most calls end here, and the file keeps its time of change.
    if made_by.keys() <= noted.keys():
        return
    try:
        write_text(folder / FILE, sealed_json({_MADE_BY: _groups({**made_by, **noted})}))
    except OSError as error:
        raise StoreError(
            f"the study's folder must be writable, {folder} is not: {error}; "
            "set ABLATE_HOME to another place."
        ) from error


def _groups(by_attempt: Mapping[str, Tags]) -> list[dict[str, Any]]:
    """The attempts by equal tags: a study has thousands of attempts, and few calls that differ."""
    groups: dict[str, dict[str, Any]] = {}
    for key, tags in by_attempt.items():
        # Sorted, so that equal tags in another order are one group.
        text = json.dumps(dict(tags), sort_keys=True)
        group = groups.setdefault(text, {"tags": dict(tags), "attempts": []})
        group["attempts"].append(key)
    return list(groups.values())
