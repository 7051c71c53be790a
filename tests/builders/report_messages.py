"""HL7 messages with a radiologist's report, as information systems send them."""

TEXT = "IMPRESSION:~1. Dilated left ventricle, LVEF 32%.~2. No late gadolinium enhancement."


USUAL = {
    "accession": "A4711",
    "filler": "",
    "text": TEXT,
    "status": "F",  # OBR-25
    "result": "F",  # OBX-11
    "uid": "",
    "application": "RIS",
    "kind": "ORU^R01^ORU_R01",
    "moment": "20260102080000",
}


def oru(control_id: str = "1", **values: str) -> bytes:
    """Return an ORU^R01 with one order; `values` replace those of USUAL."""
    of = USUAL | values
    obr = [""] * 26
    obr[0:5] = ["OBR", "1", "P1", of["filler"], "CMR^Cardiac MRI^L"]
    obr[18], obr[22], obr[25] = of["accession"], of["moment"], of["status"]
    sender, at, kind = of["application"], of["moment"], of["kind"]
    lines = [
        f"MSH|^~\\&|{sender}|RAD|CMRTRIAGE|HOSP|{at}||{kind}|{control_id}|P|2.5.1",
        "PID|1||4711^^^H||Müller^Jürgen||19500101|M",
        "|".join(obr),
        f"OBX|1|TX|18782-3^Report^LN||{of['text']}||||||{of['result']}",
        *([f"ZDS|{of['uid']}^DICOM^Application"] if of["uid"] else []),
    ]
    return "\r".join([*lines, ""]).encode()


def mdm(control_id: str = "1", *, accession: str = "A4711", status: str = "LA") -> bytes:
    """Return an MDM^T02; its TXA-15 is the accession number."""
    txa = [""] * 18
    txa[0:3] = ["TXA", "1", "RAD"]
    txa[15], txa[17] = accession, status
    lines = [
        f"MSH|^~\\&|RIS|RAD|CMRTRIAGE|HOSP|20260102080000||MDM^T02^MDM_T02|{control_id}|P|2.5.1",
        "EVN|T02|20260102080000",
        "PID|1||4711^^^H||Müller^Jürgen||19500101|M",
        "PV1|1|I",
        "|".join(txa),
        f"OBX|1|TX|18782-3^Report^LN||{TEXT}||||||F",
    ]
    return "\r".join([*lines, ""]).encode()
