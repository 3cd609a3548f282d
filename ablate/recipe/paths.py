"""Paths that a grid file names: what no file system takes is refused when the file is read."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

WEIGHTS_WORDS = ("auto", "hub", "torchvision", "more", "none")
"""What `weights` may say besides a path."""
MAX_PATH = 1_000
"""Characters of a path; Linux takes 4,096 bytes with the folder that it lies in."""
MAX_PART = 255
"""Bytes of the name of a file or a folder."""


def check_lengths(path: str) -> str:
    """Return `path`; raise pydantic's error for one that a file system cannot have."""
    longest = 0
    for part in PurePath(path).parts:
        # In bytes, as file systems count: an umlaut takes two. A lone surrogate cannot be encoded.
        longest = max(longest, len(part.encode(errors="replace")))
    if len(path) > MAX_PATH or longest > MAX_PART:
        raise PydanticCustomError(
            "path",
            "must be a path of at most 1,000 characters, "
            "with at most 255 bytes in the name of each file and folder",
        )
    return path


FilePath = Annotated[str, AfterValidator(check_lengths)]
