"""The coded concepts of the reports (PS3.3 section 8, PS3.16).

A code is either in PS3.16 (test_every_standard_code_is_in_the_standard), or verified by the person
named in the findings file, or in the private scheme. A similarity is never coded as a probability.

Private codes in this module have a hyphen, which the id of a finding cannot have, so they never
collide with the private codes of a site's findings.
"""

import hashlib

from pydicom import Dataset
from pydicom.sr.coding import Code as Concept

from triage.domain.assessment import Answer, Flag, Presence, Priority, ScoreKind
from triage.domain.finding import Finding, FindingCode
from triage.reports import identity

SCHEME = "99CMRTRIAGE"
LONGEST_VALUE = 16  #: characters of a Code Value and of a Coding Scheme Designator, SH
LONGEST_MEANING = 64  #: characters of a Code Meaning, LO

# TID 1500, TID 1501: the parts of the document.
REPORT = Concept("126000", "DCM", "Imaging Measurement Report")
MEASUREMENTS = Concept("126010", "DCM", "Imaging Measurements")
GROUP = Concept("125007", "DCM", "Measurement Group")
EVALUATIONS = Concept("C0034375", "UMLS", "Qualitative Evaluations")
TRACKING_ID = Concept("112039", "DCM", "Tracking Identifier")
TRACKING_UID = Concept("112040", "DCM", "Tracking Unique Identifier")
FINDING = Concept("121071", "DCM", "Finding")
SITE = Concept("363698007", "SCT", "Finding Site")
SOURCE = Concept("121112", "DCM", "Source of Measurement")
BEST_ILLUSTRATION = Concept("121080", "DCM", "Best illustration of finding")

# TID 1600, TID 1602: the image library.
LIBRARY = Concept("111028", "DCM", "Image Library")
LIBRARY_GROUP = Concept("126200", "DCM", "Image Library Group")
MODALITY = Concept("121139", "DCM", "Modality")
MAGNETIC_RESONANCE = Concept("MR", "DCM", "Magnetic Resonance")

# TID 2010: the Key Object Selection.
OF_INTEREST = Concept("113000", "DCM", "Of Interest")  # CID 7010
KEY_OBJECT_DESCRIPTION = Concept("113012", "DCM", "Key Object Description")

# References to other documents and studies.
REPLACED_REPORT = Concept("121360", "DCM", "Replaced report")  # CID 7009
STUDY_UID = Concept("110180", "DCM", "Study Instance UID")

# TID 1204, TID 1002, TID 1004: language, observer and procedure.
LANGUAGE = Concept("121049", "DCM", "Language of Content Item and Descendants")
ENGLISH = Concept("en-US", "RFC5646", "English (United States)")
OBSERVER_TYPE = Concept("121005", "DCM", "Observer Type")
DEVICE = Concept("121007", "DCM", "Device")
DEVICE_UID = Concept("121012", "DCM", "Device Observer UID")
DEVICE_NAME = Concept("121013", "DCM", "Device Observer Name")
DEVICE_MANUFACTURER = Concept("121014", "DCM", "Device Observer Manufacturer")
DEVICE_MODEL = Concept("121015", "DCM", "Device Observer Model Name")
DEVICE_SERIAL = Concept("121016", "DCM", "Device Observer Serial Number")
PROCEDURE = Concept("121058", "DCM", "Procedure reported")
CARDIAC_MRI = Concept("241620005", "SCT", "Cardiac MRI")

# TID 4019: the algorithm.
ALGORITHM_NAME = Concept("111001", "DCM", "Algorithm Name")
ALGORITHM_VERSION = Concept("111003", "DCM", "Algorithm Version")
ALGORITHM_PARAMETERS = Concept("111002", "DCM", "Algorithm Parameters")
PROCESSING_EQUIPMENT = Concept("109102", "DCM", "Processing Equipment")

# The UCUM unit "1" would be displayed as "0.341 1".
RATIO = Concept("{ratio}", "UCUM", "ratio")

# Private codes, because PS3.16 has no such concept. deploy/CONFORMANCE.md lists them.
ASKED = Concept("AI-ASKED", SCHEME, "Finding asked about")
SCORE = Concept("AI-SCORE", SCHEME, "Image-text similarity score")
THRESHOLD = Concept("AI-THRESHOLD", SCHEME, "Flag threshold for score")
TRIAGE = Concept("AI-TRIAGE", SCHEME, "AI triage, research use only")
FLAG = Concept("AI-FLAG", SCHEME, "AI triage flag")
WHY = Concept("AI-WHY", SCHEME, "Reason for this flag")
WHY_NOT_EVALUATED = Concept("AI-NOT-EVALUATED", SCHEME, "Reason not evaluated")
# Scores on other scales have concepts of their own, so that no receiver mixes them.
DISTANCE_SCORE = Concept("AI-EXAMPLE-DIST", SCHEME, "Difference of distances to example studies")
CLASSIFIER_SCORE = Concept("AI-CLASSIFIER", SCHEME, "Classifier output")
STANDARDISED_SCORE = Concept("AI-STANDARDISED", SCHEME, "Standardised score")
NOTE = Concept("AI-NOTE", SCHEME, "Note on all results")
EXAMPLES = Concept("AI-EXAMPLES", SCHEME, "Fitted from example studies")
PROMPT = Concept("AI-PROMPT", SCHEME, "Text prompt")
PRIORITY = Concept("AI-PRIORITY", SCHEME, "AI suggested reading priority")
INTENDED_USE = Concept("AI-USE", SCHEME, "Intended use statement")
UNANSWERED = Concept("AI-UNANSWERED", SCHEME, "Findings not evaluated")
VIEW_USED = Concept("AI-VIEW-USED", SCHEME, "View used")
VIEW_MISSING = Concept("AI-VIEW-MISSING", SCHEME, "View missing")
UNUSED = Concept("AI-UNUSED", SCHEME, "Images not used")
VIEW = Concept("AI-VIEW", SCHEME, "View shown by the image")
FAMILIAR = Concept("AI-FAMILIAR", SCHEME, "Study is like those the model knows")
DISTANCE = Concept("AI-DISTANCE", SCHEME, "Distance of least familiar view from known studies")
FAMILIAR_UP_TO = Concept("AI-FAMILIAR-TO", SCHEME, "Largest distance of a familiar study")
UNFAMILIAR = Concept("AI-UNFAMILIAR", SCHEME, "Least familiar view of an unfamiliar study")
SIMILAR_CASES = Concept("AI-SIMILAR", SCHEME, "Similar cases")
SIMILAR_CASE = Concept("AI-CASE", SCHEME, "Similar case")
NONE_SIMILAR = Concept("AI-NONE-SIMILAR", SCHEME, "Reason for no similar case")
CASE_SIMILARITY = Concept("AI-CASE-SCORE", SCHEME, "Similarity to this study")
CASE_LIKENESS = Concept(
    "AI-CASE-LIKENESS", SCHEME, "Share of random pairs of cases with lower similarity"
)
CASE_KEY = Concept("AI-CASE-KEY", SCHEME, "Key of another patient's case")
PRIOR = Concept("AI-PRIOR", SCHEME, "Image of an earlier study of this patient")

NOT_EVALUATED = Concept("373121007", "SCT", "Not Evaluated")  # CID 3703

FLAGS = {
    Flag.YES: Concept("373066001", "SCT", "Yes"),  # CID 230
    Flag.NO: Concept("373067005", "SCT", "No"),
    Flag.NOT_EVALUATED: NOT_EVALUATED,
}
PRESENCES = {
    Presence.PRESENT: Concept("52101004", "SCT", "Present"),  # CID 240
    Presence.ABSENT: Concept("272519000", "SCT", "Absent"),
    Presence.UNDETERMINED: Concept("373068000", "SCT", "Undetermined"),
    Presence.NOT_EVALUATED: NOT_EVALUATED,
}
SCORES = {
    ScoreKind.SIMILARITY: SCORE,
    ScoreKind.DISTANCES: DISTANCE_SCORE,
    ScoreKind.CLASSIFIER: CLASSIFIER_SCORE,
    ScoreKind.STANDARDISED: STANDARDISED_SCORE,
}
#: "Routine" states that the order does not change, not that the study is normal.
PRIORITIES = {
    Priority.EXPEDITE: Concept("AI-EXPEDITE", SCHEME, "Expedite"),
    Priority.ROUTINE: Concept("AI-ROUTINE", SCHEME, "Routine (order unchanged)"),
}


def finding_concept(finding: Finding) -> Concept:
    """Return the finding's verified code, or its code in the private scheme."""
    if finding.code is not None:
        return configured_concept(finding.code)
    return Concept(_private_value(finding.id), SCHEME, _meaning(finding.name))


def score_concept(answer: Answer) -> Concept:
    """Return the concept of an answer's score."""
    return SCORES[answer.kind]


def configured_concept(code: FindingCode) -> Concept:
    """Return a configured code as a concept that DICOM can write."""
    if len(code.scheme) > LONGEST_VALUE:
        raise ValueError(f"coding scheme {code.scheme} exceeds {LONGEST_VALUE} characters")
    return Concept(code.value, code.scheme, _meaning(code.meaning))


def private_scheme(organization: str) -> Dataset:
    """Return the item of the Coding Scheme Identification Sequence (PS3.3 C.12.1.1.2)."""
    item = Dataset()
    item.CodingSchemeDesignator = SCHEME
    item.CodingSchemeUID = identity.uid("coding scheme", SCHEME)
    item.CodingSchemeName = "Local codes of the CMR triage worker"
    item.CodingSchemeResponsibleOrganization = organization
    return item


def _private_value(finding_id: str) -> str:
    """Return the id in capitals; a long id ends with a digest, which keeps it unique."""
    if len(finding_id) <= LONGEST_VALUE:
        return finding_id.upper()
    digest = hashlib.sha256(finding_id.encode()).hexdigest()[:8]
    return f"{finding_id[:7]}-{digest}".upper()


def _meaning(text: str) -> str:
    return text if len(text) <= LONGEST_MEANING else text[: LONGEST_MEANING - 1] + "…"
