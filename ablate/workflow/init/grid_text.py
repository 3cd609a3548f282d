"""A grid file with the reason of each value above it."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from ablate.advice.advise import Advice, Recommendation
from ablate.advice.rough_cost import RoughCost
from ablate.data.layouts import Trap
from ablate.errors import escaped, some
from ablate.study.image_rule import ImageRule
from ablate.workflow.init.facts import USUAL_CROP, seen_share
from ablate.workflow.init.proposal import Proposal
from ablate.workflow.init.splits import FRACTIONS, SPLIT_SEED, sides_in_words

_WIDTH = 100
_N_CLASSES = 8
MADE_BY = "made by ablate init"
"""In the first lines: such a file and its table may be made again."""
# Written by this module: where images are and how they are split follows from them alone.
_SECTIONS = ("base", "axes")


def grid_text(proposal: Proposal, advice: Advice, traps: Sequence[Trap], cost: RoughCost) -> str:
    """The whole file. `cost` is that of its study, by known speeds."""
    lines = [f"# {_question(proposal)}"]
    lines.append(f"# {MADE_BY}; to go on:")
    for command in commands(proposal):
        lines.append(f"#   {command}")
    lines += _remark(cost.line)
    lines += _what_was_found(proposal)
    lines += _trap_lines(traps)
    lines += _field("task", proposal.task, _why(advice, "task"))
    lines += _data_lines(proposal, advice)
    for section in _SECTIONS:
        lines += _section(advice, section)
    for recommendation in advice.recommendations:
        if "." not in recommendation.field and recommendation.field != "task":
            lines += _field(recommendation.field, recommendation.value, _reason(recommendation))
    return "\n".join(lines) + "\n"


def commands(proposal: Proposal) -> list[str]:
    """The commands that plan and run the grid."""
    place = proposal.place
    words = shlex.quote(_shown_path(place.grid))
    if place.needs_data_dir:
        words += f" --data-dir {shlex.quote(_shown_path(place.base))}"
    return [f"ablate plan {words}", f"ablate run {words}"]


def _shown_path(path: Path) -> str:
    """A path as it would be typed here."""
    here = Path.cwd()
    if path.is_relative_to(here):
        path = path.relative_to(here)
    return str(path)


def _question(proposal: Proposal) -> str:
    name = escaped(proposal.looked.root.name)
    return (
        f"Which way of transferring a pretrained network works on the {len(proposal.images)} "
        f"images of {name} ({len(proposal.class_names)} classes)?"
    )


def _what_was_found(proposal: Proposal) -> list[str]:
    found = proposal.found
    lines = _remark(f"found: {found.layout}; {found.evidence}")
    counts = dict.fromkeys(proposal.class_names, 0)
    for of_split in proposal.dealt.counts.values():
        for name, n in of_split.items():
            counts[name] += n
    words = [f"{escaped(name)} {n}" for name, n in counts.items()]
    return [*lines, *_remark(f"classes: {some(words, most=_N_CLASSES)}")]


def _trap_lines(traps: Sequence[Trap]) -> list[str]:
    if not traps:
        return ["# traps: none were seen"]
    lines = ["# traps:"]
    for trap in traps:
        lines += _remark(f"- {trap.kind}: {trap.text}", indent="#   ", hanging="#     ")
    return lines


def _data_lines(proposal: Proposal, advice: Advice) -> list[str]:
    lines = ["data:"]
    lines += _below("source", "folder", _source_reason(proposal))
    lines += _below("path", proposal.data_path, _path_reason(proposal))
    values = advice.below("data")
    for recommendation in advice.recommendations:
        section, _, name = recommendation.field.partition(".")
        if section == "data":
            reason = _reason(recommendation)
            if name == "view":
                reason = f"{reason}; {crop_words(proposal, values)}"
            lines += _below(name, recommendation.value, reason)
    if proposal.groups is not None:
        rule = _plain_rule(proposal.groups.rule)
        lines += _below("group_by", rule, f"{proposal.groups.in_words}; no group on two sides")
    return lines + _split_lines(proposal)


def _source_reason(proposal: Proposal) -> str:
    if proposal.is_table:
        return "images and labels by the CSV that init wrote"
    return "class folders are read as they are"


def _path_reason(proposal: Proposal) -> str:
    if proposal.place.needs_data_dir:
        return "below the folder that --data-dir names"
    return "./ is the folder of this file"


def crop_words(proposal: Proposal, data: dict[str, object]) -> str:
    """What the middle square would cut away, and what is seen as the grid has it."""
    headers = proposal.looked.headers.of
    share = data.get("crop_share") or USUAL_CROP
    cropped = seen_share(headers, "crop", float(str(share)))
    words = f"view: crop shows val and test {cropped:.0%} of the pixels"
    view = data.get("view")
    if view in ("squash", "pad"):
        words += f", view: {view} 100%"
    return words


def _split_lines(proposal: Proposal) -> list[str]:
    dealt = proposal.dealt
    words = f"{sides_in_words(dealt.n_images)} images"
    if dealt.n_groups:
        words += f" ({sides_in_words(dealt.n_groups)} groups)"
    if proposal.has_own_splits:
        return _remark(f"splits: the folder's own: {words}", indent="  # ")
    lines = _below("split_seed", SPLIT_SEED, f"splits: {dealt.rule}: {words}")
    return lines + _below("fractions", FRACTIONS.model_dump(), "")


def _plain_rule(rule: ImageRule) -> object:
    if isinstance(rule, str):
        return rule
    return rule.model_dump()


def _section(advice: Advice, section: str) -> Iterator[str]:
    varied = advice.below("axes")
    yield f"{section}:"
    for recommendation in advice.recommendations:
        start, _, name = recommendation.field.partition(".")
        # What an axis varies has its values there.
        is_varied = section == "base" and name in varied
        if start == section and not is_varied:
            yield from _below(name, recommendation.value, _reason(recommendation))


def _why(advice: Advice, field: str) -> str:
    for recommendation in advice.recommendations:
        if recommendation.field == field:
            return _reason(recommendation)
    return ""


def _reason(recommendation: Recommendation) -> str:
    text = f"{recommendation.why} ({recommendation.source})"
    if recommendation.alternatives:
        others = map(_value, recommendation.alternatives)
        text += f"; next best: {', '.join(others)}"
    return text


def _field(name: str, value: object, reason: str) -> list[str]:
    return [*_remark(reason), f"{name}: {_value(value)}"]


def _below(name: str, value: object, reason: str) -> list[str]:
    return [*_remark(reason, indent="  # "), f"  {name}: {_value(value)}"]


def _remark(text: str, *, indent: str = "# ", hanging: str = "") -> list[str]:
    """A comment, wrapped; names of files in it may hold anything but line breaks."""
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=hanging or indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _value(value: object) -> str:
    """A value in one line of YAML."""
    if isinstance(value, str) and "\\" in value:
        # Single quotes: YAML leaves the backslashes of an expression alone there.
        quoted = value.replace("'", "''")
        return f"'{quoted}'"
    dumped = yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10_000
    )
    # A word alone is written with the end of its document.
    return dumped.removesuffix("\n").removesuffix("\n...")
