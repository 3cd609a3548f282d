"""The bar above a report: only for what is wrong."""

from __future__ import annotations

from dataclasses import replace

from ablate.reporting.compute import compute_results
from ablate.reporting.text.warnings import warnings
from ablate.study.record import NearDuplicates


def warnings_of(published) -> list[str]:
    return warnings(compute_results(published.study, published.predictions))


def with_data(published, **changes):
    return published.with_record(data=published.study.record.data.model_copy(update=changes))


def test_nothing_is_wrong_with_a_sound_study(published) -> None:
    assert warnings_of(with_data(published, requested_source="rendered_flowers")) == []


def with_shares(published, *shares: float):
    arms = [arm.arm_id for arm in published.study.record.arms]
    sound = with_data(published, requested_source="rendered_flowers")
    return sound.with_record(seen_shares=dict(zip(arms, shares, strict=False)))


def test_what_networks_do_not_see_of_an_image_has_a_line(published) -> None:
    assert warnings_of(with_shares(published, 0.51, 0.51)) == [
        "**Networks see 51 % of the pixels:** the middle of an image; `view: pad` or "
        "`view: squash` shows all."
    ]
    (some_arms,) = warnings_of(with_shares(published, 0.8499, 1.0))
    assert some_arms.startswith(
        "**Networks see 84 to 100 % of the pixels, fewer than 85 % in 1 of 2 arms:** the"
    )
    assert warnings_of(with_shares(published, 0.85, 1.0)) == []


def test_each_thing_that_is_wrong_has_a_line(published) -> None:
    wrong = with_data(
        published,
        near_duplicates=NearDuplicates(n_pairs=3, pairs=()),
        cut_share=0.4,
        class_counts={**published.study.record.data.class_counts, "test": (12, 9, 12, 4, 0)},
    )
    wrong = wrong.with_runs(
        lambda run: replace(run, status="FAILED") if run.run_id == "run000" else run
    )
    stand_in, absent, duplicates, small, cut_away, failed = warnings_of(wrong)
    assert cut_away.startswith("**40 % of the pixels are cut away:**")
    assert stand_in.startswith("**The images are synthetic stand-ins:**")
    assert absent.startswith("**1 class without images in test: ")
    assert duplicates == (
        "**3 near-duplicates between splits:** images of val or test that are also in train "
        "make every score too high."
    )
    assert small == (
        "**2 classes with fewer than 10 test images:** `species 1` (9), `species 3` (4). "
        "Their scores are coarse."
    )
    assert failed.startswith("**1 of 20 trials failed** and are in no result below; ")


def test_only_the_arms_that_see_the_middle_square_cut_pixels_away(published) -> None:
    wrong = with_data(published, requested_source="rendered_flowers", cut_share=0.4)
    (everywhere,) = warnings_of(wrong)
    assert "networks see the middle square of each image" in everywhere
    record = wrong.study.record
    axes = {**record.axes, "view": ("crop", "pad")}
    study = replace(wrong.study, record=record.model_copy(update={"axes": axes}))
    (in_some_arms,) = warnings_of(replace(wrong, study=study))
    assert "arms with view: crop see the middle square of each image" in in_some_arms
