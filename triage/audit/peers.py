"""Destinations, as audit messages name them.

Rule: what does not stay within DICOM is an export (PS3.15 A.5.3.4). No address has a password or a
query in it.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from triage.domain.audit import AuditPeer

LEAVE_DICOM = frozenset({"folder", "webhook", "mllp"})  #: kinds of destinations


def peers(destinations: Iterable[Any]) -> dict[str, AuditPeer]:
    """Return who is behind each configured destination, of whatever kind, by name."""
    return {each.name: _peer(each) for each in destinations}


def _peer(each: Any) -> AuditPeer:
    if each.kind in LEAVE_DICOM:
        return AuditPeer(each.name, _uri(each), is_dicom=False)
    ae_title = getattr(each, "ae_title", "")
    host = getattr(each, "host", None) or urlsplit(getattr(each, "url", "")).hostname or ""
    return AuditPeer(ae_title or each.name, host, ae_title=ae_title)


def _uri(each: Any) -> str:
    path = getattr(each, "path", None)
    if isinstance(path, Path):
        return path.absolute().as_uri()
    url = urlsplit(getattr(each, "url", ""))
    if url.hostname:
        port = f":{url.port}" if url.port else ""
        return f"{url.scheme}://{url.hostname}{port}{url.path}"
    return f"{each.kind}://{each.host}:{each.port}"
