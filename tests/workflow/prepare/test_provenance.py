"""Provenance: the reader understands what the writer writes, and nothing is invented for it."""

from __future__ import annotations

import platform
from importlib.metadata import version

from ablate import __version__
from ablate.study.provenance import Provenance, provenance_of_tags, provenance_to_tags
from ablate.workflow.prepare.current_provenance import LIBRARIES, provenance_here, provenance_tags


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


def test_what_nobody_wrote_is_not_known() -> None:
    assert provenance_of_tags({}) == Provenance()
    assert provenance_to_tags(Provenance()) == {}
    assert provenance_of_tags({"mlflow.source.git.commit": "c0ffee"}).commit == "c0ffee"
