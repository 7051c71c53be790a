"""Reads out of the impression of a report what it states about each finding.

    lexicon.yaml   the phrases of reports by concept
    phrases        finds them, in time linear in the text
    sentences      splits an impression into sentences
    clauses        splits a sentence into parts that each make a statement
    scope          denied, doubted, of the past, not assessed
    subjects       what a judgement is about
    measurements   limits of ejection fractions, volumes, walls and the aorta
    statements     statements about findings
    outcomes       the outcome of each finding from all statements

The rules read English. A finding that a report does not mention has no outcome.
"""

from triage.findings.extraction.outcomes import READ, OutcomeReader

__all__ = ["READ", "OutcomeReader"]
