"""Good findings files, and the same with one mistake each."""

from dataclasses import dataclass

from triage.findings.lint.problem import Code

GOOD = """\
# The findings of a hospital.
findings:
  - id: lv_dilation
    name: Left ventricular dilation
    prompts:
      - Left ventricle is dilated
      - Left ventricle is enlarged in size
    views: [cine_lax, cine_sa]
    site: {value: "87878005", scheme: SCT, meaning: Left ventricle}

  - id: lge
    name: Late gadolinium enhancement
    prompts:
      - There is delayed enhancement
      - There is myocardial scarring
    views: [lge_sa, lge_lax]
    code: {value: "122664", scheme: DCM, meaning: Late Contrast Enhancement}
    verified_by: DICOM PS3.16, CID 6335

  - id: apical_thickening
    name: Apical thickening
    views: [cine_lax]
    examples:
      present: [1.2.840.1, 1.2.840.2]
      absent: [1.2.840.3]
"""


@dataclass(frozen=True)
class Mistake:
    """One mistake in the good file, and what lint must find: no more and no less."""

    code: Code
    old: str  #: of the good file
    new: str
    line: int
    column: int
    mended: str  #: the lines of the mend, stripped and joined by " / "; "": lines are removed
    is_warning: bool = False

    @property
    def text(self) -> str:
        """The file with the mistake."""
        assert GOOD.count(self.old) == 1, self.old
        return GOOD.replace(self.old, self.new)


_SCAR, _DILATED = "There is myocardial scarring", "Left ventricle is dilated"
MISTAKES = {
    "tab": Mistake(
        Code.TAB,
        "    name: Left ventricular dilation",
        "\tname: Left ventricular dilation",
        4,
        1,
        "name: Left ventricular dilation",
    ),
    "prompt with a colon": Mistake(
        Code.COLON, _DILATED, "LV: it is dilated", 6, 9, '- "LV: it is dilated"'
    ),
    "name with a colon": Mistake(
        Code.COLON,
        "Left ventricular dilation",
        "LV: dilation",
        4,
        11,
        'name: "LV: dilation"',
    ),
    "reserved character": Mistake(
        Code.RESERVED_CHARACTER,
        "Late gadolinium enhancement",
        "@LGE",
        12,
        11,
        'name: "@LGE"',
    ),
    "no space after a colon": Mistake(Code.MISSING_MARK, "id: lge", "id:lge", 11, 8, "- id: lge"),
    "no colon after a field": Mistake(
        Code.MISSING_MARK,
        "    views: [lge_sa, lge_lax]",
        "    views [lge_sa, lge_lax]",
        16,
        10,
        "views: [lge_sa, lge_lax]",
    ),
    "no dash before an item": Mistake(Code.MISSING_MARK, f"- {_SCAR}", _SCAR, 15, 7, f"- {_SCAR}"),
    "quote without counterpart": Mistake(
        Code.UNCLOSED_QUOTE, _SCAR, f'"{_SCAR}', 15, 38, f'- "{_SCAR}"'
    ),
    "bracket without counterpart": Mistake(
        Code.UNCLOSED_BRACKET,
        "[lge_sa, lge_lax]",
        "[lge_sa, lge_lax",
        16,
        28,
        "views: [lge_sa, lge_lax]",
    ),
    "indentation": Mistake(
        Code.INDENTATION,
        "    views: [lge_sa, lge_lax]",
        "   views: [lge_sa, lge_lax]",
        16,
        4,
        "views: [lge_sa, lge_lax]",
    ),
    "control character": Mistake(
        Code.CONTROL_CHARACTER, "scarring", "scar\x00ring", 15, 33, f"- {_SCAR}"
    ),
    "repeated field": Mistake(
        Code.REPEATED_KEY,
        "    views: [lge_sa, lge_lax]\n",
        "    views: [lge_sa]\n    views: [lge_lax]\n",
        17,
        5,
        "",
    ),
    "curly quotes around a prompt": Mistake(
        Code.CURLY_QUOTES, _SCAR, f"\u201c{_SCAR}\u201d", 15, 9, f'- "{_SCAR}"', is_warning=True
    ),
    "curly quotes around a code": Mistake(
        Code.CURLY_QUOTES,
        '"122664"',
        "\u201c122664\u201d",
        17,
        19,
        'code: {value: "122664", scheme: DCM, meaning: Late Contrast Enhancement}',
    ),
    "threshold": Mistake(
        Code.THRESHOLD,
        "    views: [lge_sa, lge_lax]\n",
        "    views: [lge_sa, lge_lax]\n    threshold: 0.4\n",
        17,
        5,
        "",
    ),
    "misspelt field": Mistake(
        Code.UNKNOWN_FIELD,
        "    verified_by",
        "    verifed_by",
        18,
        5,
        "verified_by: DICOM PS3.16, CID 6335",
    ),
    "unknown field": Mistake(
        Code.UNKNOWN_FIELD,
        "    verified_by",
        "    colour: red\n    verified_by",
        18,
        5,
        "",
    ),
    "missing field": Mistake(
        Code.MISSING_FIELD, "    name: Late gadolinium enhancement\n", "", 11, 5, "name: Lge"
    ),
    "views without brackets": Mistake(
        Code.NO_LIST, "views: [cine_lax, cine_sa]", "views: cine_sa", 8, 12, "views: [cine_sa]"
    ),
    "prompt without a dash": Mistake(
        Code.NO_LIST,
        f"    prompts:\n      - There is delayed enhancement\n      - {_SCAR}\n",
        f"    prompts: {_SCAR}\n",
        13,
        14,
        f"prompts: [{_SCAR}]",
    ),
    "number as a name": Mistake(
        Code.NO_TEXT, "name: Apical thickening", "name: 17", 21, 11, 'name: "17"'
    ),
    "empty name": Mistake(
        Code.NO_TEXT,
        "name: Apical thickening",
        "name:",
        21,
        10,
        "name: Apical thickening",
    ),
    "finding without fields": Mistake(
        Code.NO_FIELDS, "  - id: apical", "  - scar\n  - id: apical", 20, 5, ""
    ),
    "long name": Mistake(
        Code.LENGTH,
        "Late gadolinium enhancement",
        f"Late gadolinium enhancement {'in the myocardium ' * 5}".strip(),
        12,
        11,
        "name: Late gadolinium enhancement in the myocardium in the myocardium",
    ),
    "short prompt": Mistake(
        Code.LENGTH, _SCAR, "LG", 15, 9, "- There is late gadolinium enhancement"
    ),
    "id with capitals and spaces": Mistake(
        Code.ID_FORM, "id: lge", "id: LGE of the wall", 11, 9, "- id: lge_of_the_wall"
    ),
    "id used twice": Mistake(
        Code.DOUBLE_ID, "id: lge", "id: lv_dilation", 11, 9, "- id: lv_dilation_2"
    ),
    "accession number in place of a UID": Mistake(
        Code.UID_FORM, "[1.2.840.3]", "[UID 1.2.840.4]", 25, 16, "absent: [1.2.840.4]"
    ),
    "examples that are a word": Mistake(
        Code.EXAMPLES_FORM,
        "    examples:\n      present: [1.2.840.1, 1.2.840.2]\n      absent: [1.2.840.3]\n",
        "    examples: all\n",
        23,
        15,
        "examples: confirmed",
    ),
    "too many examples": Mistake(
        Code.EXAMPLES_COUNT,
        "absent: [1.2.840.3]",
        f"absent: [{', '.join(f'1.3.{number}' for number in range(33))}]",
        25,
        15,
        f"absent: [{', '.join(f'1.3.{number}' for number in range(32))}]",
    ),
    "study with and without the finding": Mistake(
        Code.DOUBLE_EXAMPLE,
        "absent: [1.2.840.3]",
        "absent: [1.2.840.3, 1.2.840.1]",
        25,
        27,
        "absent: [1.2.840.3]",
    ),
    "all labelled cases and prompts": Mistake(
        Code.CONFIRMED_WITH_PROMPTS,
        "    views: [lge_sa, lge_lax]\n",
        "    views: [lge_sa, lge_lax]\n    examples: confirmed\n",
        17,
        5,
        "",
    ),
    "code without a source": Mistake(
        Code.CODE_WITHOUT_SOURCE,
        "    verified_by: DICOM PS3.16, CID 6335\n",
        "",
        17,
        5,
        "",
    ),
    "no view": Mistake(
        Code.NO_VIEW, "views: [cine_lax]", "views: []", 22, 12, "views: [cine_lax, cine_sa]"
    ),
    "no prompt": Mistake(
        Code.NO_PROMPT,
        f"    prompts:\n      - There is delayed enhancement\n      - {_SCAR}\n",
        "    prompts: []\n",
        13,
        14,
        "prompts: [There is late gadolinium enhancement]",
    ),
    "unknown view": Mistake(
        Code.UNKNOWN_VIEW,
        "[lge_sa, lge_lax]",
        "[lge_sax, lge_lax]",
        16,
        13,
        "views: [lge_sa, lge_lax]",
        is_warning=True,
    ),
    "prompt listed twice": Mistake(
        Code.DOUBLE_PROMPT, "Left ventricle is enlarged in size", _DILATED, 7, 9, ""
    ),
    "prompt listed twice but for an article": Mistake(
        Code.NEAR_DUPLICATE,
        "Left ventricle is enlarged in size",
        "The left ventricle is dilated.",
        7,
        9,
        "",
        is_warning=True,
    ),
    "prompt of two findings": Mistake(
        Code.SHARED_PROMPT, _SCAR, _DILATED, 15, 9, "", is_warning=True
    ),
    "negation": Mistake(
        Code.NEGATION,
        _SCAR,
        "There is no evidence of myocardial scar",
        15,
        18,
        "- There is evidence of myocardial scar",
        is_warning=True,
    ),
    "German prompt": Mistake(
        Code.LANGUAGE, _SCAR, "Nachweis einer Narbe im Myokard", 15, 9, "", is_warning=True
    ),
    "two statements": Mistake(
        Code.TWO_STATEMENTS,
        _DILATED,
        "Left ventricle is dilated and right ventricle is dilated",
        6,
        35,
        f"- {_DILATED}",
        is_warning=True,
    ),
}
