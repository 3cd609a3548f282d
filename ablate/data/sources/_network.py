"""Find out in seconds whether a download can be tried at all.

A machine without a network fails fast instead of hanging.
"""

from __future__ import annotations

import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

PROBE_TIMEOUT_S = 6.0
STALL_TIMEOUT_S = 30.0
"""A download that delivers nothing for so long is given up."""
# What a proxy answers that lets nobody out, in place of the server.
_PROXY_REFUSALS = (403, 407)


def is_reachable(url: str, *, timeout_s: float = PROBE_TIMEOUT_S) -> bool:
    """Whether anything answers at `url` (http or https) within `timeout_s` seconds.

    The look-up of the name is included. An error page is an answer.
    """
    # A thread, because the system's name look-up has no timeout of its own.
    answered = threading.Event()
    # daemon: a look-up that hangs must not keep the process alive at its end
    thread = threading.Thread(target=_ask, args=(url, timeout_s, answered), daemon=True)
    thread.start()
    thread.join(timeout_s)
    return answered.is_set()


def _ask(url: str, timeout_s: float, answered: threading.Event) -> None:
    if not url.startswith(("http://", "https://")):
        return
    # HEAD: the data sets behind these addresses are gigabytes
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - scheme checked above
    try:
        with urllib.request.urlopen(request, timeout=timeout_s):  # noqa: S310 - as above
            answered.set()
    except urllib.error.HTTPError as error:
        # A gateway or proxy that answers in the server's place has codes like these.
        if error.code < 500 and error.code not in _PROXY_REFUSALS:
            answered.set()
    except (OSError, ValueError):
        return


@contextmanager
def stalls_are_errors() -> Iterator[None]:
    """Let a connection that stalls for STALL_TIMEOUT_S raise instead of waiting for ever."""
    # torchvision's downloads take no timeout: the process-wide default is the only way in.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALL_TIMEOUT_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
