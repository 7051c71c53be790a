"""The untrained bundle that is included with the worker: small, with seeded random weights.

It exercises every part (sizes of frames, layout, tokenizer, both towers) and has no knowledge. Its
manifest has `trained: false`, so the worker reports every finding as Not Evaluated. Its embeddings
differ from study to study; otherwise an error in the wiring would not be visible.
"""

import string

import torch
from tokenizers import Tokenizer
from torch import nn

from export.bundle import BundleModel, Label, published_form
from export.cmrclip import CmrClip, NetworkSizes, TextSizes, VideoSizes
from export.tokenizer import SPECIAL, Vocabulary, bert_tokenizer
from triage.model.bundle import ClipForm

NAME = "untrained-wiring"
INTENDED_USE = (
    "Research use only; not a medical device. Untrained wiring: weights drawn from a seeded random"
    " generator, so its scores mean nothing. For installation, demonstration and tests; never to"
    " be read as findings."
)
#: Spread of the weights, in units that keep the size of what passes through a layer. Above 1
#: attention picks tokens out rather than averaging them, which would make all studies look alike.
GAIN = 2.0
#: Parameters that are looked up or added, not multiplied with.
TABLES = ("cls_token", "pos_embed", "temporal_embed", "_embeddings.weight")

#: Frequent terms of cardiac reports; capitalised forms are added.
WORDS = """
a about abnormal absent acute akinesis akinetic and aneurysm aneurysmal anterior anterolateral aorta
aortic apex apical appearance are area arrhythmogenic artery ascending at atrial atrium basal be
biatrial biventricular body by calcified cardiac cardiomyopathy cavity chamber chambers change
chronic cine circumflex concentric consistent contractility coronary decreased delayed demonstrates
descending diastolic diffuse dilated dilation disease distribution dysfunction dyskinesis ectasia
ectatic edema effusion ejection elevated end endocardial enhancement enlarged enlargement epicardial
evidence fibrosis flow focal fraction free from function gadolinium global has heart hypertrophic
hypertrophied hypertrophy hypokinesis hypokinetic image images imaging impaired in increased index
infarct infarction inferior inferolateral inferoseptal insertion interatrial interventricular
ischemic is large late lateral left lesion leaflet likely linear long mass mid mild mildly mitral
moderate moderately motion myocardial myocarditis myocardium no noncompaction nonischemic normal not
obstruction of on or outflow overload pattern patchy pericardial pericardium point points posterior
preserved pressure pulmonary quantitative ratio reduced regional regurgitation restrictive reveals
right root scar seen segment segments septal septum severe severely short shows signal size slightly
small stenosis stress stroke study subendocardial systolic territory the there thick thickened
thickening thickness thin thinning thrombus to transmural trace tricuspid upper valve ventricle
ventricles ventricular vessel volume wall walls was weighted with within without
"""
ACRONYMS = "ACDC AR AS CMR DCM EDV EF ESV HCM LA LAD LCX LGE LV LVEF MR MRI RA RCA RV RVEF SA SV TR"
#: The commonest endings, so that an unlisted term is split into few pieces.
ENDINGS = "al ally ation ed er es ic ies ing ion ism itis ity ly ment ness osis ous s sis tion y"


def untrained_model(seed: int) -> BundleModel:
    """Return the model of the shipped bundle with weights drawn from `seed`."""
    vocabulary = report_vocabulary()
    sizes = NetworkSizes(
        video=VideoSizes(image=224, patch=16, width=64, depth=2, heads=4, hidden=128, frames=64),
        text=TextSizes(
            vocabulary=len(vocabulary), width=64, depth=2, heads=4, hidden=128, positions=128
        ),
        embedding=64,
    )
    tokenizer = bert_tokenizer(vocabulary, sizes.text.positions, lower_case=False)
    return untrained_like(sizes, tokenizer, published_form(sizes.video), seed)


def untrained_like(
    sizes: NetworkSizes, tokenizer: Tokenizer, form: ClipForm, seed: int
) -> BundleModel:
    """Return a model of some sizes with weights drawn from `seed`."""
    return BundleModel(
        network=seeded_network(sizes, seed),
        tokenizer=tokenizer,
        form=form,
        label=Label(
            name=NAME,
            version=f"seed-{seed}",
            trained=False,
            intended_use=INTENDED_USE,
            provenance={"weights": "random", "seed": seed},
        ),
    )


def report_vocabulary() -> Vocabulary:
    """Return the WordPieces: report terms, and every letter, so that no English text is unknown."""
    words = WORDS.split()
    letters = string.ascii_letters + string.digits
    pieces = [
        *SPECIAL,
        *letters,
        *string.punctuation,
        *(f"##{letter}" for letter in letters),
        *(f"##{ending}" for ending in ENDINGS.split()),
        *ACRONYMS.split(),
        *words,
        *(word.capitalize() for word in words),
    ]
    return {piece: row for row, piece in enumerate(dict.fromkeys(pieces))}


def seeded_network(sizes: NetworkSizes, seed: int) -> CmrClip:
    """Return a network with weights drawn from `seed`, independent of the global generator."""
    generator = torch.Generator().manual_seed(seed)
    network = CmrClip(sizes).eval().requires_grad_(requires_grad=False)
    for name, parameter in network.named_parameters():
        _draw(name, parameter, generator)
    return network


def _draw(name: str, parameter: nn.Parameter, generator: torch.Generator) -> None:
    if name.endswith("bias"):
        parameter.zero_()
    elif parameter.ndim == 1:  # the scale of a LayerNorm
        parameter.fill_(1)
    elif name.endswith(TABLES):
        parameter.normal_(generator=generator)
    else:
        spread = GAIN * parameter[0].numel() ** -0.5
        parameter.normal_(std=spread, generator=generator)
