"""The content tree of the Structured Report (TID 1500).

A reader must be able to distinguish "not flagged", "absent" and "not evaluated", and see which
images were not used. So every finding has a group with its reason, flagged or not. The item
"Finding" (TID 1501 row 3b), which importers read as an observation, is written only if the finding
is Present, never for a flag alone.

The verdict on the study is the first content, as people read from the top. The order of the rows of
TID 1500 is significant, so their own items stay in it: the verdict is an additional item, which an
extensible template allows, and Qualitative Evaluations repeats it where programs look for it. The
title stays the standard's, because its meaning belongs to its code. No item needs a Comprehensive
3D SR, so the tree is equal in all SOP classes.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter

from highdicom.sr import ContainerContentItem, ContentItem, ContentSequence, ValueTypeValues

from triage.domain.assessment import (
    Answer,
    Assessment,
    Familiarity,
    Flag,
    Presence,
    SimilarCase,
    UsedView,
    describe_examples,
)
from triage.domain.finding import Examples
from triage.reports import codes, identity, views
from triage.reports.content import (
    ACQUISITION,
    CONTEXT,
    MODIFIER,
    code,
    container,
    image,
    is_readable,
    number,
    one_line,
    text,
    uidref,
)
from triage.reports.document import INTENDED_USE, key_frames, observer_items
from triage.reports.equipment import Equipment


def root(assessment: Assessment, equipment: Equipment) -> ContainerContentItem:
    """Return the tree; raise ValueError for an answer that contradicts itself."""
    items = [
        code(codes.LANGUAGE, codes.ENGLISH, MODIFIER),
        code(codes.OBSERVER_TYPE, codes.DEVICE, CONTEXT),
        *observer_items(assessment, equipment),
        code(codes.PROCEDURE, codes.CARDIAC_MRI, MODIFIER),
        container(codes.TRIAGE, list(_verdict(assessment))),
        *_image_library(assessment),
        container(codes.MEASUREMENTS, [*_algorithm(assessment), *_groups(assessment)]),
        container(codes.EVALUATIONS, _codes_first([*_overall(assessment), *_coverage(assessment)])),
        *_similar(assessment),
    ]
    return container(codes.REPORT, items, relationship=None, template="1500")


# -- images and algorithm


def _image_library(assessment: Assessment) -> Iterator[ContentItem]:
    """Yield TID 1600 with key frames only, because an entry costs about 3.9 kB and 26 ms."""
    frames = key_frames(assessment)
    if not frames:
        return
    entries = []
    for frame in frames:
        entry = image(None, frame.image)
        context = [
            code(codes.MODALITY, codes.MAGNETIC_RESONANCE, ACQUISITION),
            text(codes.VIEW, views.view_title(frame.view), ACQUISITION),
        ]
        entry.ContentSequence = ContentSequence(context)
        entries.append(entry)
    group = container(codes.LIBRARY_GROUP, entries)
    yield container(codes.LIBRARY, [group], template="1600")


def _algorithm(assessment: Assessment) -> Iterator[ContentItem]:
    """Yield TID 4019."""
    model = assessment.model
    yield text(codes.ALGORITHM_NAME, model.name, MODIFIER)
    yield text(codes.ALGORITHM_VERSION, model.version, MODIFIER)
    for parameter in (
        f"model_sha256={model.digest}",
        f"findings_sha256={assessment.findings_digest}",
        f"inputs_sha256={assessment.inputs_digest}",
        f"execution_provider={model.execution_provider}",
        f"trained={'yes' if model.trained else 'no'}",
        *(f"finding_version={version}" for version in assessment.finding_versions),
        *_scales(assessment),
    ):
        yield text(codes.ALGORITHM_PARAMETERS, parameter, MODIFIER)


def _scales(assessment: Assessment) -> Iterator[str]:
    """Yield the scale of every kind of score in this report."""
    for kind in dict.fromkeys(answer.kind for answer in assessment.answers):
        yield f"{codes.SCORES[kind].value}={kind.scale}, not a probability"


# -- the findings


def _groups(assessment: Assessment) -> Iterator[ContentItem]:
    for answer in assessment.answers:
        _check(answer)
        yield container(codes.GROUP, list(_group(answer, assessment)), template="1501")


def _check(answer: Answer) -> None:
    """Raise ValueError for an answer that contradicts itself."""
    evaluated = answer.flag is not Flag.NOT_EVALUATED
    if evaluated is (answer.presence is Presence.NOT_EVALUATED):
        raise ValueError(f"{answer.finding.id}: flag {answer.flag}, but {answer.presence}")
    if evaluated and (answer.score is None or not math.isfinite(answer.score)):
        raise ValueError(f"{answer.finding.id}: flag {answer.flag} without a score")


def _group(answer: Answer, assessment: Assessment) -> Iterator[ContentItem]:
    """Yield the items of one finding (TID 1501)."""
    finding = answer.finding
    concept = codes.finding_concept(finding)
    yield text(codes.TRACKING_ID, finding.id, CONTEXT)
    yield uidref(
        codes.TRACKING_UID, identity.tracking_uid(assessment.study_uid, finding.id), CONTEXT
    )
    if answer.presence is Presence.PRESENT:
        yield code(codes.FINDING, concept)
    if finding.site is not None:
        yield code(codes.SITE, codes.configured_concept(finding.site), MODIFIER)
    # The meaning of a standard code may differ from the site's name of the finding.
    yield text(codes.ASKED, finding.name)
    yield from _numbers(answer)
    yield code(codes.FLAG, codes.FLAGS[answer.flag])
    yield code(concept, codes.PRESENCES[answer.presence])
    yield _reason(answer)
    yield from _sources(answer, assessment.used)
    yield from _illustrations(answer)
    for prompt in finding.prompts:
        yield text(codes.PROMPT, prompt)
    if answer.fitted and finding.examples is not None:
        number_of = f"fitted from {describe_examples(answer.examples)}"
        source = _describe_source(finding.examples)
        yield text(codes.EXAMPLES, f"{number_of}: {source}; fit_sha256={answer.fitted}")


def _describe_source(examples: Examples) -> str:
    """Return which examples a finding was fitted from; it identifies no study."""
    if examples.confirmed:
        return "all past cases labelled with or without this finding by a radiologist"
    count = len(examples.present)
    present = "1 study" if count == 1 else f"{count} studies"
    without = f"{len(examples.absent)} without" if examples.absent else "and a sample of past cases"
    return f"{present} with the finding, {without}"


def _numbers(answer: Answer) -> Iterator[ContentItem]:
    """Yield score and threshold (TID 300 without modifiers), if known: a NUM needs a value."""
    for name, value in (
        (codes.score_concept(answer), answer.score),
        (codes.THRESHOLD, answer.threshold),
    ):
        if value is not None and math.isfinite(value):
            yield number(name, value, codes.RATIO)


def _reason(answer: Answer) -> ContentItem:
    evaluated = answer.flag is not Flag.NOT_EVALUATED
    reason = views.spell_out_views(answer.reason)
    return text(codes.WHY if evaluated else codes.WHY_NOT_EVALUATED, reason)


def _sources(answer: Answer, used: Sequence[UsedView]) -> Iterator[ContentItem]:
    """Yield the first readable image of each view of the finding; the evidence has all images."""
    missing = set(answer.views) - {view.view for view in used}
    if missing:
        raise ValueError(f"{answer.finding.id} names view {min(missing)}, which is not used")
    for view in used:
        first = next(filter(is_readable, view.images), None) if view.view in answer.views else None
        if first is not None:
            same = (i for i in view.images if i.sop_instance_uid == first.sop_instance_uid)
            yield image(codes.SOURCE, first, [i.frame for i in same if i.frame is not None])


def _illustrations(answer: Answer) -> Iterator[ContentItem]:
    """Yield the key frames of a flagged finding; an unflagged finding has no illustration."""
    if answer.flag is Flag.YES:
        for frame in answer.key_frames:
            if is_readable(frame.image):
                yield image(codes.BEST_ILLUSTRATION, frame.image)


# -- the study


def _verdict(assessment: Assessment) -> Iterator[ContentItem]:
    """Yield the flag and priority of the study, a note on all results, and the intended use."""
    yield code(codes.FLAG, codes.FLAGS[assessment.flag])
    yield code(codes.PRIORITY, codes.PRIORITIES[assessment.priority])
    if assessment.note:
        yield text(codes.NOTE, one_line(assessment.note))
    yield text(codes.INTENDED_USE, f"{INTENDED_USE} {assessment.model.intended_use}")


def _codes_first(items: Iterable[ContentItem]) -> list[ContentItem]:
    """Return items in the order of TID 1500, rows 13 and 14: codes, then all others."""
    return sorted(items, key=lambda item: item.value_type is not ValueTypeValues.CODE)


def _overall(assessment: Assessment) -> Iterator[ContentItem]:
    """Yield the results for the study as a whole."""
    yield from _verdict(assessment)
    yield from _familiarity(assessment.familiarity)
    names = [a.finding.name for a in assessment.answers if a.flag is Flag.NOT_EVALUATED]
    if names:
        asked = len(assessment.answers)
        yield text(codes.UNANSWERED, f"{len(names)} of {asked}: {'; '.join(names)}")


def _familiarity(found: Familiarity | None) -> Iterator[ContentItem]:
    """Yield whether the study is in distribution; no item if the bundle cannot judge it."""
    if found is None:
        return
    yield code(codes.FAMILIAR, codes.FLAGS[Flag.YES if found.is_known else Flag.NO])
    yield number(codes.DISTANCE, found.distance, codes.RATIO)
    yield number(codes.FAMILIAR_UP_TO, found.limit, codes.RATIO)
    if not found.is_known:
        view = views.view_title(found.strangest_view)
        yield text(codes.UNFAMILIAR, view)


def _coverage(assessment: Assessment) -> Iterator[ContentItem]:
    """Yield the views used and missing, and the images not used."""
    for view in assessment.used:
        series = one_line(view.series_description) or "series without description"
        yield text(codes.VIEW_USED, f"{views.view_title(view.view)}: {series}; {view.why}")
    for gap in assessment.missing:
        yield text(codes.VIEW_MISSING, f"{views.view_title(gap.view)}: {gap.reason}")
    by_reason = attrgetter("reason")
    for reason, group in groupby(sorted(assessment.unused, key=by_reason), by_reason):
        stacks = list(group)
        images = sum(stack.images for stack in stacks)
        yield text(
            codes.UNUSED, f"{_count(images, 'image')} in {_count(len(stacks), 'stack')}: {reason}"
        )


def _count(number_of: int, thing: str) -> str:
    return f"{number_of} {thing}" if number_of == 1 else f"{number_of} {thing}s"


# -- similar cases


def _similar(assessment: Assessment) -> Iterator[ContentItem]:
    """Yield the similar cases or the reason for none; nothing if disabled by the site."""
    if assessment.similar:
        cases = [container(codes.SIMILAR_CASE, list(_case(case))) for case in assessment.similar]
        yield container(codes.SIMILAR_CASES, cases)
    if assessment.why_none_similar:
        yield text(codes.NONE_SIMILAR, assessment.why_none_similar)


def _case(case: SimilarCase) -> Iterator[ContentItem]:
    """Yield the similarity, and images of the patient or the key of another patient's case."""
    yield number(codes.CASE_SIMILARITY, case.similarity, codes.RATIO)
    if case.likeness is not None:
        yield number(codes.CASE_LIKENESS, case.likeness, codes.RATIO)
    if not case.key:
        for source in filter(is_readable, case.images):
            yield image(codes.PRIOR, source)
        return
    yield text(codes.CASE_KEY, case.key)
    if case.study_uid:
        yield uidref(codes.STUDY_UID, case.study_uid)
