"""Radiologists' reports of past studies: parsed, cut to the impression, and de-identified.

CSV files            table        |
HL7 v2 messages      oru          |-> ReadingReport -> report_index -> deidentify
SRs in the archive   sr_document  |        -> LinkedReading of one study
"""
