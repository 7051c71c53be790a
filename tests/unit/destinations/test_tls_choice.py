"""A destination beyond this machine uses TLS, or its entry says that it does not."""

import pytest
from pydantic import ValidationError

from triage.config import Settings

DICOM = {"name": "pacs", "kind": "dicom", "ae_title": "PACS", "port": 104}
MLLP = {"name": "ris", "kind": "mllp", "port": 2575}


@pytest.mark.parametrize("entry", [DICOM, MLLP])
def test_a_host_beyond_this_machine_needs_tls_or_a_statement(entry: dict[str, object]) -> None:
    def configure(**more: object) -> Settings:
        return Settings.model_validate({"destinations": [entry | more]})

    for host in ("10.1.2.3", "pacs.example", "fd00::1"):
        with pytest.raises(ValidationError, match=f"on the way to {host}.*without_tls: true"):
            configure(host=host)
        configure(host=host, tls={})
        configure(host=host, without_tls=True)
    for host in ("127.0.0.1", "::1", "localhost"):
        configure(host=host)
