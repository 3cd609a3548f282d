"""Whether a folder takes files: asked before anything is computed that would be written there."""

from __future__ import annotations

import os
from pathlib import Path

from ablate.errors import StoreError


def check_writable(folder: Path) -> None:
    """Make sure that a folder can be made and written. Raises StoreError."""
    # A file is really written: permission bits say nothing of full disks and read-only mounts.
    # Its name has the process in it, as two runs may check the same folder at the same time.
    probe = folder / f".write-test-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise StoreError(
            f"{folder}: must be a folder that can be written, got {error.strerror or error}; "
            "choose another one or free it"
        ) from None
