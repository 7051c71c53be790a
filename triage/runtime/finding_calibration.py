"""Opens what calibrates a finding on the past cases of a site, and reads its labels."""

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from triage.config import Settings
from triage.domain.calibration import CalibrationTarget
from triage.domain.errors import ConfigurationError, FindingChangeRefused
from triage.domain.finding import Finding
from triage.domain.finding_version import ChangeRefusal, FindingVersion
from triage.findings.content import read_content
from triage.pipeline.calibrate_findings import CalibrationProposal, FindingCalibrator
from triage.pipeline.score_truth import read_truth
from triage.runtime.model import open_encoder, open_site_bundle
from triage.runtime.storage import open_existing_ledger, open_past_cases


def propose_calibration(
    settings: Settings, version: FindingVersion, target: CalibrationTarget, labels: Path | None
) -> CalibrationProposal:
    """Return a calibration of a version, by the table `labels` or, without one, by a budget.

    Raises CalibrationRefused, FindingChangeRefused for a finding by examples, and
    ConfigurationError for an untrained bundle or a table that is not right.
    """
    finding = read_content(version).to_finding()
    if finding.examples is not None:
        raise FindingChangeRefused(ChangeRefusal.HAS_EXAMPLES, finding=finding.id)
    known = {} if labels is None else _read_labels(settings, labels, finding.id)
    calibrator = _build_calibrator(settings)
    if labels is None:
        return calibrator.set_by_budget(version, finding, target)
    return calibrator.set_by_labels(version, finding, target, known)


def _build_calibrator(settings: Settings) -> FindingCalibrator:
    bundle = open_site_bundle(settings)
    if not bundle.manifest.trained:
        raise ConfigurationError(
            "the bundle is untrained, so its scores mean nothing: set model.bundle to a trained one"
        )
    encoder = open_encoder(settings, bundle)

    def embed(finding: Finding) -> NDArray[np.float32]:
        return np.stack([encoder.encode_text(prompt) for prompt in finding.prompts])

    library = open_past_cases(settings, bundle).library
    return FindingCalibrator(bundle, library, embed, settings.calibration.show_from)


def _read_labels(settings: Settings, path: Path, finding: str) -> Mapping[str, bool]:
    """Return the labels of a finding by Study Instance UID.

    Studies are named by `study_uid`, or by the `accession` that the ledger has of them.
    """
    truth = read_truth(path, [finding])
    labels = {key: known[finding] for key, known in truth.labels.items() if finding in known}
    if truth.key == "study_uid":
        return labels
    if truth.key != "accession":
        raise ConfigurationError(
            f"{path}, line 1: past cases have no {truth.key}: name studies by study_uid or by "
            "accession"
        )
    with closing(open_existing_ledger(settings)) as ledger:
        numbers = {study.study_uid: study.accession_number for study in ledger.list_studies()}
    by_uid = {uid: labels[number] for uid, number in numbers.items() if number in labels}
    unknown = {*labels} - {*numbers.values()}  # no UID, so that they are counted as unknown
    return by_uid | {f"accession {number}": labels[number] for number in unknown}
