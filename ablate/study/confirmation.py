"""A second look at the arms that a study would recommend, with seeds that had no part in choosing.

The best of many arms looks better than it is, on test too, because trials share their luck between
val and test. Fresh seeds know nothing of the choice, so a difference over them is unbiased.
"""

from __future__ import annotations

from collections.abc import Collection

from pydantic import BaseModel, ConfigDict


class Confirmation(BaseModel):
    """Which arms are trained again: chosen once, so that what is seen later changes nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    champion_arm_id: str
    """The best arm on val when the choice was made."""
    baseline_arm_id: str
    cheapest_arm_id: str | None = None
    """Of the arms that may have been the best, the one that trains the fewest parameters; None
    where that is one of the other two."""
    chosen_with: tuple[int, ...]
    """Seeds of the trials that the choice was made by."""
    first_seed: int
    """Fresh seeds are counted from here."""

    @property
    def arm_ids(self) -> tuple[str, ...]:
        """Each arm once, the best one first."""
        chosen = [self.champion_arm_id, self.baseline_arm_id]
        if self.cheapest_arm_id is not None:
            chosen.append(self.cheapest_arm_id)
        # The best arm may be the baseline itself.
        return tuple(dict.fromkeys(chosen))

    @property
    def has_pairs(self) -> bool:
        """Whether there is anything to compare: the baseline alone confirms nothing."""
        return len(self.arm_ids) > 1

    def stands(self, arm_ids: Collection[str], *, baseline_arm_id: str) -> bool:
        """Whether a study of these arms can still confirm it: an edited grid may not have them."""
        is_here = all(arm_id in arm_ids for arm_id in self.arm_ids)
        return is_here and self.baseline_arm_id == baseline_arm_id
