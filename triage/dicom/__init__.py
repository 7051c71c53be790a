"""The DICOM file format: headers, multipart bodies."""
