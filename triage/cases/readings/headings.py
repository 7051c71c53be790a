"""The headings of reports: those that begin an impression, and those that end it.

Headings are compared without case, accents and punctuation. To support a heading of a site, add it
to a table here; no other module lists headings.
"""

import re
import unicodedata

#: Headings that begin the impression.
STRONG = """
impression, impressions, conclusion, conclusions, final impression, impression and recommendations
impression and plan, impression and recommendation, impression/recommendations, mri impression
cardiac mri impression, cmr impression, overall impression, impression summary
beurteilung, zusammenfassende beurteilung, impresion, impresiones, conclusiones
impression diagnostique, impresion diagnostica, conclusion diagnostique
"""
#: Headings that begin the impression only in a report without a strong one.
WEAK = """
summary, opinion, interpretation, final interpretation, summary and conclusion, overall
overall summary, zusammenfassung, synthese, resumen
"""
#: Headings that end the impression: another section, or the signature.
ENDING = """
attestation, addendum, addenda, signed, signature, signatures, recommendation, recommendations
findings, finding, technique, procedure, comparison, history, clinical history, indication
indications, clinical information, clinical indication, reason for exam, reason for examination
reason for study, exam, examination, study, comment, comments, narrative, measurements, contrast
medication, medications, protocol, limitations, quality, patient, patient name, name, mrn, dob
date, date of birth, date of exam, date of study, accession, accession number, referring physician
ordering physician, attending, attending physician, radiologist, reader, resident, fellow
technologist, communication, critical results, critical result, notification, cc, copy to, copies
disclaimer, note, workstation, end of report, end of impression, end of addendum, dictated
transcribed, verified, approved, report, full report, body, radiation dose, follow up
befund, technik, klinische angaben, fragestellung, anamnese, indikation, empfehlung, resultats
technique d'examen, hallazgos, tecnica, indicacion, motif, recommandation, recomendacion
"""
#: Start of a signature line that has no colon.
SIGNATURE = re.compile(
    r"(?:this (?:report|document|study) (?:has been|was|is) )?"
    r"(?:(?:electronically|digitally|final(?:ly)?|personally|preliminary) )*"
    r"(?:co-?)?(?:signed|dictated|transcribed|reported|reviewed|verified|approved|authenticated"
    r"|finali[sz]ed|attested|read|interpreted|validated|released|typed|prepared)"
    r"(?: (?:and|&) \w+| electronically| (?:report|on|date|at))*(?: (?:by|on|at)\b|:|$)"
    r"|i,? .{0,60}(?:have |personally )(?:personally )?(?:reviewed|interpreted|viewed)"
    r"|as the (?:attending|teaching)\b|(?:attending|resident|fellow|radiologist|reader):"
    r"|elektronisch (?:signiert|freigegeben)|mit freundlichen|signe (?:par|electroniquement)"
    r"|firmado\b|(?:dr|prof)\b\.? [^.:]{2,40}$"
)


def normalised(text: str) -> str:
    """Return a text in lower case, without accents, with single spaces."""
    apart = unicodedata.normalize("NFKD", text)
    bare = "".join(sign for sign in apart if not unicodedata.combining(sign))
    return " ".join(bare.lower().split())


def _table(text: str) -> frozenset[str]:
    return frozenset(entry.strip() for entry in re.split(r"[,\n]", text) if entry.strip())


STRONG_HEADINGS, WEAK_HEADINGS, ENDINGS = _table(STRONG), _table(WEAK), _table(ENDING)
HEADINGS = STRONG_HEADINGS | WEAK_HEADINGS | ENDINGS
