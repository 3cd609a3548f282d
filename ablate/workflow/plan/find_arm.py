"""The arm that a user names."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.errors import SpecError
from ablate.grid.wording import nearest
from ablate.study.record import ArmRecord


def find_arm(arms: Sequence[ArmRecord], name: str | None, *, otherwise: str) -> ArmRecord:
    """Return the arm of that name; without one, that of the arm_id `otherwise`.

    Raises SpecError with the nearest name.
    """
    for arm in arms:
        if arm.name == name or (name is None and arm.arm_id == otherwise):
            return arm
    names = [arm.name for arm in arms]
    raise SpecError(
        "--arm must be an arm of the grid as `ablate plan` names them, "
        f"got {name!r}{nearest(name, names)}"
    )
