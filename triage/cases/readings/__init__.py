"""What radiologists said of past cases: read, cut to the impression, stripped of who it is about.

a site's CSV files   table    |
HL7 v2 messages      oru      |-> Report -> joined: which study -> deidentify -> Known
SRs in the archive   document |
"""
