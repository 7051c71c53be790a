"""Synthetic stacks as a DICOM study in the header habits of a vendor, classic or Enhanced MR.

A header follows from the stack, the patient and the seed alone. The drawn heart is not known to the
modules that build headers, so no header can reveal the truth, which is written to a separate file.

    patient       the fictitious patient
    series        stacks divided into named series
    dicom_header  what all images of a study share
    classic_mr    one instance per image
    enhanced_mr   one multi-frame instance per series

Sources: PS3.3 A.4 and A.36 (MR, Enhanced MR); header habits as seen in public files of the three
vendors (biv-me, Sunnybrook Cardiac Data, CAP), and names as listed by cmr_toolkit and ukbb_cardiac.
GE writes InversionTime 0 on cine; Philips calls originals DERIVED.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from pydicom import Dataset

from triage.phantom.classic_mr import build_classic_images
from triage.phantom.dicom_header import DicomForm, PhantomStudy
from triage.phantom.enhanced_mr import build_enhanced_image
from triage.phantom.habits import SCANNERS
from triage.phantom.heart import Heart, derive_truth
from triage.phantom.patient import PhantomPatient, draw_patient
from triage.phantom.series import draw_one, plan_series
from triage.phantom.stack import PhantomSequence, PhantomStack

__all__ = ["DicomForm", "build_datasets", "draw_patient", "truth_values", "write_files"]

TRUTH = "truth.json"  #: the file with the truth


def build_datasets(
    stacks: Sequence[PhantomStack], patient: PhantomPatient, form: DicomForm, seed: int
) -> Iterator[Dataset]:
    """Yield the instances of a study: one per image, or one per series if enhanced.

    Args:
        stacks: The acquired stacks, in order.
        patient: The patient in the headers.
        form: Vendor habits, classic or enhanced.
        seed: Determines names, times and UIDs; the same seed gives the same headers.
    """
    rng = np.random.default_rng([seed, 3])
    model, software = draw_one(rng, SCANNERS[form.vendor].models)
    begin = datetime(2015, 1, 1, 7) + timedelta(  # noqa: DTZ001 - a scanner's local time
        days=int(rng.integers(3650)), seconds=int(rng.integers(36000))
    )
    key = f"{seed} {form.vendor} {form.enhanced}"
    study = PhantomStudy(form, patient, key, begin, _interval_ms(stacks), model, software)
    at = begin
    for number, series in enumerate(plan_series(stacks, form.vendor, rng), start=1):
        at += timedelta(seconds=float(rng.uniform(15, 90)))
        yield from (build_enhanced_image if form.enhanced else build_classic_images)(
            study, series, number, at
        )


def _interval_ms(stacks: Sequence[PhantomStack]) -> int:
    """Return the heartbeat interval of the first cine, ms; 1000 without a cine."""
    for stack in stacks:
        times = stack.times_ms
        if stack.sequence is PhantomSequence.CINE and len(times) > 1:
            return round(times[-1] + times[1] - times[0])
    return 1000


def write_files(
    folder: Path, stacks: Sequence[PhantomStack], heart: Heart, form: DicomForm, impression: str
) -> list[Path]:
    """Write a study to folder/images/*.dcm, folder/truth.json and folder/impression.txt.

    Returns the image files, in the order of acquisition.
    """
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    instances = build_datasets(stacks, draw_patient(heart), form, heart.seed)
    paths = []
    for number, instance in enumerate(instances, start=1):
        paths.append(images / f"{number:05d}.dcm")
        instance.save_as(paths[-1], enforce_file_format=True)
    (folder / "impression.txt").write_text(impression.rstrip() + "\n", encoding="utf-8")
    (folder / TRUTH).write_text(json.dumps(truth_values(heart), indent=2) + "\n", encoding="utf-8")
    return paths


def truth_values(heart: Heart) -> dict[str, object]:
    """Return the truth of a heart as JSON values."""
    truth = derive_truth(heart)
    return {
        "findings": dict(truth.findings),
        "diagnoses": dict(truth.diagnoses),
        "measurements": {name: round(value, 3) for name, value in truth.measurements.items()},
        "pathologies": [str(pathology) for pathology in heart.pathologies],
        "scars": [asdict(scar) for scar in heart.scars],
    }
