"""From DICOM instances to the frames that a model takes, with reasons; no network, no database.

Real headers break rules of the standard that do not matter to us. What does matter we check
ourselves, so pydicom reads without checks of its own: they would warn in words that quote the
header, and headers name patients.
"""

import pydicom.config

pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
