"""How far Optuna's own file lags behind a study's journal.

Read without importing Optuna: whoever asks how a study stands should not wait seconds for that.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Collection
from pathlib import Path

FILE = "optuna.db"
_QUERY = """
SELECT ids.value_json, attempts.value_json
FROM trial_user_attributes AS ids
JOIN trial_user_attributes AS attempts ON ids.trial_id = attempts.trial_id
WHERE ids.key = 'trial_id' AND attempts.key = 'attempt'
"""


def n_missing(folder: Path, ended: Collection[tuple[str, int]]) -> int | None:
    """Return how many attempts Optuna's file in a study's folder lacks.

    `ended` are the attempts that have ended, (trial_id, number). None where there is no such file,
    or nobody can read it now.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    # Read-only: a look must neither make the file nor hold up the conductor that writes to it.
    uri = f"{path.absolute().as_uri()}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=1)) as connection:
            rows = connection.execute(_QUERY).fetchall()
        known = {(json.loads(trial_id), json.loads(attempt)) for trial_id, attempt in rows}
    except (sqlite3.Error, ValueError, TypeError):
        return None
    return len(set(ended) - known)
