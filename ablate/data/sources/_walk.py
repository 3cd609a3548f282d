"""Everything that lies in class folders: each file is taken, refused or counted, whatever it is.

Files are not decoded here, and only regular files are ever opened.
"""

from __future__ import annotations

import os
import stat
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ablate.data.first_bytes import N_BYTES, foreign_format, readable_kind
from ablate.data.sources._kinds import (
    MAX_POINTER_BYTES,
    MORE_SUFFIXES,
    NAMED_IMAGES,
    UNREADABLE_SUFFIXES,
    is_left_behind,
    is_left_behind_folder,
    is_pointer,
)
from ablate.data.sources._places import outside_text, resolved
from ablate.data.sources._roles import MASK_FOLDERS, masks_among
from ablate.errors import DataError, escaped, is_printable, some

_N_NAMED = 5
_N_KINDS = 8
# Kind of problem -> its sentence, in the order of the message.
_SENTENCES = {
    "name": "names of files and folders must be UTF-8 without control characters, "
    "these are not: {names}; rename them.",
    "dead": "a link must lead to a file, these lead nowhere or in a circle: {names}; repair or "
    "remove them (after a clone, git-annex and DVC fetch the files first).",
    "special": "an image must be a regular file, these are pipes, sockets or devices: {names}; "
    "remove them.",
    "unreadable": "files and folders must be readable, these are not: {names}; "
    "give yourself the right to read them (chmod -R u+rX).",
    "empty": "an image must have bytes, these files are empty: {names}; "
    "fetch them again or remove them.",
    "pointer": "an image must be the image itself, these are pointers of Git LFS or git-annex: "
    "{names}; fetch the files (git lfs pull, git annex get).",
    "unsupported": "an image must be JPEG, PNG, BMP, GIF, TIFF, WebP or PPM, these are of kinds "
    "that cannot be read here: {names}; convert them, for example to PNG, or move them out of "
    "the class folders.",
    "disguised": "an image must have the suffix of its kind, these are images by their first "
    "bytes but not by their names: {names}; rename them (.jpg, .png), or move them out of the "
    "class folders if they are copies.",
    "twice": "an image must be there once, these are one file under two names, through a link: "
    "{names}; remove one of the two.",
    "mask": "a class folder must hold images alone, these look like masks or labels of the images "
    "beside them: {names}; move them out of the class folders, or name the images in a CSV "
    "(columns file, label, split).",
}


@dataclass
class ClassFolders:
    """A walk through class folders below `root`. Nothing is raised before all were walked."""

    root: Path
    data_dir: Path
    """Links may lead to what lies below."""
    # A dictionary as an ordered set: the first entry is the example that the remark shows.
    left_out: dict[str, None] = field(default_factory=dict)
    """Files that are no images and folders that are no data, as POSIX paths below `root`."""
    # What was listed already: the layout asks for the same folders several times.
    _folders: dict[Path, list[Path]] = field(default_factory=dict)
    # Kind of problem, a key of _SENTENCES -> the files that have it.
    _problems: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _outside: list[str] = field(default_factory=list)
    # (device, inode) -> the name under which the file was met first.
    _name_of_file: dict[tuple[int, int], str] = field(default_factory=dict)

    def images(self, folder: Path) -> list[Path]:
        """Return the images at any depth of one class folder, sorted."""
        return sorted(self._walk(folder, above=frozenset()))

    def folders(self, folder: Path) -> list[Path]:
        """Return the folders in a folder that may hold images, sorted; others are counted."""
        if folder not in self._folders:
            paths: list[Path] = []
            for entry in self._entries(folder):
                if _is_folder(entry) and self._is_data_folder(entry):
                    paths.append(Path(entry.path))
            self._folders[folder] = sorted(paths)
        return self._folders[folder]

    def files(self, folder: Path) -> list[str]:
        """Return the names of the visible files that lie directly in a folder, sorted."""
        names: list[str] = []
        for entry in self._entries(folder):
            if not _is_folder(entry) and not is_left_behind(entry.name):
                names.append(entry.name)
        return names

    def leave_out_files(self, folder: Path) -> None:
        """Count the files that lie directly in a folder of folders; a dead link may be a class."""
        for entry in self._entries(folder):
            path = Path(entry.path)
            if entry.is_symlink() and not path.exists():
                self._note("dead", path)
            elif not _is_folder(entry):
                self.left_out[self._name(path)] = None

    def check(self) -> None:
        """Raise DataError with every problem of every file that was met."""
        # The first in full, with its way out: others of one folder have the same.
        sentences = self._outside[:1]
        n_more = len(set(self._outside)) - 1
        if n_more > 0:
            sentences.append(f"{n_more} more links lead out of the data folder.")
        for kind, sentence in _SENTENCES.items():
            # The layout and the walk both meet a folder: each name once, as they come.
            names = list(dict.fromkeys(self._problems.get(kind, ())))
            if names:
                sentences.append(sentence.format(names=some(names, most=_N_NAMED)))
        if sentences:
            raise DataError("\n  ".join(sentences))

    def remarks(self) -> list[str]:
        """Say how many files of which kind were left out; nothing where there are none."""
        if not self.left_out:
            return []
        kinds = Counter(map(_kind_word, self.left_out))
        words = []
        for kind, n in kinds.most_common():
            words.append(f"{kind} {n}")
        noun = "entries"
        if len(self.left_out) == 1:
            noun = "entry"
        return [
            f"left out: {len(self.left_out)} {noun} not taken for images "
            f"({some(words, most=_N_KINDS)}), for example {next(iter(self.left_out))}"
        ]

    def _walk(self, folder: Path, *, above: frozenset[tuple[int, int]]) -> Iterator[Path]:
        """Yield images below `folder`; `above` are the folders that lead to it."""
        try:
            status = folder.stat()
        except OSError:
            self._note("unreadable", folder)
            return
        # A path would not do: a link in a circle gives ever longer ones.
        identity = (status.st_dev, status.st_ino)
        if identity in above:  # a link in a circle
            self._note("dead", folder)
            return
        images: list[Path] = []
        for entry in self._entries(folder):
            path = Path(entry.path)
            if not _is_folder(entry):
                if self._is_image(entry):
                    images.append(path)
            elif self._is_data_folder(entry) and not self._is_mask_folder(path):
                yield from self._walk(path, above=above | {identity})
        # Only among images of one folder: the words are part of class names elsewhere.
        self._problems["mask"] += map(self._name, masks_among(images))
        yield from images

    def _entries(self, folder: Path) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as entries:
                # scandir lists in any order: sorted, two machines say the same.
                return sorted(entries, key=lambda entry: entry.name)
        except OSError:
            self._note("unreadable", folder)
            return []

    def _is_data_folder(self, entry: os.DirEntry[str]) -> bool:
        """Whether a folder is walked through; it is counted or refused otherwise."""
        path = Path(entry.path)
        # With a slash at the end, so that `_kind_word` counts it as a folder.
        if is_left_behind_folder(path.name):
            self.left_out[self._name(path) + "/"] = None
            return False
        return self._is_named_well(path) and self._leads_inside(entry)

    def _is_mask_folder(self, path: Path) -> bool:
        if path.name.lower() not in MASK_FOLDERS:
            return False
        self._note("mask", path)
        return True

    def _is_image(self, entry: os.DirEntry[str]) -> bool:
        """Whether a file is taken; it is counted or refused otherwise."""
        path = Path(entry.path)
        if is_left_behind(path.name):
            self.left_out[self._name(path)] = None
            return False
        # These two note the problem themselves, so that False means refused.
        if not self._is_named_well(path) or not self._leads_inside(entry):
            return False
        try:
            status = entry.stat()
        except OSError:
            return self._note("dead" if entry.is_symlink() else "unreadable", path)
        problem = _problem_of(path, status)
        if problem is not None:
            return self._note(problem, path)
        try:
            return self._holds_image(path, status) and self._is_first_of_its_file(path, status)
        except OSError:
            return self._note("unreadable", path)

    def _holds_image(self, path: Path, status: os.stat_result) -> bool:
        """Whether a regular file is an image by its name or first bytes. Raises OSError."""
        suffix = path.suffix.lower()
        # The first bytes are read only where the name says nothing: most trees open no file here.
        if suffix not in NAMED_IMAGES and not self._is_unnamed_image(path, suffix):
            return False
        if status.st_size == 0:
            return self._note("empty", path)
        # A pointer has the name of the image that it stands for.
        if status.st_size <= MAX_POINTER_BYTES and is_pointer(_head_of(path)):
            return self._note("pointer", path)
        return True

    def _is_unnamed_image(self, path: Path, suffix: str) -> bool:
        """Whether a file whose suffix is none of the usual is an image by its first bytes."""
        head = _head_of(path)
        kind = readable_kind(head)
        if kind is not None and suffix in MORE_SUFFIXES:
            return True
        if kind is not None:
            return self._note("disguised", path, f" ({kind})")
        # A picture that cannot be read is missing from its class; a PDF beside the images is not.
        foreign = foreign_format(head)
        if foreign is not None and foreign.is_picture:
            return self._note("unsupported", path, f" ({foreign.name})")
        self.left_out[self._name(path)] = None
        return False

    def _is_first_of_its_file(self, path: Path, status: os.stat_result) -> bool:
        if status.st_ino == 0:  # some file systems number no files
            return True
        # The same image under two names would count twice, and may lie in two splits.
        name = self._name(path)
        first = self._name_of_file.setdefault((status.st_dev, status.st_ino), name)
        if first != name:
            self._problems["twice"].append(f"{first} = {name}")
        return first == name

    def _is_named_well(self, path: Path) -> bool:
        return is_printable(path.name) or self._note("name", path)

    def _leads_inside(self, entry: os.DirEntry[str]) -> bool:
        if not entry.is_symlink():
            return True
        path = Path(entry.path)
        try:
            # strict: else a link to nothing would pass as a file
            target = path.resolve(strict=True)
        except (OSError, RuntimeError):
            return self._note("dead", path)
        if path.parent.resolve().is_relative_to(target):  # into a folder above itself
            return self._note("dead", path)
        if target.is_relative_to(resolved(self.data_dir)):
            return True
        # /dev/null, for one: what it is matters more than where it lies
        if not target.is_dir() and not target.is_file():
            return self._note("special", path)
        self._outside.append(
            outside_text(self._name(path), target, what="an image", data_dir=self.data_dir)
        )
        return False

    def _note(self, kind: str, path: Path, remark: str = "") -> bool:
        """Keep a problem for `check`, and return False: the file is not taken."""
        self._problems[kind].append(self._name(path) + remark)
        return False

    def _name(self, path: Path) -> str:
        relative = path.relative_to(self.root).as_posix()
        return escaped(path.name if relative == "." else relative)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _problem_of(path: Path, status: os.stat_result) -> str | None:
    """What is wrong with a file, as far as its name and status show."""
    if not stat.S_ISREG(status.st_mode):
        return "special"
    if path.suffix.lower() in UNREADABLE_SUFFIXES:
        return "unsupported"
    return None if os.access(path, os.R_OK) else "unreadable"


def _head_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(N_BYTES)


def _kind_word(name: str) -> str:
    """How files of one kind are counted: by suffix, or by name where they have none."""
    last = name.rstrip("/").rpartition("/")[2]
    if last.startswith("._"):  # macOS writes one beside every file on foreign file systems
        return "._*"
    if name.endswith("/"):
        return f"{last}/"
    return Path(last).suffix.lower() or last
