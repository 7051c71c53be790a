"""Checks of the settings against the registry of reports."""

import pytest
from pydantic import TypeAdapter

from triage.config import Settings
from triage.domain.errors import ConfigurationError
from triage.reports import REPORTS
from triage.runtime.preflight import check_reports

HOOK = {"name": "hook", "kind": "webhook", "url": "https://h/p", "secret": "hush"}


def settings(*reports: str) -> Settings:
    return TypeAdapter(Settings).validate_python({"destinations": [HOOK], "reports": reports})


def test_every_registered_report_is_a_valid_setting() -> None:
    check_reports(settings(*REPORTS))


def test_an_unknown_report_is_an_error_with_the_valid_names() -> None:
    with pytest.raises(ConfigurationError) as error:
        check_reports(settings("summary", "pfd"))
    assert str(error.value) == (
        "reports.1: there is no report 'pfd'; choose from structured_report, key_images, pdf, "
        "secondary_capture, hl7, summary"
    )


def test_a_destination_that_would_receive_nothing_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="hook would receive nothing: it takes summary"):
        check_reports(settings("pdf"))
    check_reports(settings("pdf", "summary"))
