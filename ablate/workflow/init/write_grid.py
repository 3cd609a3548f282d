"""`ablate init`: from a folder to a grid file beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ablate.advice.advise import Advice, advise
from ablate.advice.facts import ImageSetFacts, MachineFacts
from ablate.advice.rough_cost import RoughCost, rough_cost
from ablate.advice.sources import GEOMETRY
from ablate.data.layouts import Trap
from ablate.errors import StoreError, escaped
from ablate.files import write_text
from ablate.grid.parse import parse_grid
from ablate.workflow.init.facts import image_set_facts, lie_and_stand
from ablate.workflow.init.grid_text import MADE_BY, commands, crop_words, grid_text
from ablate.workflow.init.look import Tell, look_at_folder
from ablate.workflow.init.place import Place, check_free, find_place
from ablate.workflow.init.proposal import Proposal, propose
from ablate.workflow.init.table_text import table_text
from ablate.workflow.init.traps import score_traps, time_traps, view_traps

_PAD_WHY = (
    "the whole image is seen; some images lie and others stand, which squashing would distort in "
    "two ways"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What `init` has made."""

    grid: Path
    table: Path | None
    """The CSV beside it, where one was needed."""
    layout: str
    evidence: str
    task: str
    class_names: tuple[str, ...]
    n_images: dict[str, int]
    """Split -> images."""
    n_groups: dict[str, int]
    group_by: str | None
    """The rule, with its evidence."""
    view: str
    """What is seen of an image, in words."""
    cost: RoughCost
    """Time and memory, by known speeds."""
    traps: tuple[Trap, ...]
    commands: tuple[str, ...]
    """That plan and run it."""


def write_grid(
    folder: Path, machine: MachineFacts, tell: Tell, *, out: Path | None, may_replace: bool
) -> Written:
    """Look at a folder and write its grid file. Raises DataError, SpecError or StoreError.

    No file is written over, unless `may_replace`.
    """
    # First what costs nothing: the file may be there already.
    place = find_place(folder.resolve(), out)
    check_free(place.grid, may_replace=may_replace, way_out="--force to replace it")
    looked = look_at_folder(folder, tell)
    proposal = propose(looked, place)
    facts = image_set_facts(proposal)
    advice = _advise(proposal, facts, machine)
    cost = rough_cost(facts, machine, advice)
    traps = (
        *proposal.traps,
        *score_traps(proposal),
        *view_traps(proposal, advice),
        *time_traps(cost, machine.minutes),
    )
    text = grid_text(proposal, advice, traps, cost=cost)
    # Whatever a stranger's names hold: a file that `plan` would refuse is not written.
    parse_grid(text, name=place.grid.stem, shown_as=str(place.grid))
    files = {place.grid: text}
    if proposal.is_table:
        # In this order: where writing fails halfway, no grid file names a table that is not there.
        files = {place.table: table_text(proposal), place.grid: text}
        # `photos.csv` beside `photos` may be the user's own, whatever was said of the grid file.
        is_own = may_replace and _made_by_init(place)
        check_free(place.table, may_replace=is_own, way_out="move it away")
        if place.needs_data_dir:
            tell(
                f"the table of images goes beside them, not beside the grid file: "
                f"{escaped(str(place.table))} (a table names files below its own folder)"
            )
    _write(files)
    return _written(proposal, advice, traps, cost)


def _made_by_init(place: Place) -> bool:
    """Whether the grid file that is there was written by init, with its table."""
    try:
        text = place.grid.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False
    # Both: a grid of init that names no table says nothing of the table that lies there.
    return MADE_BY in text and f"path: {place.data_path(is_table=True)}\n" in text


def _write(files: dict[Path, str]) -> None:
    for path, content in files.items():
        try:
            write_text(path, content)
        except OSError as error:
            raise StoreError(
                f"init must be able to write {escaped(str(path))}, it cannot ({error.strerror}); "
                "give another place with --out."
            ) from None


def _written(proposal: Proposal, advice: Advice, traps: Sequence[Trap], cost: RoughCost) -> Written:
    groups = None
    if proposal.groups is not None:
        groups = proposal.groups.in_words
    data = advice.below("data")
    return Written(
        grid=proposal.place.grid,
        table=proposal.place.table if proposal.is_table else None,
        layout=proposal.found.layout,
        evidence=proposal.found.evidence,
        task=proposal.task,
        class_names=proposal.class_names,
        n_images=proposal.dealt.n_images,
        n_groups=proposal.dealt.n_groups,
        group_by=groups,
        view=f"{data.get('view')} at {data.get('image_size')}; {crop_words(proposal, data)}",
        cost=cost,
        traps=tuple(traps),
        commands=tuple(commands(proposal)),
    )


def _advise(proposal: Proposal, facts: ImageSetFacts, machine: MachineFacts) -> Advice:
    """What the rules say, but for what only the images of one folder show."""
    headers = proposal.looked.headers.of
    advice = advise(facts, machine)
    if advice.value("data.view") != "squash" or not lie_and_stand(headers):
        return advice
    # The rules know how long images are, and not which way.
    advice = advise(facts, machine, given={"data.view": "pad"})
    recommendations = []
    for recommendation in advice.recommendations:
        if recommendation.field == "data.view":
            recommendation = replace(
                recommendation, why=_PAD_WHY, source=GEOMETRY, alternatives=("squash", "crop")
            )
        recommendations.append(recommendation)
    return Advice(tuple(recommendations))
