"""Kept activations as a user sees them: what is there, how large, and gone on request. Needs no torch."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from ablate.workflow.settings import Places


def cache_folder(places: Places) -> Path:
    """Where the activations of frozen prefixes are kept."""
    return places.home / "activations"


def cache_table(places: Places) -> pd.DataFrame:
    """One row a kept view, the most recently used first: where the network was cut, which view of which split, MB (10**6 bytes), last use."""
    rows = []
    for meta in cache_folder(places).glob("*/meta.json"):
        try:
            described = json.loads(meta.read_text())
            size = (meta.parent / "rows.bin").stat().st_size
            used = meta.parent.stat().st_mtime
        except (OSError, ValueError):
            continue  # another process dropped or is writing it
        identity = described.get("identity", {})
        view = identity.get("policy", "?") + ("" if "seed" not in identity else f", seed {identity['seed']}, epoch {identity['epoch']}")
        rows.append(
            {
                "backbone": identity.get("backbone", "?"),
                "cut at": described.get("door", "?"),
                "split": identity.get("split", "?"),
                "view": view,
                "MB": round(size / 1e6, 1),
                "last use": datetime.fromtimestamp(used, UTC).strftime("%Y-%m-%d %H:%M:%S"),
            }
        )
    columns = ["backbone", "cut at", "split", "view", "MB", "last use"]
    return pd.DataFrame(rows, columns=columns).sort_values("last use", ascending=False, kind="stable").reset_index(drop=True)


def clear_cache(places: Places) -> tuple[int, float]:
    """Drop every kept view; return how many and how many MB. Studies that run meanwhile compute them again; nothing else is touched."""
    table = cache_table(places)
    for entry in cache_folder(places).glob("*"):
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
    return len(table), float(table["MB"].sum())
