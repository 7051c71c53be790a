"""From DICOM instances to the frames that a model takes, with reasons; no network, no database."""
