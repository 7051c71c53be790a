"""Use case of `triage series`: audit which views a folder of images gives the model, and why.

Reading, view selection and reasons are those of an assessment; this module returns them as plain
values for a table, JSON or a contact sheet. Every file of the folder is used, unused or unreadable,
with the reason (tests/unit/pipeline/test_protocol_audit.py).
"""

import csv
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from triage.dicom.header import is_image_class, read_identity
from triage.dicom.patient import refuse_two_patients
from triage.domain.errors import DamagedInstance, StudyDeclined
from triage.domain.spreadsheet_cells import quote_formula
from triage.imaging.images import Image, count_dropped, explain_dropped, open_image
from triage.imaging.rules import ImageFacts, SeriesRules, View, find_match, series_name
from triage.imaging.series import Selection, explain_declined, explain_unused, select_views
from triage.imaging.sheet import SheetRow, write_contact_sheet
from triage.imaging.views import StackView, order_from_base


@dataclass(frozen=True)
class AuditedStudy:
    """One study of a folder with the views that the worker would select."""

    study_uid: str
    images: tuple[Image, ...]
    selection: Selection
    declined: str | None  #: why the worker would not assess it


@dataclass(frozen=True)
class AuditedFolder:
    """The studies of a folder, and its files that are no readable DICOM."""

    studies: tuple[AuditedStudy, ...]
    unreadable: dict[str, str] = field(default_factory=dict)  #: reason by file


def read_folder(folder: Path, views: Sequence[str], rules: SeriesRules) -> AuditedFolder:
    """Read every file below `folder` and choose the views of every study."""
    studies: dict[str, list[Image]] = defaultdict(list)
    unreadable = {}
    for path in sorted(file for file in folder.rglob("*") if file.is_file()):
        try:
            part10 = path.read_bytes()
            identity = read_identity(part10)
            studies[identity.study_uid].append(open_image(str(path), part10))
        except DamagedInstance as reason:
            unreadable[str(path.relative_to(folder))] = str(reason)
        except OSError as error:
            unreadable[str(path.relative_to(folder))] = error.strerror or "cannot be read"
    found = [_audit_study(uid, images, views, rules) for uid, images in sorted(studies.items())]
    return AuditedFolder(tuple(found), unreadable)


def _audit_study(
    uid: str, images: Sequence[Image], views: Sequence[str], rules: SeriesRules
) -> AuditedStudy:
    selection = select_views(images, views, rules)
    try:
        pictures = (image.header for image in images if is_image_class(image.header.SOPClassUID))
        refuse_two_patients(list(pictures), uid)
        declined = explain_declined(images, selection)
    except StudyDeclined as error:
        declined = error.reason
    return AuditedStudy(uid, tuple(images), selection, str(declined) if declined else None)


def write_name_table(names: Iterable[str], rules: SeriesRules, out: TextIO) -> None:
    """Write CSV `name,sequence,view` for series names; empty if a name matches no rule."""
    table = csv.writer(out, lineterminator="\n")
    table.writerow(("name", "sequence", "view"))
    for name in names:
        facts = ImageFacts(name)
        sequence, view = find_match(rules.sequences, facts), find_match(rules.views, facts)
        plane = "" if view is None or view.means is View.SEVERAL else view.means
        table.writerow((quote_formula(name), sequence.means if sequence else "", plane))


def write_sheet(path: Path, folder: AuditedFolder) -> None:
    """Write every stack of a folder's studies as a contact sheet."""
    rows = [
        SheetRow(_describe_stack(seen, study), seen.stack, _find_used_images(seen, study.selection))
        for study in folder.studies
        for seen in _order_used_first(study)
    ]
    write_contact_sheet(path, rows, lambda name: Path(name).read_bytes())


def _order_used_first(study: AuditedStudy) -> list[StackView]:
    """Return the stacks of a study, used ones first, then by sequence, view and name."""

    def key(seen: StackView) -> tuple[bool, str, str, str]:
        unused = not find_used_views(seen, study.selection)
        kind = seen.recognised.sequence or ""
        return unused, kind, seen.view or "", series_name(seen.stack.first.header)

    return sorted(study.selection.stacks, key=key)


def _describe_stack(seen: StackView, study: AuditedStudy) -> str:
    values = _build_stack_values(seen, study)
    name = series_name(seen.stack.first.header) or "(no description)"
    what = " ".join(filter(None, (values["sequence"] or "?", values["variant"], values["view"])))
    used = ", ".join(values["used_for"])
    return f"{name}   {what}   " + (f"used as {used}" if used else f"not used: {values['reason']}")


def build_rows(study: AuditedStudy) -> list[tuple[str, ...]]:
    """Return a row for each stack: names, images, sequence, view, slots, evidence or reason."""
    rows: list[tuple[str, ...]] = []
    for seen in _order_used_first(study):
        values = _build_stack_values(seen, study)
        names = dict.fromkeys(one["series_description"] for one in values["slices"])
        why = values["reason"] or "; ".join(values["evidence"])
        sequence = " ".join(filter(None, (values["sequence"], values["variant"])))
        rows.append(
            (
                "\n".join(names) or "(no description)",
                _format_count(values["images"], len(values["slices"])),
                sequence,
                values["view"] or "",
                ", ".join(values["used_for"]),
                why,
            )
        )
    return rows


def _format_count(images: int, slices: int) -> str:
    return f"{images} in {slices} slice{'s' * (slices != 1)}"


def build_remarks(study: AuditedStudy) -> list[str]:
    """Return lines for what the table of stacks lacks: choices, gaps, images in no stack."""
    selection = study.selection
    return [
        *(
            f"{chosen.view}: {series_name(chosen.images[0].header)}: {chosen.why}"
            for chosen in selection.used
        ),
        *(f"{gap.view} is missing: {gap.reason}" for gap in selection.missing),
        *(
            f"not used: {unused.series_description or '(no description)'}, "
            f"{unused.images} images: {unused.reason}"
            for unused in selection.unstacked
        ),
        *map(str, explain_dropped(study.images)),
        *([f"DECLINED: {study.declined}"] if study.declined else []),
    ]


def build_json(folder: AuditedFolder) -> dict[str, Any]:
    """Return the audit of a folder as JSON values."""
    return {
        "studies": [_build_study_values(study) for study in folder.studies],
        "unreadable": [{"file": f, "reason": why} for f, why in folder.unreadable.items()],
    }


def _build_study_values(study: AuditedStudy) -> dict[str, Any]:
    selection = study.selection
    return {
        "study_uid": study.study_uid,
        "declined": study.declined,
        "unreadable_elements": count_dropped(study.images),
        "used": [
            {
                "view": chosen.view,
                "series_uid": str(chosen.images[0].header.SeriesInstanceUID),
                "series_description": series_name(chosen.images[0].header),
                "why": chosen.why,
                "images": [
                    {"sop_instance_uid": str(image.header.SOPInstanceUID), "frame": image.frame}
                    for image in chosen.images
                ],
            }
            for chosen in selection.used
        ],
        "missing": [{"view": gap.view, "reason": gap.reason} for gap in selection.missing],
        "stacks": [_build_stack_values(seen, study) for seen in selection.stacks],
        "unused": [
            {
                "series_uid": unused.series_uid,
                "series_description": unused.series_description,
                "images": unused.images,
                "reason": unused.reason,
            }
            for unused in selection.unused
        ],
    }


def _build_stack_values(seen: StackView, study: AuditedStudy) -> dict[str, Any]:
    used_for = find_used_views(seen, study.selection)
    return {
        "sequence": seen.recognised.sequence,
        "variant": seen.recognised.variant,
        "view": seen.view,
        "evidence": [seen.recognised.why, seen.why],
        "used_for": used_for,
        "reason": None if used_for else explain_unused(seen, study.selection.used),
        "images": len(seen.stack.images),
        # Slices of a short-axis stack go from base to apex.
        "slices": [
            {
                "series_uid": str(one.images[0].header.SeriesInstanceUID),
                "series_description": series_name(one.images[0].header),
                "position_mm": [round(float(value), 2) for value in one.plane.position],
                "images": len(one.images),
                "times_ms": [one.times_ms[0], one.times_ms[-1]] if one.times_ms else None,
            }
            for one in order_from_base(seen.stack.slices)
        ],
    }


def find_used_views(seen: StackView, selection: Selection) -> list[str]:
    """Return the views for which images of a stack are used."""
    own = {(image.path, image.frame) for image in seen.stack.images}
    return [
        chosen.view
        for chosen in selection.used
        if not own.isdisjoint((image.path, image.frame) for image in chosen.images)
    ]


def _find_used_images(seen: StackView, selection: Selection) -> frozenset[tuple[str, int | None]]:
    """Return path and frame of the images of a stack that are used."""
    taken = {(image.path, image.frame) for chosen in selection.used for image in chosen.images}
    return frozenset(
        key for image in seen.stack.images if (key := (image.path, image.frame)) in taken
    )
