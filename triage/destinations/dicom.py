"""The declaration of the destination `dicom`: a PACS over C-STORE."""

from triage.destinations.destination_type import DestinationType
from triage.destinations.dicom_store import DicomDestination, DicomDestinationSettings
from triage.destinations.storage_commitment import CommittingDicomDestination


def open_pacs(calling_ae: str, settings: DicomDestinationSettings) -> DicomDestination:
    """Return a PACS, with storage commitment where the settings request it."""
    if settings.commitment:
        return CommittingDicomDestination(calling_ae, settings)
    return DicomDestination(calling_ae, settings)


EXAMPLE = """\
# Our name for it, in logs and `triage status`: lower case, digits, - and _. Do not change it
# later: deliveries in progress refer to this name.
name: pacs

# How it is reached. dicom, which is the default: C-STORE.
kind: dicom

# The AE title of the PACS.
ae_title: PACS

# Its host name or address.
host: 127.0.0.1

# Its TCP port.
port: 104

# TLS 1.2 or 1.3 (PS3.15 B.12); the port must be a TLS port. The certificate of the PACS is
# always verified: its signature, its dates and its name. `triage check` tests it. By default
# there is none.
#tls:
  # The authorities that sign the certificate of the PACS, as a PEM file. null: those of the
  # system.
  #trusted: null

  # The DNS name or address in its certificate. null: host.
  #name: null

  # Our certificate with its intermediates, if the PACS requires one, as a PEM file. null:
  # none.
  #certificate: null

  # Its private key, not encrypted, as a PEM file.
  #key: null

# true: allow a connection without TLS beyond this machine, in a network that you trust.
without_tls: false

# true: a report counts as delivered only when the PACS has confirmed that it keeps it (storage
# commitment, PS3.4 J). Until then `triage status` shows STORED. The PACS confirms on an
# association to our receiver: allow its AE title (receiver.calling or receiver.peers), and
# configure our AE title, host and receiver.port there. A report that it does not keep is sent
# again.
commitment: false

# Seconds to wait for the confirmation. After that, it is requested again; after the same time
# once more, the report is sent again. One day at most.
commitment_within_s: 3600.0

# AE titles from which the PACS confirms, if other than ae_title.
commitment_from: []

# Seconds to wait for the connection, and for each answer. Raise it for a slow PACS; 40 at
# most.
timeout_s: 30.0
"""

DESTINATION = DestinationType(
    settings=DicomDestinationSettings,
    open=open_pacs,
    media_types=DicomDestination.media_types,
    protocol="C-STORE (PS3.4 B), optionally TLS and storage commitment (PS3.4 J)",
    delivered_when="the status is Success or a storage warning; with `commitment`, when the PACS "
    "has committed to the instance",
    example=EXAMPLE,
)
