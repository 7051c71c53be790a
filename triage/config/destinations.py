"""The settings that all destinations share, and the registry of the models for each kind.

Each destination declares its own settings in its module of `triage.destinations`. That package
is in a higher layer, so the models are registered here at the start:
`triage.runtime.settings.load_settings` registers them and then reads the settings.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import SerializeAsAny, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError

from triage.config.fields import Name
from triage.domain.audit import AuditPeer
from triage.yaml_models import StrictModel

DEFAULT_KIND = "dicom"  #: kind of a destination whose entry names none


class DestinationSettings(StrictModel, ABC):
    """The settings of one destination; each kind of destination has a subclass."""

    name: Name
    kind: str

    @abstractmethod
    def audit_peer(self) -> AuditPeer:
        """Return the destination as audit messages name it, without password or query."""

    def commitment_reporters(self) -> tuple[str, ...]:
        """Return the AE titles that may send its storage commitment reports; none: not asked."""
        return ()


#: The registered models by kind.
DESTINATION_MODELS: dict[str, type[DestinationSettings]] = {}


def _validate(value: Any, _handler: ValidatorFunctionWrapHandler) -> DestinationSettings:
    """Return an entry of `destinations` as the model of its kind."""
    if isinstance(value, DestinationSettings):
        return value
    if not DESTINATION_MODELS:
        raise RuntimeError(
            "no destination is registered: call triage.destinations.register() first"
        )
    kind = value.get("kind", DEFAULT_KIND) if isinstance(value, Mapping) else DEFAULT_KIND
    model = DESTINATION_MODELS.get(str(kind))
    if model is None:
        raise PydanticCustomError("kind", "kind must be {kinds}", {"kinds": _describe_kinds()})
    return model.model_validate(value)


def _describe_kinds() -> str:
    *kinds, last = (f"{k} (the default)" if k == DEFAULT_KIND else k for k in DESTINATION_MODELS)
    return f"{', '.join(kinds)} or {last}"


AnyDestination = SerializeAsAny[Annotated[DestinationSettings, WrapValidator(_validate)]]
