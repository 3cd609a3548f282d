"""The optimizers that a recipe may name: AdamW, SGD, and what a trial can use of timm's factory.

No torch here: a test compares with timm.
"""

from __future__ import annotations

import difflib

from pydantic_core import PydanticCustomError

# Of timm.optim.list_optimizers(): what needs no other package and can resume with equal numbers.
# Many that begin with c are timm's cautious variants (Liang et al. 2024), as cadamw of adamw.
OPTIMIZERS = frozenset(
    """
    adabelief adadelta adafactor adafactorbv adafactorbvc adagrad adam adamax adamc adamp
    adamuon adamw adamwlegacy adan adanw adopt adoptc adoptw cadafactor cadafactorbv
    cadafactorbvc cadamc cadamp cadamw cadan cadanw cadopt cadoptc cadoptw clamb clambw claprop
    clion clionc cmars cnadamc cnadamw crmsproptf csgdc csgdp csgdw lamb lambc lambcd lambcw
    lambw laprop lapropc larc lars lion lionc madgrad madgradw mars momentum muon nadam nadamc
    nadamlegacy nadamuon nadamw nesterov nesterovw nlarc nlars nmuon novograd novogradc
    novogradw radabelief radam radamlegacy radamw rmsprop rmsproptf rmsproptfc rmsproptfw sgd
    sgdc sgdp sgdw
    """.split()  # noqa: SIM905  one a line would be a page
)
WITH_MOMENTUM = frozenset(
    """
    adafactorbv adafactorbvc adamuon cadafactorbv cadafactorbvc crmsproptf csgdc csgdp csgdw
    larc lars madgrad madgradw momentum muon nadamuon nesterov nesterovw nlarc nlars nmuon
    rmsprop rmsproptf rmsproptfc rmsproptfw sgd sgdc sgdp sgdw
    """.split()  # noqa: SIM905  one a line would be a page
)
"""Those that the field `momentum` speaks to."""
REFUSED = {
    "adahessian": "it needs the curvature, a second backward pass through every step",
    "kron": "its state is drawn and compiled on the way, "
    "so a trial that was killed could not resume with the same numbers",
    "bnb": "it needs bitsandbytes, and the state that it rounds depends on the device",
    "fused": "it needs NVIDIA's apex",
}
"""First letters of a name in timm's factory -> why no trial takes it."""


def check_optimizer(name: object) -> object:
    """Return `name`.

    Raise pydantic's error for one that is not in the vocabulary, with the reason or the nearest
    word.
    """
    if name in OPTIMIZERS:
        return name
    raise PydanticCustomError(
        "optimizer",
        "must be adamw, sgd or another name of timm's factory, "
        f"see docs/grid-files.md{_hint(str(name))}",
    )


def _hint(name: str) -> str:
    """Why timm's optimizer of that name is not taken, or the nearest name; else nothing."""
    # By the first letters: timm has bnbadam, bnblion, fusedadam, ... of a kind.
    for first, why in REFUSED.items():
        if name.startswith(first):
            return f" ({name} is not taken: {why})"
    # cutoff 0.5: a word that is like none gets no hint rather than a wrong one
    close = difflib.get_close_matches(name, sorted(OPTIMIZERS), n=1, cutoff=0.5)
    if close:
        return f" (the nearest is {close[0]})"
    return ""
