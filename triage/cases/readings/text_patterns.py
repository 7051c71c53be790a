"""Patterns for identifiers by their form: dates, times, persons, places, numbers and ages.

Medical text must not change: "16/17 segments", "3/6", "1.5 T", "TI 250-300 ms" and "Anderson-Fabry"
are not dates, numbers or names. A pattern therefore needs more than digits and capitals: a month, a
year, a title, "signed by".

Invariants:
    Impressions without identifiers do not change
    (test_an_impression_without_identifiers_does_not_change).

The patterns follow the eighteen identifiers of 45 CFR 164.514(b)(2)(i), as far as a text has them:
a year may remain, an age over 89 may not. They are for folded text (`header_patterns.fold`).
"""

import re

from triage.cases.readings.header_patterns import PatternMatch


def _named(label: str, pattern: str, *, ignore_case: bool = False) -> PatternMatch:
    return PatternMatch(label, re.compile(pattern, re.IGNORECASE if ignore_case else 0))


# -- addresses and UIDs, whose dots and digits other patterns would split

ADDRESSES = (
    _named("[e-mail]", r"[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,5}"),
    _named(
        "[link]",
        r"\b(?:(?:https?|ftp)://|www\.)[^\s<>\"')\]]{1,500}[^\s<>\"')\].,;]",
        ignore_case=True,
    ),
    _named("[number]", r"(?<![\d.])\d+(?:\.\d+){3,}(?![\d])"),  # UIDs, network addresses
)

# -- dates and times

_FULL = (
    "january february march april june july august september october november december"
    " januar februar marz maerz juni juli oktober dezember janvier fevrier avril juin juillet aout"
    " septembre octobre novembre decembre enero febrero marzo abril mayo junio julio agosto"
    " septiembre setiembre octubre noviembre diciembre"
)
_BOTH = "may mai mars"  # also common terms or names, so they need a capital letter
_ABBREVIATED = "jan feb mar apr may jun jul aug sept sep oct nov dec okt dez mrz"


def _either(words: str) -> str:
    return "|".join(words.split())


_CAPITAL = "|".join(
    f"{word.capitalize()}|{word.upper()}" for word in (_ABBREVIATED + " " + _BOTH).split()
)
_MONTH = (
    rf"(?<![A-Za-z])(?i:{_either(_FULL)}|{_either(_ABBREVIATED)}|{_either(_BOTH)})(?![A-Za-z])\.?"
)
_LONE_MONTH = rf"\b(?:(?i:{_either(_FULL)})|(?:{_CAPITAL})\b\.?)"
_DAY = r"(?<![\d.,/])(?:0?[1-9]|[12]\d|3[01])(?:\s?(?:st|nd|rd|th)\b|\.)?"
_YEAR = r"(?:19|20)\d\d(?!\d)"
_SHORT_YEAR = r"'?\d\d(?!\s*(?:%|mm|cm|m[lL]|[.,]?\d))"
_OF = r"(?:\s*\b(?:of|de|del)\b\s*)?"
_D, _M = r"(?:0?[1-9]|[12]\d|3[01])", r"(?:0?[1-9]|1[0-2])"
_NO_SEGMENTS = r"(?<!segments )(?<!segment )(?<!segs )(?<!seg )(?<!seg\. )(?<!AHA )"
#: Excludes a number that is followed by a unit, which is no day.
_UNIT = r"(?!\s*(?:[.,/]\d|\d|%|(?:mm|cm|m[lL]|ms|kg|g|T|y|yrs?|years?|segments?|points?|of\b)\b))"
_MODAL = r"(?! (?:be|also|not|represent|reflect|have|suggest|indicate|need|require|relate|well)\b)"

DATES = (
    # 2024-03-05T10:15, 2024/3/5, 2024.03.05
    _named(
        "[date]",
        rf"(?<![\d.])(?:19|20)\d\d([-/. ])\s?{_M}\1\s?{_D}(?!\d)"
        r"(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?",
    ),
    # 3/5/2024, 05.03.2024, 5-3-2024, 03/05/24
    _named("[date]", rf"(?<![\d./-]){_D}\s?([./-])\s?{_D}\s?\1\s?{_YEAR}"),
    _named(
        "[date]",
        rf"{_NO_SEGMENTS}(?<![\d./-]){_D}([./])\s?{_D}\1\s?'?\d\d(?![\d]|[./,-]\d|\s*(?:mm|cm|m[lL]|segm))",
    ),
    _named(
        "[date]", r"(?<![\d./-])(?:0[1-9]|[12]\d|3[01])-(?:0[1-9]|1[0-2])-\d\d(?![\d]|[./,-]\d)"
    ),
    # 3 March 2024, 03-MAR-24, 3rd of March, 2024, 3 de marzo de 2024
    _named("[date]", rf"{_DAY}[\s-]*{_OF}{_MONTH}[\s,'.-]*{_OF}(?:{_YEAR}|{_SHORT_YEAR})"),
    # March 3, 2024; Mar. 3rd 2024
    _named("[date]", rf"{_MONTH}[\s-]*{_D}(?:\s?(?:st|nd|rd|th))?\s*[,.-]?\s*{_YEAR}"),
    # March 2024, Mar. of 2024, Mar-24, Mar '24
    _named("[date]", rf"{_MONTH}[\s,./-]*{_OF}{_YEAR}"),
    # 2024 Mar 5, 2024-Mar-05
    _named("[date]", rf"(?<!\d){_YEAR}[\s,-]+{_MONTH}[\s.-]*{_D}(?!\d)"),
    _named("[date]", rf"\b(?:{_CAPITAL})\.?(?:-|\s?')\d\d(?!\d)"),
    # the 3rd of March, 3 March, 3. Maerz
    _named("[date]", rf"{_DAY}[\s-]*{_OF}{_LONE_MONTH}\b{_MODAL}"),
    # March 3, March 3rd
    _named("[date]", rf"{_LONE_MONTH}\s+{_D}(?:\s?(?:st|nd|rd|th)\b)?{_UNIT}"),
    # winter of 2023, Q2 2024, born in 1930
    _named(
        "[date]",
        rf"\b(?:spring|summer|autumn|fall|winter|Q[1-4])[ /]{_OF}{_YEAR}"
        rf"|\bborn[ ](?:in[ ])?(?P<x>{_YEAR})",
        ignore_case=True,
    ),
    # two-digit year with hyphens, which segments have too: only after "date", "dob", "born" or "on"
    _named("[date]", rf"\b(?i:date|dob|born|on)[ \t]*:?[ \t]*(?P<x>{_D}-{_D}-\d\d)(?![\d-])"),
    # 03/2024, 2024-03
    _named("[date]", rf"(?<![\d./-]){_M}[/-]{_YEAR}(?![/-]\d)"),
    _named("[date]", r"(?<![\d./-])(?:19|20)\d\d[-/](?:0[1-9]|1[0-2])(?![\d/-])"),
    # on 3/14, study of 12/3, am 12.3.: a day without a year needs a preposition or noun before it
    _named(
        "[date]",
        r"\b(?:(?:on|dated|since|until|am|vom|bis|seit|study|exam(?:ination)?|scan|MRI|CMR|echo|CT"
        r"|report|images?)\s+(?:(?:of|from|dated|on|vom)\s+)?)"
        rf"(?P<x>{_D}[/.]{_D}\.?)(?![\d/]|\s*(?:of\b|the\b|segm|point|[%a-z]*\s?segm|wall|mm|cm|T\b))",
        ignore_case=True,
    ),
    _named(
        "[date]",
        r"\b(?:mon|tues|wednes|thurs|fri|satur|sun)day\b|\b(?:montag|dienstag|mittwoch|donnerstag"
        r"|freitag|samstag|sonntag)\b",
        ignore_case=True,
    ),
)

TIMES = (
    _named(
        "[time]",
        r"(?<![\d:])(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d+)?)?"
        r"(?:\s*[ap]\.?m\b\.?)?(?:\s*(?:hrs|hours|Uhr|[ECMP][SD]T|UTC|GMT)\b)?(?![\d:])",
        ignore_case=True,
    ),
    _named(
        "[time]", r"(?<![\d.:])(?:0?[1-9]|1[0-2])(?:\.[0-5]\d)?\s?[ap]\.?m\b\.?", ignore_case=True
    ),
    _named(
        "[time]",
        r"(?<![\d.])(?:[01]\d|2[0-3])[.]?[0-5]\d\s?(?:h|hrs|hours|o'clock|Uhr)\b"
        r"|(?<!\d)\d{1,2}\s?(?:Uhr|o'clock)\b",
    ),
)

# -- persons

_PARTICLE = r"(?:van|von|der|den|de|del|della|la|le|du|da|dos|di|bin|ibn|al|el|ter|ten|zu|zur)"
#: Capitalised terms that are not part of a name.
_NOT_NAMES = (
    r"(?!(?:The|There|This|These|That|A|An|At|In|On|And|Or|For|With|Without|To|By|Of|From|As|It|Is"
    r"|We|No|Not|None|Normal|Mild(?:ly)?|Moderate(?:ly)?|Severe(?:ly)?|Small|Large|Left|Right|Late"
    r"|Mid|Basal|Apical|Global|Regional|LV|RV|LA|RA|LVEF|RVEF|EF|LGE|DE|MR|MRI|CMR|ECV|T1|T2|Ao"
    r"|Aort\w+|Mitral|Tricuspid|Pulmonary|Pericard\w+|Myocard\w+|Ventric\w+|Atri\w+|Sept\w+"
    r"|Findings|Impression|Conclusion|Summary|Opinion|Recommend\w*|Compar\w+|Interval|Unchanged"
    r"|Stable|New|Old|Prior|Previous|Cardiac|Cardiology|Cardiologist|Radiology|Radiologist|Heart"
    r"|Surgery|Team|Clinic|Hospital|Department|Referr\w+|Dilated|Dilatation|Hypertroph\w+|Patchy"
    r"|Suspected|Diffuse|Transmural|Subendocardial|Scar|Infarct\w*|Wall|MD|PhD|MBBS|FRCR|FACC"
    r"|Drs?|Profs?|Mrs?|Ms|Miss|Herr|Frau)\b)"
)
_END = r"(?!\w)(?![ \t]*[:=])"
_TITLED = rf"{_NOT_NAMES}[A-Z](?:'[A-Z])?[a-z]+(?:[A-Z][a-z]+)?(?:['-][A-Z]?[a-z]+){{0,2}}{_END}"
_CAPITALS = rf"{_NOT_NAMES}[A-Z][A-Z']+(?:-[A-Z]+)?{_END}"
_INITIAL = r"[A-Z]\.?(?![\w])"


def _words(word: str) -> str:
    """Return a pattern for up to four parts of a name with initials and particles between."""
    small = rf"(?:{_INITIAL}[ \t-]*|{_PARTICLE}[ \t]+){{0,3}}"
    return rf"{small}{word}(?:[ \t-]+{small}{word}){{0,3}}"


_NAMES = rf"(?:{_words(_TITLED)}|{_words(_CAPITALS)}|\[name\])"
_LISTED = (  # Smith, John A.
    rf"(?:{_TITLED}[ \t]*,[ \t]*{_words(_TITLED)}|{_CAPITALS}[ \t]*,[ \t]*"
    rf"(?:{_words(_TITLED)}|{_words(_CAPITALS)})|{_NAMES})(?:[ \t]+[A-Z]\b\.?)?"
)
_TITLE = (
    r"(?<![\w.])(?:[Dd][Rr]s?|DRS|Dres|[Pp]rof|PROF|Professor|Doctor|Mr|Mrs|Ms|Miss|Mx|Herrn?|Frau"
    r"|Mme|Mlle|Monsieur|Madame|Senora?|Nurse|Priv\.-Doz|PD|OA|Dott)\b\.?"
    r"(?:[ \t]*(?:[Dd][Rr]|med|[Pp]rof|h\.[ ]?c|rer|nat)\b\.?)*"
)
_POST = (
    r"(?:M\.?D\b\.?|Ph\.?D\b\.?|D\.O\.|DO\b|FRCR|FRCP|MRCP|MRCS|MBBS|MBChB|MSc|BSc|FACC|FSCMR|FACR"
    r"|FESC|RN\b|MPH\b|DNB\b|FRANZCR)"
)
_SIGNED = r"(?:signed|dictated|transcribed|typed|authenticated|attested|signature)"
_READ = (
    r"(?:finali[sz]ed|verified|approved|validated|released|read|reported|interpreted|reviewed"
    r"|performed|supervised|prepared|acquired|scanned|ordered|requested|referred|checked)"
)
_TOLD = (
    r"(?:discussed|communicated|conveyed|telephoned|relayed|notified|informed|spoke(?:n)?|phoned"
    r"|paged|alerted|texted|called to|sent to|given to)"
)

PERSONS = (
    _named(
        "[name]",
        rf"{_TITLE}\s{{0,3}}(?P<x>{_NAMES}(?:(?:,| and| &|/| und)[ \t]+{_NAMES}){{0,3}})",
    ),
    # dictated in lower case: dr smith
    _named(
        "[name]",
        r"(?<![\w.])[Dd]r\b\.?[ \t]+(?P<x>(?:[a-z]\.[ \t]*){0,3}"
        r"(?!(?:to|on|and|or|is|was|has|in|at|for|by|of|who|will)\b)[a-z][a-z'-]+)",
    ),
    _named("[name]", rf"(?P<x>{_NAMES}),?[ \t]+{_POST}(?:,?[ \t]*{_POST}){{0,3}}"),
    _named(
        "[name]",
        rf"\b{_SIGNED}(?:[ \t]+(?:and|&)[ \t]+\w+)?(?:[ \t]+electronically)?"
        r"(?:[ \t]+by[ \t]*:?|[ \t]*:)[ \t]*"
        r"(?P<x>[^\s\[\]\d,;:.()][^\[\]\d,;:.\n()]{1,39}?)(?=\s*(?:\b(?:at|on)\b|[\[\]\d,;:.\n()]|$))",
        ignore_case=True,
    ),
    _named(
        "[name]",
        rf"(?i:\b{_READ}(?:[ \t]+(?:and|&)[ \t]+\w+)?[ \t]+by[ \t]*:?[ \t]*)(?P<x>{_LISTED})",
    ),
    _named(
        "[name]",
        rf"(?i:\b{_TOLD}\b(?:[ \t]+(?:results?|findings|directly|verbally|by (?:tele)?phone))*"
        rf"(?:[ \t]+(?:with|to))?[ \t]+)(?P<x>{_NAMES})",
    ),
    _named(
        "[name]",
        r"(?i:\b(?:patient(?:'?s)?(?:[ \t]+name)?|pt(?:[ \t]+name)?"
        r"|(?:full |last |first |family |given |maiden )?name|surname"
        r"|(?:referring|ordering|attending|reading)(?: physician| doctor| radiologist)?|radiologist"
        r"|cardiologist|physician|resident|fellow|technologist"
        rf"|radiographer|operator|cc|attn)[ \t]*[:=][ \t]*)(?P<x>{_LISTED})",
    ),
    _named(
        "[name]",
        r"(?i:\b(?:patient|pt\.?)[ \t]+)"
        rf"(?P<x>{_TITLED}[ \t]+(?:[A-Z]\.[ \t]*)?{_TITLED})",
    ),
    _named("[name]", rf"\bI,[ \t]+(?P<x>{_NAMES}),"),
    _named(
        "[name]",
        rf"(?i:\b(?:{_SIGNED}|{_READ})\b[^.\n\[]{{0,20}}\[(?:date|time)\]"
        rf"(?:[ \t,]|\[time\])*by[ \t]*:?[ \t]*)(?P<x>{_LISTED})",
    ),
    # the last line of a typist: JS/mk
    _named("[name]", r"(?m)^[ \t(]*(?P<x>[A-Z]{2,3}[:/][a-z]{2,3})[ \t)]*$"),
)

# -- places

_CAPITAL_WORD = r"(?:St\.|[A-Z][\w'-]+)"
PLACES = (
    _named(
        "[place]",
        rf"(?:{_CAPITAL_WORD}[ \t]+){{1,5}}(?:(?:and|of|de)[ \t]+)?"
        r"(?:(?:General|University|Medical|Heart|Children'?s|Memorial|Regional)[ \t]+){0,3}"
        r"(?:Hospitals?|Clinics?|Cent(?:er|re)"
        r"|Infirmary|Klinik(?:um)?|Krankenhaus|Hopital|Institute|University|Universitat|Practice)\b"
        rf"(?:[ \t]+(?:of|in|at)[ \t]+{_CAPITAL_WORD}(?:[ \t]+{_CAPITAL_WORD}){{0,2}})?",
    ),
    _named(
        "[place]",
        r"\b(?:Hospital|Clinic|Universit(?:y|at)|University Hospital|Klinikum|Universitatsklinikum"
        rf"|Krankenhaus|Klinik|Hopital|Institute)[ \t]+(?:(?:of|de|del|for|am|im|St\.)[ \t]+)?"
        rf"{_CAPITAL_WORD}(?:[ \t]+{_CAPITAL_WORD}){{0,2}}",
    ),
    _named(
        "[place]",
        r"(?<![\w.])\d{1,5}[A-Za-z]?,?[ \t]+(?:[NSEW]\.?[ \t]+)?(?:[A-Z0-9][\w'.-]*[ \t]+){1,4}"
        r"(?:Streets?|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Way|Court|Ct|Square|Sq"
        r"|Plaza|Parkway|Pkwy|Highway|Terrace|Crescent|Close)\b\.?"
        r"(?:,?[ \t]+(?:Apt|Suite|Unit|Ste|Floor)\.?[ \t]*#?\w{1,5})?",
    ),
    _named(
        "[place]",
        r"\b[A-Z][\w-]*(?:stra(?:ss?e|s?e)|str\.|weg|platz|gasse|allee)[ \t]+\d{1,4}[a-z]?\b",
    ),
    _named(
        "[place]",
        r"\b\d{1,4},?[ \t]+(?:bis[ \t]+)?(?:rue|avenue|boulevard|calle|via|place)[ \t]+"
        r"(?:(?:de|du|la|des|le)[ \t]+)*[A-Z][\w'-]+",
    ),
    _named(
        "[place]",
        r"\b(?:calle|rue)[ \t]+(?:(?:de|du|la|des|le)[ \t]+)*[A-Z][\w'-]+,?[ \t]+\d{1,4}\b",
        ignore_case=True,
    ),
    _named("[place]", r"\b[A-Z][a-z]+(?:[ \t][A-Z][a-z]+)?,[ \t]+[A-Z]{2}[ \t]+\d{5}(?:-\d{4})?\b"),
    _named("[place]", r"\b(?:[BEGLMNSW]\d|[A-Z]{2}\d)[A-Z\d]?[ ]\d[ABD-HJLNP-UW-Z]{2}\b"),
    _named("[place]", r"\bP\.?O\.?[ ]Box[ ]\d+", ignore_case=True),
)

# -- numbers

NUMBERS = (
    # short numbers after a label
    _named(
        "[phone]",
        r"\b(?:tel(?:ephone|efon)?|phone|fax|mobile|cell|pager|bleep|beeper|ext(?:ension)?|call(?:back)?"
        r"|contact|dect|durchwahl)\b\.?(?:[ \t]+(?:no|number|nr|at|on)\b\.?)?[ \t]*[:#]?[ \t]*"
        r"(?P<x>[+(]?\d[\d ()./-]*\d)",
        ignore_case=True,
    ),
    _named(
        "[phone]",
        r"(?<![\w.+/-])(?:\+|00)[1-9]\d{0,2}[ ./-]?(?:\(0?\d{0,4}\)[ ]?)?"
        r"\d{1,5}(?:[ ./-]?\d{1,5}){1,5}(?!\w)",
    ),
    _named(
        "[phone]",
        r"(?<![\w.-])(?:1[ .-])?\(?[2-9]\d{2}\)?[ .-]{1,2}\d{3}[ .-]\d{4}(?!\w)"
        r"(?:[ ]?(?:x|ext\.?)[ ]?\d{1,5})?",
    ),
    _named("[phone]", r"(?<![\w.-])[2-9]\d{2}-\d{4}(?![\w-])"),
    _named(
        "[phone]", r"(?<![\w.-])\(?0\d{1,5}\)?(?:[ ]?[/-][ ]?|[ ])\d{2,}(?:[ -]\d{2,}){0,4}(?!\w)"
    ),
    _named("[phone]", r"(?<![\w.-])0\d(?:[ .-]\d\d){4}(?!\w)"),
    _named(
        "[number]",
        r"\b(?:MRN|MR[ ]?#|URN|UHID|EMPI|CHI|NHS|SSN|DOB|PID|accession|patient[ ]id|study[ ]id|id"
        r"|(?:medical[ ]record|patient|hospital|chart|file|accession|access|acc|order|visit|exam"
        r"|encounter|account|acct|study|case|report|request|insurance|policy|licen[cs]e|serial"
        r"|device|record|unit)[ \t]*(?:number|nr|no|num|id|identifier|#))(?!\w)\.?"
        r"(?:[ \t]*(?:number|no|nr|is)\b\.?)?[ \t]*[:#=]?[ \t]*"
        r"(?P<x>(?=[\w./-]*\d)(?!\d+(?:\.\d+)?[ ]?(?:mm|cm|%|m[lL]))\w(?:[\w./-]*\w)?"
        r"(?:[ ]\d{2,}(?![\d.]*\s*(?:%|mm|cm|m[lL]|ms)))*)",
        ignore_case=True,
    ),
    _named("[number]", r"(?<![\w.])\d{3}-\d{2}-\d{4}(?!\w)"),
    _named("[number]", r"(?<![\w.])\d{2,}-\d{2,}-\d{2,}(?:-\d+)*(?!\w|\s*(?:%|mm|ms|m[lL]))"),
    _named("[number]", r"(?<![\w.])\d{3}[ ]\d{3}[ ]\d{3,4}(?!\w)"),
    # long digit sequences with everything attached to them
    _named(
        "[number]", r"(?<![\w.])(?:[A-Za-z0-9_]+[-/]){0,3}[A-Za-z_]*\d{5,}[\w]*(?:[-/]\w+){0,3}"
    ),
    _named("[number]", r"(?<![\w.])[A-Za-z]{1,6}[-_/]?\d{4,}\w*(?:[-/]\d+)*"),
    _named("[number]", r"(?<![\w.])\d{2,}[-]?[A-Z]{1,4}[-]?\d{3,}\w*"),
    _named("[number]", r"\d{5,}"),
    _named("[number]", r"#[ ]?\d{3,}"),
)

# -- ages over 89

_OLD = r"(?:9\d|1[0-2]\d)"
AGES = (
    _named(
        "[age]",
        rf"(?<![\d.,/-])(?P<x>{_OLD})[ -]?(?:(?:years?|yrs?)[ -](?:old|of age)|y/?o\b|y\.o\.|yr/o"
        r"|-?jahrig\w*|-?(?:Jahre|ans|anos)\b"
        r"|(?:year|yr)s?[ ]?(?:M|F|male|female|man|woman|gentleman|lady|patient)\b"
        r"|-?(?:M|F|m/|f/)(?![\w.])|[ -]?(?:male|female)\b)",
    ),
    _named(
        "[age]",
        rf"\b(?i:age|aged|alter|edad)[ \t]*(?:of|is|:|=)?[ \t]*"
        rf"(?P<x>{_OLD})(?![\d.,]?\d|\s*(?:%|mm|m[lL]))",
    ),
    _named(
        "[age]",
        r"\b(?P<x>ninety(?:[ -](?:one|two|three|four|five|six|seven|eight|nine))?"
        r"|(?:one|a)[ -]hundred(?:[ -](?:and[ -])?\w+)?)[ -]years?[ -]old\b"
        r"|\b(?:nona|cente)narian\b",
        ignore_case=True,
    ),
)
