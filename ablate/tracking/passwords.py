"""Passwords of tracking and storage URIs.

Whatever prints, logs or keeps a URI, or a text that may hold one, asks here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from urllib.parse import unquote

HIDDEN = "***"
SETTINGS = ("MLFLOW_TRACKING_URI", "ABLATE_OPTUNA")
"""Variables of the environment whose values are URIs, as the user wrote them."""
_URI = re.compile(r"(?P<scheme>[A-Za-z][\w+.-]*)://(?P<rest>.*)", re.DOTALL)
_IN_TEXT = re.compile(r"[A-Za-z][\w+.-]*://[^\s\"'<>`]+")
# `user:password@`, up to the last @; a user is optional, as in `:password@host`.
_WITH_PASSWORD = re.compile(r"[^:/?#@]*:(?P<secret>.*)@", re.DOTALL)
# `token@` of http(s): services take a token as the user, without a password.
_TOKEN = re.compile(r"(?P<secret>[^:/?#@]+)@")
# A host and perhaps a port, then a path, a query or nothing: no user stands before it.
_HOST = re.compile(r"[^:/?#@]*(:\d*)?([/?#]|$)")
# An & that no further `name=` follows belongs to the value: it should have been written %26.
_PARAMETER = re.compile(r"[?&#](?P<name>[^=&]*)=(?P<secret>[^&]*(&(?![^=&]+=)[^&]*)*)", re.DOTALL)
# Parameters of a query whose values are secrets: `sslpassword=`, `X-Amz-Signature=`, `sig=`, ...
_SECRET_NAME = re.compile(
    r"pass|pwd|secret|token|credential|odbc_connect|key$|signature$|^sig$", re.IGNORECASE
)
# What is left of a URI whose scheme, or whose two slashes, were forgotten.
_WITHOUT_SLASHES = re.compile(r"(?P<start>[\w+.-]*:)(?P<secret>.+)@", re.DOTALL)


def without_password(uri: str) -> str:
    """Return a store's URI as it may be printed: no password before the host, none in the query.

    Databases are read as SQLAlchemy reads them: what stands before an `@` may hold `/`, `?` and
    `#`. A password with an `@` of its own is hidden up to the last one, though part of what follows
    may go with it. Of http(s) a user without a password is hidden too: so tokens are written. A URI
    whose scheme was forgotten is read as one. What is no URI comes back as it was.
    """
    match = _URI.fullmatch(uri)
    if match is None:
        return _WITHOUT_SLASHES.sub(rf"\g<start>{HIDDEN}@", uri, count=1)
    scheme = match["scheme"]
    rest = match["rest"]
    is_http = scheme.lower() in ("http", "https")
    shown = ""
    end = 0
    for first, last in _merged(sorted(_secrets(rest, is_http=is_http))):
        shown += rest[end:first] + HIDDEN
        end = last
    return f"{scheme}://{shown}{rest[end:]}"


def hide_passwords(text: str) -> str:
    """Return a text with each URI in it as it may be printed.

    For texts that somebody else wrote: an exception, a server. URIs of the environment are found as
    a whole, as they are and as Python quotes them; others end at a space or a quotation mark.
    """
    # First the URIs that are known: their passwords may hold a space, which ends others.
    for uri in filter(None, map(os.environ.get, SETTINGS)):
        rest = _after_scheme(uri)
        shown = _after_scheme(without_password(uri))
        if rest == shown:
            continue
        for written in (rest, repr(rest)[1:-1]):
            text = text.replace(written, shown)
    return _IN_TEXT.sub(lambda match: without_password(match[0]), text)


def _after_scheme(uri: str) -> str:
    """What a text holds of a URI even where its scheme was completed.

    `postgresql+psycopg://` of `postgresql://`.
    """
    return uri.partition("://")[2] or uri


def _secrets(rest: str, *, is_http: bool) -> Iterator[tuple[int, int]]:
    """Yield first and last of what must not be shown in what follows `://`."""
    is_host_alone = is_http and _HOST.match(rest) is not None  # then an @ belongs to the path
    before_host = None
    if not is_host_alone:
        before_host = _WITH_PASSWORD.match(rest)
    if before_host is None and is_http:
        before_host = _TOKEN.match(rest)
    if before_host is not None:
        yield before_host.span("secret")
    for parameter in _PARAMETER.finditer(rest):
        if _SECRET_NAME.search(unquote(parameter["name"])):
            yield parameter.span("secret")


def _merged(spans: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield sorted spans, those that overlap as one."""
    while spans:
        first, last = spans.pop(0)
        while spans and spans[0][0] <= last:
            last = max(last, spans.pop(0)[1])
        yield first, last
