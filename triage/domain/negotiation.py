"""The SOP classes that will be sent to a peer, and those that it accepts."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Offer:
    """A report, and the SOP classes in one of which it is sent, the preferred one first."""

    report: str
    sop_classes: tuple[str, ...]


@dataclass(frozen=True)
class Negotiation:
    """The answer of a peer to all offers, as sentences."""

    accepted: tuple[str, ...]
    refused: tuple[str, ...]  #: each with what to do
