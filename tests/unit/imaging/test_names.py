"""How series names are read: character sets, diacritics, scripts without spaces, and length."""

from io import BytesIO

import pytest
from pydicom import dcmread

from tests.builders.images import image, part10
from triage.imaging.names import LONGEST_NAME, normalise_name
from triage.imaging.rules import ImageFacts, View, find_match, load_rules, series_name

RULES = load_rules()


def view_of(name: str) -> View | None:
    match = find_match(RULES.views, ImageFacts(name))
    return match.means if match else None


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("CINE_segmented-SAX  b1 T2*FastCINE", "cine segmented sax b1 t2*fast cine"),
        ("  Spätaufnahme_Kurzachse", "spataufnahme kurzachse"),
        ("CINÉ 4 CAVITÉS", "cine 4 cavites"),
        ("Späte Übersicht, groß", "spate ubersicht gross"),
        ("PRZEPŁYW oś krótka", "przeplyw oś krotka"),
        ("corte ao nível médio", "corte ao nivel medio"),
        ("Cœur Ødem", "coeur odem"),
        ("ＣＩＮＥ　４ＣＨ", "cine 4ch"),  # noqa: RUF001 - full width
        ("T1マッピング短軸SAX", "t1 マッピング短軸 sax"),
        ("ｼﾈ四腔", "シネ四腔"),
        ("ガドリニウム", "ガドリニウム"),
        ("4방cine단축", "4 방 cine 단축"),
        ("电影 短轴_b1", "电影 短轴 b1"),
        ("", ""),
        ("___", ""),
    ],
)
def test_a_name_is_normalised(name: str, read: str) -> None:
    assert normalise_name(name) == read


@pytest.mark.parametrize("name", ["äö", "cine äö", "På", "Lóc", "sá", "ÄÖ 3"])
def test_a_short_word_with_diacritics_is_no_abbreviation(name: str) -> None:
    assert view_of(name) is None
    assert find_match(RULES.sequences, ImageFacts(name.replace("cine", ""))) is None


def test_a_name_is_cut_to_the_longest_that_the_standard_permits() -> None:
    assert normalise_name("x" * 100) == "x" * LONGEST_NAME
    assert view_of("SAX " + "1" * 100_000) is View.SAX


@pytest.mark.parametrize(
    ("character_set", "encoding", "name", "view"),
    [
        ("ISO_IR 100", "latin-1", "Cine 4 cavités", View.FOUR_CHAMBER),
        ("ISO_IR 101", "iso8859-2", "Oś krótka", View.SAX),
        ("ISO_IR 192", "utf-8", "Oś krótka", View.SAX),
        ("ISO_IR 192", "utf-8", "シネ 短軸", View.SAX),
        ("\\ISO 2022 IR 87", "iso2022_jp", "シネ 四腔", View.FOUR_CHAMBER),
        ("ISO_IR 13", "shift_jis", "ｼﾈ SAX", View.SAX),
        ("\\ISO 2022 IR 149", "", "시네 단축", View.SAX),
        ("GB18030", "gb18030", "电影 两腔心", View.TWO_CHAMBER),
        ("", "latin-1", "Cine 4 cavités", View.FOUR_CHAMBER),
        ("", "utf-8", "Cine 4 cavités", View.FOUR_CHAMBER),
        ("", "utf-8", "电影 短轴", View.SAX),
    ],
)
def test_a_name_is_read_in_the_character_set_of_its_instance(
    character_set: str, encoding: str, name: str, view: View
) -> None:
    # ISO 2022 IR 149 designates KS X 1001 by an escape sequence (PS3.5 Annex I)
    content = name.encode(encoding) if encoding else b"\x1b$)C" + name.encode("euc_kr")
    dataset = image(SpecificCharacterSet=character_set.split("\\"), SeriesDescription="N" * 32)
    if not character_set:
        del dataset.SpecificCharacterSet
    file = part10(dataset).replace(b"N" * 32, content.ljust(32))
    assert view_of(series_name(dcmread(BytesIO(file)))) is view
