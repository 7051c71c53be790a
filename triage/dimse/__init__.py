"""DICOM networking (PS3.7, PS3.8) for receivers, archives and destinations alike."""
