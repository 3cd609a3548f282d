"""Which versions of the forms in which a study is kept are read, and what is said of the others."""

from __future__ import annotations

import re

import pytest

from ablate.errors import RequestError
from ablate.schema_version import SCHEMA_VERSION, NewerSchema, check_schema, newer_schema


@pytest.mark.parametrize(
    "version", [*range(SCHEMA_VERSION + 1), None, "x", True, 2.5, {"major": 3}]
)
def test_earlier_versions_and_what_is_no_version_pass(version: object):
    check_schema(version, place="study.json")


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, 10**30])
def test_a_later_version_is_refused_and_named(version: int):
    message = (
        f"study.json must have schema version {SCHEMA_VERSION} or older, it has version {version}: "
        "a newer ablate wrote it; update ablate to open this study."
    )
    with pytest.raises(NewerSchema, match=f"^{re.escape(message)}$"):
        check_schema(version, place="study.json")
    assert issubclass(NewerSchema, RequestError)  # exit code 2: nothing was started


def test_content_that_is_unknown_is_of_a_later_version_though_it_names_this_one():
    assert str(newer_schema(SCHEMA_VERSION, place="line 7")) == (
        f"line 7 must have schema version {SCHEMA_VERSION} or older, it has content that this "
        "ablate does not know: a newer ablate wrote it; update ablate to open this study."
    )
