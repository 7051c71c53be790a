"""Vendors' header habits as tables: scanners, image types, sequences and series names.

All entries are taken from real data: habits from public files of the three vendors (biv-me,
Sunnybrook Cardiac Data, CAP), names from the lists of cmr_toolkit and ukbb_cardiac. To add another
name or habit, add a line here.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from triage.phantom.stack import PhantomSequence as Kind
from triage.phantom.stack import PhantomView


class Vendor(StrEnum):
    """A vendor with its own header habits; the value is that of Manufacturer."""

    SIEMENS = "SIEMENS"
    GE = "GE MEDICAL SYSTEMS"
    PHILIPS = "Philips Medical Systems"


class Scanner(NamedTuple):
    """The elements that a vendor writes into every image."""

    models: tuple[tuple[str, str], ...]  #: model and software
    body_part: str | None
    bits: int
    signed: bool
    series_step: int  #: step between series numbers


SCANNERS: Mapping[Vendor, Scanner] = MappingProxyType(
    {
        Vendor.SIEMENS: Scanner(
            (("Aera", "syngo MR E11"), ("Skyra", "syngo MR D13"), ("MAGNETOM Vida", "XA50")),
            "HEART",
            12,
            signed=False,
            series_step=1,
        ),
        Vendor.GE: Scanner(
            (("SIGNA HDx", "14\\LX\\MR Software release:14.0"), ("SIGNA Artist", "29\\LX\\MR29.1")),
            None,
            16,
            signed=True,
            series_step=1,
        ),
        Vendor.PHILIPS: Scanner(
            (("Intera", "11.1"), ("Achieva", "3.2.3\\3.2.3.1"), ("Ingenia", "5.3.0\\5.3.0.3")),
            None,
            12,
            signed=False,
            series_step=100,
        ),
    }
)


class Habit(NamedTuple):
    """A vendor's elements for one sequence; "" is an empty element, None a missing one."""

    image_type: str
    scanning: str
    variant: str
    options: str
    sequence_name: str | None = None


_S = "ORIGINAL\\PRIMARY\\M\\"
_G = "ORIGINAL\\PRIMARY\\OTHER"
_P = "DERIVED\\PRIMARY\\M_FFE\\M\\FFE"

#: {n} is the number of lines or phases that the sequence name carries.
HABITS: Mapping[Vendor, Mapping[Kind, tuple[Habit, ...]]] = MappingProxyType(
    {
        Vendor.SIEMENS: {
            Kind.CINE: (
                Habit(_S + "RETRO\\NORM\\DIS2D", "GR", "SK\\SS\\OSP", "CT", "*tfi2d1_12"),
                Habit(_S + "RETRO\\NORM\\DIS2D\\FIL", "GR", "SK", "CG\\PER", "*tfi2d1_10"),
            ),
            Kind.LGE: (
                Habit(_S + "NORM\\DIS2D", "GR\\IR", "SK\\SP\\MP", "CT", "*tfl2d1_25"),
                Habit(_S + "NORM\\DIS2D", "GR\\IR", "SK\\SS\\MP", "CT", "*tfi2d1_37"),
            ),
            Kind.LOCALIZER: (Habit(_S + "NORM\\DIS2D", "GR", "SK\\SS\\OSP", "PFP", "*tfi2d1_128"),),
            Kind.TI_SCOUT: (Habit(_S + "NORM\\DIS2D", "GR\\IR", "SK\\SS\\MP", "CT", "*tfi2d1_9"),),
            Kind.T1_MAP: (
                Habit(
                    "DERIVED\\PRIMARY\\T1 MAP\\NORM\\DIS2D\\MOCO",
                    "GR\\IR",
                    "SK\\SS\\MP",
                    "CT",
                    "tfi2d1_72",
                ),
            ),
            Kind.T2_MAP: (
                Habit(
                    "DERIVED\\PRIMARY\\T2 MAP\\NORM\\DIS2D\\MOCO",
                    "GR",
                    "SK\\SS\\MP",
                    "CT",
                    "tfi2d1_72",
                ),
            ),
            Kind.PERFUSION: (
                Habit(_S + "NORM\\DIS2D\\MOCO", "GR", "SK\\SP\\MP", "CT\\SP", "*tfl2d1_60"),
                Habit(_S + "NORM\\DIS2D", "GR", "SK\\SS\\MP", "CT\\SP", "*tfi2d1_54"),
            ),
            Kind.FLOW: (Habit(_S + "RETRO\\NORM\\DIS2D", "GR", "SP\\OSP", "CT", "*fl2d1r8"),),
            Kind.T2W: (
                Habit(_S + "NORM\\DIS2D", "SE\\IR", "SK\\SP\\MP\\OSP", "CT", "*tirB2d1_23"),
            ),
        },
        Vendor.GE: {
            Kind.CINE: (
                Habit(_G, "GR", "SS", "FAST_GEMS\\CG\\SEQ_GEMS"),
                Habit("ORIGINAL\\PRIMARY\\CARDIAC\\NONE", "GR", "SS", "FAST_GEMS\\SEQ_GEMS\\CG"),
                Habit(_G, "GR", "SS", "FAST_GEMS\\CG\\SEQ_GEMS\\FILTERED_GEMS\\ACC_GEMS"),
            ),
            Kind.LGE: (Habit(_G, "GR\\IR", "SK\\MP", "FAST_GEMS\\EDR_GEMS\\CG\\IR_GEMS"),),
            Kind.LOCALIZER: (
                Habit(_G, "GR", "SS", "FAST_GEMS\\SEQ_GEMS"),
                Habit(_G, "SE", "SK", "FAST_GEMS\\SS_GEMS"),
            ),
            Kind.TI_SCOUT: (Habit(_G, "GR\\IR", "SS\\MP", "FAST_GEMS\\CG\\IR_GEMS"),),
            Kind.T1_MAP: (
                Habit("DERIVED\\SECONDARY\\OTHER", "GR", "SS\\MP", "FAST_GEMS\\CG\\ACC_GEMS"),
            ),
            Kind.T2_MAP: (
                Habit("DERIVED\\SECONDARY\\OTHER", "SE", "SK", "FAST_GEMS\\CG\\ACC_GEMS"),
            ),
            Kind.PERFUSION: (Habit(_G, "GR", "SK\\MP", "FAST_GEMS\\CG\\EPI_GEMS"),),
            Kind.FLOW: (Habit(_G, "GR", "SP", "FAST_GEMS\\CG\\FC_FREQ_AX_GEMS\\PC_GEMS"),),
            Kind.T2W: (Habit(_G, "SE", "SK", "FAST_GEMS\\CG\\BB_GEMS\\FS"),),
        },
        Vendor.PHILIPS: {
            Kind.CINE: (
                Habit(_P, "GR", "SK", "CG", ""),
                Habit("ORIGINAL\\PRIMARY\\M_FFE\\M\\FFE", "GR", "SK", "PFP", ""),
            ),
            Kind.LGE: (
                Habit(_P, "GR\\IR", "MP", "CG\\PFP", ""),
                Habit("ORIGINAL\\PRIMARY\\M_IR\\M\\IR", "GR\\IR", "MP", "CG", ""),
            ),
            Kind.LOCALIZER: (Habit(_P, "GR", "SK", "PFP", ""),),
            Kind.TI_SCOUT: (Habit(_P, "GR\\IR", "SK\\MP", "CG", ""),),
            Kind.T1_MAP: (
                Habit("DERIVED\\PRIMARY\\T1 MAP\\T1\\UNSPECIFIED", "GR\\IR", "SK\\MP", "CG", ""),
            ),
            Kind.T2_MAP: (
                Habit("DERIVED\\PRIMARY\\T2 MAP\\T2\\UNSPECIFIED", "SE", "SK", "CG", ""),
            ),
            Kind.PERFUSION: (Habit(_P, "GR", "MP", "CG", ""),),
            Kind.FLOW: (Habit("ORIGINAL\\PRIMARY\\M_FFE\\M\\FFE", "GR", "SP", "FC", ""),),
            Kind.T2W: (Habit("DERIVED\\PRIMARY\\M_SE\\M\\SE", "SE", "SK", "SP", ""),),
        },
    }
)

#: Names of the views in series names that are composed of sequence and view.
_UPPER = {
    PhantomView.SAX: "SAX",
    PhantomView.TWO_CHAMBER: "2CH",
    PhantomView.THREE_CHAMBER: "3CH",
} | {
    PhantomView.FOUR_CHAMBER: "4CH",
    PhantomView.AXIAL: "AX",
    PhantomView.CORONAL: "COR",
    PhantomView.SAGITTAL: "SAG",
}
_LOWER = {view: name.lower() for view, name in _UPPER.items()}
_CLINICAL = _UPPER | {
    PhantomView.SAX: "SA",
    PhantomView.TWO_CHAMBER: "VLA",
    PhantomView.THREE_CHAMBER: "LVOT",
    PhantomView.FOUR_CHAMBER: "HLA",
}
_CHAMBER = _UPPER | {
    PhantomView.SAX: "Short_Axis",
    PhantomView.TWO_CHAMBER: "2_Chamber",
    PhantomView.THREE_CHAMBER: "3_Chamber",
    PhantomView.FOUR_CHAMBER: "4_Chamber",
}
_LAX = _UPPER | {
    PhantomView.TWO_CHAMBER: "LAX_2Ch",
    PhantomView.THREE_CHAMBER: "LAX_3Ch",
    PhantomView.FOUR_CHAMBER: "LAX_4Ch",
}
_WITHOUT_SAX = _UPPER | {PhantomView.SAX: ""}
_LV = _UPPER | {PhantomView.TWO_CHAMBER: "LV2CH", PhantomView.THREE_CHAMBER: "LV3CH"}
_SA = _UPPER | {PhantomView.SAX: "SA"}


class Name(NamedTuple):
    """A pattern of series names: {view} from `views`, {_b} the slice, {ti} inversion time."""

    text: str
    views: Mapping[PhantomView, str] = MappingProxyType(_UPPER)


NAMES: Mapping[Vendor, Mapping[Kind, tuple[Name, ...]]] = MappingProxyType(
    {
        Vendor.SIEMENS: {
            Kind.CINE: (
                Name("CINE_segmented_{view}{_b}", _LAX),
                Name("cine_trufi_retro {view}", _WITHOUT_SAX),
                Name("tfisp_cine_{view}", _LOWER),
                Name("{view}_TRUFISP"),
                Name("Cine_TruFisp_{view}", _CLINICAL),
            ),
            Kind.LGE: (
                Name("{view}_DE_overview_BH_PSIR"),
                Name("{view}_DE_2D_TI{ti}_BH_PSIR"),
                Name("{view}_DE_(TI={ti})_MBH_MAG"),
                Name("de_overview_tfi_psir_{view}_PSIR", _LOWER),
            ),
            Kind.LOCALIZER: (
                Name("trufi_loc_multi_iPAT"),
                Name("Short_Axis_localizer"),
                Name("localizer_3plane"),
            ),
            Kind.TI_SCOUT: (Name("TI-Scout"), Name("TI_SCOUT"), Name("TI_SCOUT_{view}")),
            Kind.T1_MAP: (
                Name("T1Map_LongT1_pre_{view}_MOCO_T1", _SA),
                Name("T1Map_LongT_3SL_(R_TO_R_>_700_MS)_MOCO_T1"),
                Name("ShMOLLI_192i_{view}_b1_T1MAP"),
            ),
            Kind.T2_MAP: (
                Name("T2Map_TrueFISP_mid_{view}_MOCO_T2", _SA),
                Name("T2Map_TrueFISP_mid_3SL_MOCO_T2"),
            ),
            Kind.PERFUSION: (
                Name("REST_PERFUSION_(AERA_REF.)"),
                Name("REST_PERFUSION_(AERA_REF.)_MOCO"),
                Name("first_pass_perf_sr_tfl"),
            ),
            Kind.FLOW: (Name("flow_250_tp_AoV_bh"), Name("AV_flow_venc250")),
            Kind.T2W: (
                Name("DB_HASTE_{view}"),
                Name("t2_STIR_db_{view}", _LOWER),
                Name("{view}_T2w_tse_db", _SA),
            ),
        },
        Vendor.GE: {
            Kind.CINE: (
                Name("{view}_FIESTA_BH"),
                Name("{view}_FIESTA_BH", _LV),
                Name("{view}_FIESTA_CINE"),
                Name("Funct_{view}", _CHAMBER),
                Name("CINE{view}"),
                Name("{view}_CINE_BH"),
            ),
            Kind.LGE: (
                Name("{view}_IrP-FGRE_TI={ti}"),
                Name("{view}_DE_TI_{ti}_BH"),
                Name("2DDel Enh {view}", _SA),
            ),
            Kind.LOCALIZER: (
                Name("3PL_SSFSE_LOC"),
                Name("3-pl_Loc_FIESTA_BH"),
                Name("SCOUT"),
                Name("3Plane_Loc_SSFSE_BH"),
            ),
            Kind.TI_SCOUT: (Name("CINE_IR"), Name("{view}_CINE_IR"), Name("CINE_IR_2RR")),
            Kind.T1_MAP: (
                Name("{view}_MOLLI_ARC_PRE_BH"),
                Name("SMART1Map_{view}_T1Map_ARC_PRE_BH"),
                Name("{view}_T1-map_PRE_BH"),
            ),
            Kind.T2_MAP: (Name("{view}_T2Map_FSE_BB"),),
            Kind.PERFUSION: (Name("{view}_FGRE_PERF_TC"), Name("REST_PERFUSION_{view}")),
            Kind.FLOW: (Name("AX_2D_FLOW_V=250_BH"), Name("Ao_FLOW_FastPC_V=250_BH")),
            Kind.T2W: (Name("{view}_FS_TIRFSE_BH"), Name("{view}_T2_STIR_BH")),
        },
        Vendor.PHILIPS: {
            Kind.CINE: (
                Name("{view} SENSE", _SA),
                Name("bFFE_BH_{view}", _CLINICAL),
                Name("           sbFE/M2D/{view}", _SA),
                Name("sBTFE_BH_M2D_{view}", _CLINICAL),
                Name("Cine_{view}", _CLINICAL),
            ),
            Kind.LGE: (
                Name("PS:{view}_LGE", _SA),
                Name("LGE_{view}_2D_Ssh", _SA),
                Name("{view}_DELAYED_ENHANCEMENT", _CLINICAL),
                Name("PSIR_{view}_LGE", _SA),
                Name("MAG:LGE_{view}", _CLINICAL),
            ),
            Kind.LOCALIZER: (Name("SURVEY_BFFE"), Name("SURVEY_BH"), Name("3_PLANE_LOC_BH")),
            Kind.TI_SCOUT: (Name("LOOKLOCKER"), Name("TI_SCOUT_10_MIN"), Name("Look-Locker SENSE")),
            Kind.T1_MAP: (
                Name("T1_native_MOLLI_PRE"),
                Name("BASE_T1_MOLLI_MAP_native_PRE"),
                Name("T1_MOLLI_MAP_{view}", _SA),
            ),
            Kind.T2_MAP: (Name("T2_MAP_mGraSE_BB_Sense"), Name("mGraSE_BB_Sense_T2_MAP")),
            Kind.PERFUSION: (Name("PERFUSION_REST_BTFE"), Name("Perfusion rest SENSE")),
            Kind.FLOW: (Name("Flow BH AO SENSE"), Name("sQFLOW_BH"), Name("AORTA_sQFLOW_BH")),
            Kind.T2W: (Name("STIR_BB_{view}", _SA), Name("T2W_TSE_BB_{view}", _CLINICAL)),
        },
    }
)

#: Sequences that are not gated: no TriggerTime, no CardiacNumberOfImages.
UNGATED = frozenset({Kind.LOCALIZER})
#: Sequences for which Siemens makes one series per slice.
SIEMENS_ALONE = frozenset({Kind.CINE})
LINES = 12  #: lines per segment: for a cine, Siemens states the repetition time of a segment
