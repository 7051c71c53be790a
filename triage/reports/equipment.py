"""The worker as a piece of equipment (PS3.3 C.7.5.2), which every report names as its author.

All four values are Type 1 in the Enhanced General Equipment Module, so an empty value is a
configuration error.
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
    serial: str  #: identifies the installation
    software_version: str

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (value.strip() and value.isprintable() and "\\" not in value):
                raise ConfigurationError(
                    f"equipment: {field.name} must be printable text without a backslash"
                )
            if len(value) > LONGEST:
                raise ConfigurationError(
                    f"equipment: {field.name} has {len(value)} characters; at most {LONGEST} fit"
                )

    @property
    def device_uid(self) -> str:
        """The Device UID; another software version is another device."""
        return identity.uid(
            "device", self.manufacturer, self.name, self.serial, self.software_version
        )
