"""Stored images and activations: what is there, how large, whether intact, removed on request.

Needs no torch.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from ablate.data.duplicates import KEPT, read_near_duplicates
from ablate.data.store import PARTIAL, verify_store
from ablate.errors import StoreError
from ablate.training.feeds.kept_rows import META, ROWS, read_meta, verify_rows
from ablate.workflow.folders import Folders


def cache_folder(folders: Folders) -> Path:
    """Where the activations of frozen prefixes are kept."""
    return folders.home / "activations"


def image_folder(folders: Folders) -> Path:
    """Where decoded images are kept."""
    return folders.home / "images"


def cache_table(folders: Folders) -> pd.DataFrame:
    """One row per stored view, the most recently used first.

    Columns: where the network was cut, which view of which split, MB (10**6 bytes), last use (UTC).
    """
    # By description, not by folder: an entry without one is being written, or is damaged.
    rows = []
    for meta in cache_folder(folders).glob(f"*/{META}"):
        try:
            size = (meta.parent / ROWS).stat().st_size
            # Whoever reads a view touches its folder.
            used = meta.parent.stat().st_mtime
        except OSError:
            continue  # another process dropped or is writing it
        last_use = datetime.fromtimestamp(used, UTC).strftime("%Y-%m-%d %H:%M:%S")
        row = {**_described(meta.parent), "MB": round(size / 1e6, 1), "last use": last_use}
        rows.append(row)
    columns = ["backbone", "cut at", "split", "view", "MB", "last use"]
    table = pd.DataFrame(rows, columns=columns)
    return table.sort_values("last use", ascending=False, kind="stable", ignore_index=True)


def _described(entry: Path) -> dict[str, str]:
    try:
        kept = read_meta(entry)
    except (OSError, ValueError):
        return {"backbone": "damaged", "cut at": "?", "split": "?", "view": "?"}
    identity = kept.identity
    view = str(identity.get("policy", "?"))
    # Of augmented views alone: a clean one is the same for every seed and epoch.
    if "seed" in identity:
        view += f", seed {identity['seed']}, epoch {identity.get('epoch', '?')}"
    return {
        "backbone": str(identity.get("backbone", "?")),
        "cut at": kept.split_point,
        "split": str(identity.get("split", "?")),
        "view": view,
    }


@dataclass(frozen=True, slots=True)
class CacheCheck:
    """What became of comparing everything stored with its digests."""

    n_stores: int
    """Image stores that were compared."""
    n_views: int
    """Stored activations that were compared."""
    damaged: dict[Path, str]
    """Folder -> what is wrong with it."""
    is_removed: bool
    """Whether the damaged ones were removed."""


def verify_kept(folders: Folders, *, remove: bool) -> CacheCheck:
    """Compare every image store and every stored view with the digests of their writing.

    With `remove` the damaged ones are removed, and whoever needs them makes them again; without it
    nothing is changed. Raises StoreError where a folder cannot be removed.
    """
    stores = _stores(folders)
    views = _views(folders)
    damaged = {**_damaged(stores, _verify_store), **_damaged(views, _verify_view)}
    if remove:
        for folder in damaged:
            _remove(folder)
    return CacheCheck(len(stores), len(views), damaged, is_removed=remove)


def _stores(folders: Folders) -> list[Path]:
    """Image stores that are whole; another process may be writing others."""
    stores = []
    for meta in sorted(image_folder(folders).glob(f"*/{META}")):
        # A store that is being written has its description already, in a folder of another name.
        if meta.parent.suffix != PARTIAL:
            stores.append(meta.parent)
    return stores


def _views(folders: Folders) -> list[Path]:
    """Stored views that are whole, with or without their description."""
    views = []
    for entry in sorted(cache_folder(folders).glob("*")):
        if entry.is_dir() and entry.suffix != ".part":
            views.append(entry)
    return views


def _damaged(folders: Sequence[Path], verify: Callable[[Path], None]) -> dict[Path, str]:
    damaged = {}
    for folder in folders:
        why = _harm(verify, folder)
        if why is not None:
            damaged[folder] = why
    return damaged


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
        if folder.is_dir():
            return str(error)
    return None


def _verify_store(folder: Path) -> None:
    verify_store(folder)
    # The near-duplicates that were found in these images lie beside them.
    answer = folder / KEPT
    if answer.exists():
        read_near_duplicates(answer)


def _verify_view(folder: Path) -> None:
    verify_rows(folder, read_meta(folder))


def clear_cache(folders: Folders) -> tuple[int, float]:
    """Remove every stored view; return how many and how many MB.

    Studies that run meanwhile compute them again; nothing else is touched.
    """
    # Before anything goes: afterwards nobody knows how large it was.
    table = cache_table(folders)
    for entry in cache_folder(folders).glob("*"):
        if entry.is_dir():
            # Another process may drop the same view at this moment.
            shutil.rmtree(entry, ignore_errors=True)
    return len(table), float(table["MB"].sum())
