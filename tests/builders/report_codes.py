"""The codes that the reports use."""

from pydicom.sr.coding import Code as Concept

from triage.reports import codes

WRITTEN = [
    *(value for value in vars(codes).values() if isinstance(value, Concept)),
    *codes.FLAGS.values(),
    *codes.PRESENCES.values(),
    *codes.PRIORITIES.values(),
]


OURS = {c for c in WRITTEN if c.scheme_designator == codes.SCHEME}
