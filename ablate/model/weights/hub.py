"""The timm hub: whether it can be reached, and what of it is cached here."""

from __future__ import annotations

import threading
from pathlib import Path

import torch

from ablate.errors import WeightsError
from ablate.model.weights.bundled import BUNDLES
from ablate.model.weights.more.packages import more_of

_HUB_SECONDS = 8.0
"""How long the hub may take to answer its first question."""
_FILE_NAMES = ("model.safetensors", "pytorch_model.bin", "open_clip_model.safetensors")
"""What timm looks for in a repository of the hub."""


def ways_out(backbone: str) -> str:
    """Return what can be done where the hub does not give the weights of a backbone."""
    ways = [
        f"a backbone with bundled weights ({', '.join(BUNDLES)})",
        "weights: PATH of a file",
        "weights: none (random)",
        "or a network",
    ]
    more = more_of(backbone)
    if more is not None:
        # Named with what it is: it is not what the hub would have given.
        ways.insert(0, f"weights: more ({more.nature})")
    return f"Ways out: {', '.join(ways)}"


def check_hub(backbone: str, hub_id: str | None, url: str | None) -> None:
    """Ask the hub once, unless its weights are cached.

    Raises WeightsError where it cannot be reached: a name server or a firewall that keeps silent is
    given up on after `_HUB_SECONDS`.
    """
    if not hub_id and not url:
        raise WeightsError(
            f"weights of {backbone} must come from the timm hub, which has none for it. "
            f"{ways_out(backbone)}"
        )
    if cached_at(hub_id, url) is not None:
        return
    answers: list[str] = []
    # a thread, since looking up a name has no time limit of its own; a daemon, so that one that
    # still waits does not hold up the end of the program
    thread = threading.Thread(target=lambda: answers.append(_ask_hub(hub_id, url)), daemon=True)
    thread.start()
    thread.join(_HUB_SECONDS)
    reason = answers[0] if answers else f"no answer in {_HUB_SECONDS:.0f} s"
    if reason:
        raise WeightsError(
            f"weights of {backbone} must come from the timm hub, which cannot be reached "
            f"({reason}). {ways_out(backbone)}"
        )


def cached_at(hub_id: str | None, url: str | None) -> Path | None:
    """Return the file in the hub's or torch's cache on this machine, or None."""
    if not hub_id:
        path = Path(torch.hub.get_dir()) / "checkpoints" / Path(str(url)).name
        return path if path.is_file() else None
    from huggingface_hub import try_to_load_from_cache

    repository = _repository_of(hub_id)
    for name in _FILE_NAMES:
        # besides None, the hub returns an object that says "known not to exist"
        cached = try_to_load_from_cache(repository, name)
        if isinstance(cached, str):
            return Path(cached)
    return None


def _ask_hub(hub_id: str | None, url: str | None) -> str:
    """Return why the hub cannot be reached, or an empty string.

    Any answer over HTTP counts as reached.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError

    # a repository's small file, and of a lone URL the weights: only the header is asked for
    address = str(url)
    if hub_id:
        address = hf_hub_url(_repository_of(hub_id), "config.json")
    try:
        get_hf_file_metadata(address, timeout=_HUB_SECONDS)
    except HfHubHTTPError:
        return ""
    # whatever the network stack raises: this runs in a thread, where an error would be lost
    except Exception as error:
        # a server that is no hub answers without an etag, and it did answer
        if "etag" not in str(error):
            return type(error).__name__
    return ""


def _repository_of(hub_id: str) -> str:
    """timm writes a revision behind an @."""
    return hub_id.split("@")[0]
