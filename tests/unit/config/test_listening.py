"""The addresses on which a site listens, and the sentences about those that cannot be opened."""

import errno
import socket
from operator import attrgetter

import pytest
from pydantic import TypeAdapter

from tests.waiting import HOST
from triage.config import ListeningAddress, Settings
from triage.domain.errors import ConfigurationError
from triage.runtime.listening import list_addresses
from triage.web.passwords import hash_password

EVERYWHERE = {
    "receiver": {
        "tls": {"certificate": "a.pem", "key": "a.key"},
        "stow": {"senders": {"MR1": {"token": "sha256$" + "0" * 64}}},
    },
    "web": {"users": {"anna": hash_password("correct horse battery")}},
    "metrics": {"port": 9100},
}


def address(host: str, port: int) -> ListeningAddress:
    return ListeningAddress("C-STORE", host, port, "receiver.host", "receiver.port")


def test_every_service_has_an_address_with_the_settings_that_name_it() -> None:
    settings = TypeAdapter(Settings).validate_python(EVERYWHERE)
    found = list_addresses(settings)
    assert len({known.service for known in found}) == len(found) == 5
    for known in found:
        assert attrgetter(known.host_setting, known.port_setting)(settings) == (
            known.host,
            known.port,
        )


def test_a_site_without_these_services_listens_for_c_store_alone() -> None:
    assert [known.service for known in list_addresses(Settings())] == ["C-STORE"]


def test_a_port_that_is_taken_is_named_with_a_remedy() -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError) as error:
            address(HOST, port).open(1)
    assert str(error.value) == (
        f"cannot listen on {HOST}:{port} for C-STORE: another program uses this port: end it, or "
        "set receiver.port"
    )


def test_an_address_of_another_machine_is_named_with_a_remedy() -> None:
    with pytest.raises(ConfigurationError, match="no such address: set receiver.host"):
        address("192.0.2.1", 11112).open(1)


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), "below 1024: allow it, or set rec"),
        (socket.gaierror(-2, "Name or service not known"), "host name is unknown: set receiver.h"),
        (OSError(errno.ENOBUFS, "No buffer space"), "No buffer space: set receiver.host and rec"),
    ],
)
def test_other_errors_have_a_remedy(error: OSError, remedy: str) -> None:
    assert remedy in str(address("pacs", 104).explain(error))
