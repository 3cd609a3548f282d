"""Provenance: the reader understands what the writer writes, and nothing is invented for it."""

from __future__ import annotations

import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

from ablate import __version__
from ablate.study.provenance import Provenance, provenance_of_tags, provenance_to_tags
from ablate.workflow.prepare.current_provenance import (
    LIBRARIES,
    _commit_of,
    provenance_here,
    provenance_tags,
)


def test_the_tags_of_a_run_are_read_as_what_wrote_them() -> None:
    here = provenance_here()
    assert provenance_of_tags(provenance_tags()) == here
    assert here.version == __version__
    assert here.libraries["timm"] == version("timm")
    assert set(here.libraries) <= {"python", *LIBRARIES}
    assert platform.node() not in (here.platform or "").split()


def test_a_store_that_sorts_its_tags_changes_nothing() -> None:
    tags = provenance_tags()
    shuffled = dict(sorted(tags.items(), reverse=True)) | {"mlflow.user": "me", "device": "cpu"}
    read = provenance_of_tags(shuffled)
    assert read == provenance_here()
    assert next(iter(read.libraries)) == "python"


def test_a_package_inside_somebody_elses_checkout_does_not_take_its_commit(tmp_path: Path) -> None:
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "theirs"], check=True)
    file = tmp_path / "venv" / "ablate" / "workflow" / "prepare" / "provenance.py"
    file.parent.mkdir(parents=True)
    file.touch()
    assert _commit_of(file) == "unknown"
    subprocess.run([*git, "add", str(file)], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "ours"], check=True)
    assert re.fullmatch("[0-9a-f]{40}", _commit_of(file))


def test_what_nobody_wrote_is_not_known() -> None:
    assert provenance_of_tags({}) == Provenance()
    assert provenance_to_tags(Provenance()) == {}
    assert provenance_of_tags({"mlflow.source.git.commit": "c0ffee"}).commit == "c0ffee"
