"""A DICOM triage worker for cardiac MRI: research use only, it assists and never decides."""

__version__ = "0.1.0"
