"""Past cases: embeddings, similarity search, access control, and finding fits.

past_cases         the case library of one bundle as assessment and search use it
search             parses and describes a search for cases
query_embedding    the embedding that a search compares cases with
case_access        searches and look-ups by users, each with an audit event
keys               pseudonymous keys for patients and cases
similarity         similarity as a share of random pairs
typical_similarity the cosines of random pairs
vectors            the memory-mapped file of embeddings
fit                fits a finding from example studies
case_scores        the scores of a finding in past cases
operating_points   thresholds for an asked figure, set on labelled cases
budgets            thresholds by which a share of the cases is flagged
held_out           thresholds and figures of a fit, from scores without the patient
readings           radiologists' reports of past studies, de-identified
"""
