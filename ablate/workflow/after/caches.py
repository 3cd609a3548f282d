"""Kept images and activations as a user sees them: what is there, how large, whether sound, and gone on request. Needs no torch."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from ablate.data.duplicates import KEPT, read_near_duplicates
from ablate.data.store import PARTIAL, verify_store
from ablate.errors import StoreError
from ablate.training.feeds.kept_rows import META, ROWS, read_meta, verify_rows
from ablate.workflow.folders import Places


def cache_folder(places: Places) -> Path:
    """Where the activations of frozen prefixes are kept."""
    return places.home / "activations"


def image_folder(places: Places) -> Path:
    """Where decoded images are kept."""
    return places.home / "images"


def cache_table(places: Places) -> pd.DataFrame:
    """One row a kept view, the most recently used first: where the network was cut, which view of which split, MB (10**6 bytes), last use."""
    rows = []
    for meta in cache_folder(places).glob(f"*/{META}"):
        try:
            size = (meta.parent / ROWS).stat().st_size
            used = meta.parent.stat().st_mtime
        except OSError:
            continue  # another process dropped or is writing it
        rows.append(
            {
                **_described(meta.parent),
                "MB": round(size / 1e6, 1),
                "last use": datetime.fromtimestamp(used, UTC).strftime("%Y-%m-%d %H:%M:%S"),
            }
        )
    columns = ["backbone", "cut at", "split", "view", "MB", "last use"]
    return (
        pd.DataFrame(rows, columns=columns)
        .sort_values("last use", ascending=False, kind="stable")
        .reset_index(drop=True)
    )


def _described(entry: Path) -> dict[str, str]:
    try:
        kept = read_meta(entry)
    except (OSError, ValueError):
        return {"backbone": "damaged", "cut at": "?", "split": "?", "view": "?"}
    identity = kept.identity
    view = str(identity.get("policy", "?"))
    if "seed" in identity:
        view += f", seed {identity['seed']}, epoch {identity.get('epoch', '?')}"
    return {
        "backbone": str(identity.get("backbone", "?")),
        "cut at": kept.door,
        "split": str(identity.get("split", "?")),
        "view": view,
    }


def verify_kept(places: Places, *, remove: bool, say: Callable[[str], None]) -> int:
    """Compare every image store and every kept view with the digests that were taken when they were written; return how many are damaged.

    Each of them is said. With `remove` they are dropped, and whoever needs them makes them again; else nothing is changed.
    Raises StoreError where a folder cannot be removed.
    """
    stores = sorted(
        meta.parent
        for meta in image_folder(places).glob(f"*/{META}")
        if meta.parent.suffix != PARTIAL
    )
    views = sorted(
        entry
        for entry in cache_folder(places).glob("*")
        if entry.is_dir() and entry.suffix != ".part"
    )
    damaged = {
        folder: why for folder in stores if (why := _harm(_verify_store, folder)) is not None
    }
    damaged |= {folder: why for folder in views if (why := _harm(_verify_view, folder)) is not None}
    for folder, why in damaged.items():
        say(f"damaged: {folder}: {why}")
        if remove:
            _remove(folder)
    way = (
        "removed; studies make them again"
        if remove
        else "`ablate cache verify --remove` drops them, and studies make them again"
    )
    say(
        f"{len(stores)} image stores and {len(views)} views: "
        + (f"{len(damaged)} damaged; {way}" if damaged else "all are sound")
    )
    return len(damaged)


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return  # somebody was faster
    except OSError as error:
        raise StoreError(
            f"{folder} must be removed, which failed ({error.strerror}); remove it by hand."
        ) from error


def _harm(verify: Callable[[Path], None], folder: Path) -> str | None:
    """What is wrong with a folder; None where it is sound, or was dropped meanwhile."""
    try:
        verify(folder)
    except (StoreError, OSError, ValueError) as error:
        return str(error) if folder.is_dir() else None
    return None


def _verify_store(folder: Path) -> None:
    verify_store(folder)
    answer = folder / KEPT
    if answer.exists():
        read_near_duplicates(answer)


def _verify_view(folder: Path) -> None:
    verify_rows(folder, read_meta(folder))


def clear_cache(places: Places) -> tuple[int, float]:
    """Drop every kept view; return how many and how many MB. Studies that run meanwhile compute them again; nothing else is touched."""
    table = cache_table(places)
    for entry in cache_folder(places).glob("*"):
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
    return len(table), float(table["MB"].sum())
