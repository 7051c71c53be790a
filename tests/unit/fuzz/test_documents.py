"""Settings, environment and findings with malformed content."""

import pytest
from hypothesis import strategies as st

from tests.builders.malformed_documents import PIECES, malformed_documents
from tests.parser_fuzzing import fuzz_parser
from triage.config import Settings, load
from triage.domain.errors import ConfigurationError
from triage.findings.loader import parse_findings
from triage.yaml_models import parse

SETTINGS = """\
receiver:
  port: 11112
  calling: [PACS, MR1]
  peers:
    ct: {ae_titles: [CT1], addresses: [10.1.2.0/24]}
  complete: {evidence: [views, announced]}
destinations:
  - {name: pacs, ae_title: PACS, host: pacs.example, port: 104, tls: {}}
  - name: ris
    kind: mllp
    host: ris.example
    port: 2575
    without_tls: true
  - name: hook
    kind: webhook
    url: https://hook.example/
    secret: c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0
archives:
  old: {kind: dicomweb, url: https://old.example/dicom-web}
web: {users: {}}
retention: {spool_days: 30}
"""
FINDINGS = """\
findings:
  - id: hcm
    name: Hypertrophic cardiomyopathy
    views: [cine_sa]
    prompts:
      - There is hypertrophic cardiomyopathy.
      - The heart shows hypertrophy.
"""
#: Fields of one value, of a list, of secrets and of parts.
VARIABLES = [
    "RECEIVER__PORT",
    "RECEIVER__CALLING",
    "REDIS_URL",
    "LEDGER",
    "LOG",
    "WEB",
    "WEB__USERS__ANNA",
    "DESTINATIONS",
    "DESTINATIONS__HOOK__SECRET",
    "ARCHIVES__OLD__AUTHORIZATION",
    "RECEIVER__PEERS__CT__ADDRESSES",
    "MODEL__TRUSTED_KEYS",
    "NOTHING",
]
SECRET = "Tr0ub4dor"
values = st.lists(st.sampled_from([*PIECES, SECRET, "@", " "]), min_size=1, max_size=3).map("".join)
variables = st.tuples(st.sampled_from(VARIABLES), values)


class ShownError(Exception):
    """An error repeats a value of the environment."""


def test_malformed_settings(fuzz_seconds: float) -> None:
    parse(SETTINGS, Settings, "site.yaml")
    fuzz_parser(
        malformed_documents(SETTINGS),
        lambda text: parse(text, Settings, "site.yaml"),
        (ConfigurationError,),
        fuzz_seconds,
    )


def test_a_malformed_environment_is_never_shown(
    tmp_path_factory: pytest.TempPathFactory, fuzz_seconds: float
) -> None:
    path = tmp_path_factory.mktemp("site") / "site.yaml"
    path.write_text(SETTINGS)

    def load_with(variable: tuple[str, str]) -> None:
        name, value = variable
        try:
            load(path, {f"TRIAGE_{name}": value})
        except ConfigurationError as error:
            if SECRET in str(error):
                raise ShownError(name) from error
            raise

    fuzz_parser(variables, load_with, (ConfigurationError,), fuzz_seconds)


def test_malformed_findings(fuzz_seconds: float) -> None:
    fuzz_parser(
        malformed_documents(FINDINGS),
        lambda text: parse_findings(text, "findings.yaml"),
        (ConfigurationError,),
        fuzz_seconds,
    )
