"""Who writes the reports: the worker as a piece of equipment (PS3.3 C.7.5.2).

Rule: a report never hides that a machine wrote it, nor which one. All four values are Type 1 in
the Enhanced General Equipment Module, so an empty one is an error of the configuration.
"""

from dataclasses import dataclass, fields

from triage.domain.errors import ConfigurationError
from triage.reports import identity

LONGEST = 64  #: characters of a Long String, LO (PS3.5 6.2)


@dataclass(frozen=True, kw_only=True)
class Equipment:
    """The worker of one site."""

    manufacturer: str
    name: str = "CMR triage worker"
    serial: str  #: the identity of the site's installation
    software_version: str

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (value.strip() and value.isprintable() and "\\" not in value):
                raise ConfigurationError(f"equipment: {field.name} must be printable text")
            if len(value) > LONGEST:
                raise ConfigurationError(f"equipment: {field.name} exceeds {LONGEST} characters")

    @property
    def device_uid(self) -> str:
        """The Device UID; other software is another device, for it may write other reports."""
        return identity.uid(
            "device", self.manufacturer, self.name, self.serial, self.software_version
        )
