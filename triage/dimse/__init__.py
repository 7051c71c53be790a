"""DICOM networking (PS3.7, PS3.8) that all peers share."""
