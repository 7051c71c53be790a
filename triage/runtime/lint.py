"""Opens what the lint of a findings file needs of a bundle."""

from functools import cache
from pathlib import Path

from triage.config import Settings
from triage.findings.lint.model import LintModel
from triage.model.bundle import open_bundle
from triage.model.vocabulary import TokenizerVocabulary
from triage.runtime.model import list_views, open_encoder
from triage.runtime.settings import load_settings


def open_lint_model(settings: Settings, chosen: Path | None) -> LintModel:
    """Return what is known of the bundle in the folder `chosen`.

    None: the bundle of the settings; without any settings, nothing. An untrained bundle has views
    alone: its embeddings mean nothing.
    """
    if chosen is None and settings == load_settings(None, {}):
        return LintModel()
    bundle = open_bundle(chosen or settings.model.bundle, settings.model.trusted_keys)
    views = list_views(bundle)
    if not bundle.manifest.trained:
        return LintModel(views)
    calibrated = bundle.calibration.findings if bundle.calibration else {}
    return LintModel(
        views,
        {id_: threshold.prompts for id_, threshold in calibrated.items()},
        TokenizerVocabulary(bundle),
        cache(open_encoder(settings, bundle).encode_text),
    )
