"""The DICOM file format: headers, patient attributes, and multipart bodies of DICOMweb."""
