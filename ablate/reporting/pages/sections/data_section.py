"""The report on where its images and its pretrained weights came from."""

from __future__ import annotations

from collections.abc import Collection

from ablate.quoting import code, text
from ablate.reporting.results import NOT_MEASURED, Results, ShowFigure
from ablate.reporting.text import study_sentences
from ablate.reporting.text.markdown import table, yes_or_no
from ablate.reporting.text.split_sentences import own_split_sentence
from ablate.study.image_shapes import FEWEST_SEEN, seen_in_words, sizes_in_words


def data_section(results: Results, _show: ShowFigure) -> str:
    """Source, origin, version, licence, splits, sizes of images; where networks came from."""
    data = results.record.data
    source = code(data.source)
    if data.is_fallback:
        source += f", asked for {code(data.requested_source)}"
    facts = {
        "source": source,
        "origin": text(data.origin),
        "version": text(data.version),
        "licence": text(data.licence),
        "synthetic": yes_or_no(data.is_synthetic),
    }
    # only then: most studies take the classes of the source as they are
    if data.regrouped:
        facts["classes regrouped"] = study_sentences.regrouped_text(data)
    facts["splits"] = text(data.split_rule)
    if data.splits is not None:
        facts["splits of the seeds"] = own_split_sentence(data).rstrip()
    if data.shapes is not None:
        facts["images"] = text(sizes_in_words(data.shapes))
    shares = results.record.seen_shares.values()
    if shares:
        facts["seen of an image"] = _seen(shares)
    if data.groups is not None:
        facts["groups"] = study_sentences.group_sentence(data).rstrip()
    facts["fingerprint"] = code(data.fingerprint)
    # Beside the images: both decide what a score can mean, and weights are not always what the
    # backbone's name says.
    facts["pretrained weights"] = _weights(results)
    return "## Data\n\n" + table(["what", "value"], facts.items(), n_text_columns=2)


def _seen(shares: Collection[float]) -> str:
    """How much networks see, and where that is little, what to do about it."""
    words = f"{seen_in_words(shares)} of its pixels in val and test"
    if min(shares) >= FEWEST_SEEN:
        return words
    return (
        f"{words}; what lies outside counts for nothing: `view: pad` or `view: squash` under "
        "`data` shows whole images, `crop_share: 1` the whole middle square"
    )


def _weights(results: Results) -> str:
    """What completed runs started from, each source once, in the order of the arms."""
    sources: dict[str, None] = {}
    for arm in results.record.arms:
        for run in results.complete_runs(arm.arm_id):
            sources[run.facts.weights_source or NOT_MEASURED] = None
    # Not a comma: the words on a source have commas of their own.
    return text("; ".join(sources) or NOT_MEASURED)
