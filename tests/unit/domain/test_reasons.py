import string

import pytest

from triage.domain.incident import MEANINGS, IncidentKind
from triage.domain.reasons import TEXTS, ReasonCode, because


def test_every_code_has_a_sentence_and_every_kind_a_meaning() -> None:
    assert [*TEXTS] == [*ReasonCode]
    assert [*MEANINGS] == [*IncidentKind]


@pytest.mark.parametrize("code", ReasonCode)
def test_a_sentence_names_each_of_its_values_once(code: ReasonCode) -> None:
    names = [name for _, name, _, _ in string.Formatter().parse(TEXTS[code].sentence) if name]
    assert len(names) == len(set(names))


def test_remarks_follow_the_sentence() -> None:
    remark = because(ReasonCode.STEP_DISCONTINUED)
    reason = because(ReasonCode.ALL_ANNOUNCED, remark, announced=7)
    assert str(reason) == "all 7 announced instances are here; a procedure step was discontinued"
