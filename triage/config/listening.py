"""The addresses on which a site listens, by its settings."""

import errno
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from triage.config.hl7 import Hl7Settings
from triage.config.receiver import ReceiverSettings, StowSettings
from triage.config.site import MetricsEndpoint, Settings, WebSettings
from triage.domain.errors import ConfigurationError

#: Why an address cannot be opened, and what to do; the settings are filled in.
REMEDIES: Mapping[int, str] = MappingProxyType(
    {
        errno.EADDRINUSE: "another program uses this port: end it, or set {port}",
        errno.EADDRNOTAVAIL: "this machine has no such address: set {host}",
        errno.EACCES: "this user may not open a port below 1024: allow it, or set {port}",
    }
)


@dataclass(frozen=True)
class ListeningAddress:
    """An address of a service, and the settings that name it."""

    service: str  #: for people, e.g. "C-STORE"
    host: str
    port: int
    host_setting: str
    port_setting: str

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    def explain(self, error: OSError) -> ConfigurationError:
        """Return the error of an attempt to listen here as a sentence with a remedy."""
        remedy = f"{error.strerror}: set {{host}} and {{port}}"
        if isinstance(error, socket.gaierror):
            remedy = "the host name is unknown: set {host}"
        elif error.errno is not None:
            remedy = REMEDIES.get(error.errno, remedy)
        why = remedy.format(host=self.host_setting, port=self.port_setting)
        return ConfigurationError(f"cannot listen on {self} for {self.service}: {why}")

    def open(self, backlog: int) -> socket.socket:
        """Return a socket that listens here; raise ConfigurationError if that is not possible."""
        try:
            family, *_ = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)[0]
            return socket.create_server((self.host, self.port), family=family, backlog=backlog)
        except OSError as error:
            raise self.explain(error) from None


def c_store_address(receiver: ReceiverSettings) -> ListeningAddress | None:
    """Return the address of the Storage SCP without TLS; None if that is off."""
    if receiver.port is None:
        return None
    return ListeningAddress(
        "C-STORE", receiver.host, receiver.port, "receiver.host", "receiver.port"
    )


def c_store_tls_address(receiver: ReceiverSettings) -> ListeningAddress | None:
    """Return the address of the Storage SCP with TLS; None without TLS."""
    if receiver.tls is None:
        return None
    return ListeningAddress(
        "C-STORE with TLS",
        receiver.host,
        receiver.tls.port,
        "receiver.host",
        "receiver.tls.port",
    )


def stow_address(stow: StowSettings) -> ListeningAddress:
    """Return the address of STOW-RS."""
    return ListeningAddress(
        "STOW-RS", stow.host, stow.port, "receiver.stow.host", "receiver.stow.port"
    )


def hl7_address(hl7: Hl7Settings) -> ListeningAddress:
    """Return the address of the reports over HL7."""
    return ListeningAddress("HL7", hl7.host, hl7.port, "receiver.hl7.host", "receiver.hl7.port")


def web_address(web: WebSettings) -> ListeningAddress:
    """Return the address of the web page."""
    return ListeningAddress("the web page", web.host, web.port, "web.host", "web.port")


def metrics_address(metrics: MetricsEndpoint) -> ListeningAddress | None:
    """Return the address of the metrics; None if none are served."""
    if metrics.port is None:
        return None
    return ListeningAddress("metrics", metrics.host, metrics.port, "metrics.host", "metrics.port")


def list_receiving(settings: Settings) -> list[ListeningAddress]:
    """Return the addresses at which studies and reports arrive."""
    receiver = settings.receiver
    stow = None if receiver.stow is None else stow_address(receiver.stow)
    hl7 = None if receiver.hl7 is None else hl7_address(receiver.hl7)
    known = (c_store_address(receiver), c_store_tls_address(receiver), stow, hl7)
    return [address for address in known if address is not None]


def list_web(settings: Settings) -> list[ListeningAddress]:
    """Return the address of the web page, if it has users."""
    return [web_address(settings.web)] if settings.web.users else []
