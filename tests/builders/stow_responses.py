"""Store Instances Responses in DICOM JSON (PS3.18 I)."""

import json
from typing import Any


def store_response(uid: str, *, failure: int | None = None, warning: int | None = None) -> bytes:
    """Return the response about one instance: stored, with a warning, or failed."""
    item: dict[str, Any] = {
        "00081150": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.88.34"]},
        "00081155": {"vr": "UI", "Value": [uid]},
    }
    if failure is not None:
        item["00081197"] = {"vr": "US", "Value": [failure]}
    if warning is not None:
        item["00081196"] = {"vr": "US", "Value": [warning]}
    tag = "00081199" if failure is None else "00081198"
    return json.dumps({tag: {"vr": "SQ", "Value": [item]}}).encode()
