"""Which code, which libraries and what kind of machine made a run.

One type, one writer, one reader.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

# Keys of tags in tracking stores that exist: they can be read for ever and never be renamed.
_VERSION = "ablate.version"
_COMMIT = "commit"
_PLATFORM = "ablate.platform"
_LIBRARY = "version/"
_COMMITS = (_COMMIT, "mlflow.source.git.commit")
"""Tags that may hold a commit, the first that does counts: MLflow writes one of its own."""


class Provenance(BaseModel):
    """What made a run. None is what nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    version: str | None = None
    """Of `ablate`."""
    commit: str | None = None
    """Of `ablate`'s repository, with `-dirty` where files differ from it; `unknown` outside one."""
    platform: str | None = None
    """Operating system and processor, e.g. `Linux x86_64`; never a machine's name."""
    libraries: dict[str, str] = {}
    """Python and the libraries that compute -> version."""


def provenance_to_tags(provenance: Provenance) -> dict[str, str]:
    """Return the tags that a run carries, without what is not known."""
    named = {
        _VERSION: provenance.version,
        _COMMIT: provenance.commit,
        _PLATFORM: provenance.platform,
    }
    # What nobody knows has no tag: MLflow would keep the text "None".
    tags = {name: value for name, value in named.items() if value is not None}
    for library, version in provenance.libraries.items():
        tags[_LIBRARY + library] = version
    return tags


def provenance_of_tags(tags: Mapping[str, str]) -> Provenance:
    """Inverse of `provenance_to_tags`; other tags are passed over."""
    libraries = {}
    # Sorted, since no store keeps the order of its tags.
    for name, version in sorted(tags.items()):
        if name.startswith(_LIBRARY):
            libraries[name.removeprefix(_LIBRARY)] = version
    # As it is written: Python first, the libraries after it.
    if "python" in libraries:
        libraries = {"python": libraries.pop("python"), **libraries}
    commit = None
    for name in _COMMITS:
        commit = commit or tags.get(name) or None
    return Provenance(
        version=tags.get(_VERSION),
        commit=commit,
        platform=tags.get(_PLATFORM),
        libraries=libraries,
    )
