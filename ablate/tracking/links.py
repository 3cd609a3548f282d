"""Links into MLflow's UI."""

from __future__ import annotations

import json
from urllib.parse import quote

from ablate.tracking import projection
from ablate.tracking.records import PublishedStudy

_COMPARED = 100
"""Runs that the UI's comparison page takes in one URL; larger studies get the experiment's chart view."""


def compare_url(base_url: str, study: PublishedStudy) -> str:
    """Return the link of MLflow's UI at `base_url` (e.g. http://127.0.0.1:5000) that compares all of a study's runs."""
    root = f"{base_url.rstrip('/')}/#"
    if len(study.runs) <= _COMPARED:
        runs, experiments = (quote(json.dumps(ids, separators=(",", ":"))) for ids in ([run.run_id for run in study.runs], [study.experiment_id]))
        return f"{root}/compare-runs?runs={runs}&experiments={experiments}"
    condition = f"tags.`{projection.STUDY}` = '{study.record.study_id}' AND tags.`{projection.KIND}` = 'trial'"
    return f"{root}/experiments/{study.experiment_id}?searchFilter={quote(condition)}&compareRunsMode=CHART"
