"""A bundle: everything that belongs to one exported model, in one folder.

    video.onnx      uint8 frames + frame count -> L2-normalised embedding
    text.onnx       token identifiers + attention mask -> L2-normalised embedding
    tokenizer.json  in the format of the `tokenizers` package
    manifest.json   this module's `Manifest`; holds the SHA-256 of every other file
    calibration.json  thresholds of the findings, valid for this bundle only; optional
    familiar.npy    statistics of the hearts that it knows (out_of_distribution.py); optional
    manifest.sig    signature of the manifest (signature.py); optional

A bundle is refused if a file differs from its manifest, if its folder has anything that the
manifest does not list, or if a graph has weights in another file. export/ writes manifests with
`write_manifest`, the worker reads them with `open_bundle`; no other code knows the format. A change
of the format needs a new `schema_version`.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from triage.domain.errors import ConfigurationError
from triage.domain.performance import Performance
from triage.model.external_data import require_own_weights
from triage.model.signature import SIGNATURE, require_signature
from triage.yaml_models import StrictModel, read

MANIFEST = "manifest.json"
VIDEO = "video.onnx"
TEXT = "text.onnx"
TOKENIZER = "tokenizer.json"
CALIBRATION = "calibration.json"
OOD_REFERENCE = "familiar.npy"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Positive = Annotated[int, Field(gt=0)]


class Sizes(StrictModel):
    """The sizes that the worker needs; the graphs define all others."""

    frames: Positive  #: F: most frames that the video tower takes
    height: Positive  #: H: rows of a frame as the graph takes it
    width: Positive  #: W: columns of a frame as the graph takes it
    embedding: Positive  #: length of both embeddings
    text_tokens: Positive  #: most tokens that the text tower takes


class ViewSlot(StrictModel):
    """One view of the clip. The order of the slots is the order of the frames."""

    view: str
    #: cine: the middle slice's phases, resampled to `phases` over the cardiac cycle.
    #: stack: one image of every slice, or of `slices` slices at uniform centres.
    #: single: one image, repeated once per image of the slot named in `repeat_as`, if any.
    kind: Literal["cine", "stack", "single"]
    phases: Positive | None = None
    slices: Positive | None = None
    repeat_as: str | None = None

    @model_validator(mode="after")
    def _check_fields(self) -> Self:
        if (self.kind == "cine") != (self.phases is not None):
            raise ValueError("a cine slot needs `phases`, and no other slot may have it")
        if self.kind != "stack" and self.slices is not None:
            raise ValueError("only a stack slot may have `slices`")
        if self.kind != "single" and self.repeat_as is not None:
            raise ValueError("only a single slot may have `repeat_as`")
        return self

    @property
    def length(self) -> int | None:
        """Number of frames of the slot, or None if it depends on the study."""
        if self.kind == "single":
            return 1 if self.repeat_as is None else None
        return self.phases or self.slices


class Preprocessing(StrictModel):
    """How DICOM pixels become the 8-bit frames that the graph takes."""

    #: 1: `centre_square`; 2: `heart_square`
    version: Literal[1, 2] = 1
    #: intensities at these percentiles of a whole view become 0 and 255
    window_percentiles: tuple[float, float] = (1.0, 99.0)
    #: share of the square's side, about its middle, in which the percentiles are measured: below 1,
    #: bright fat near the coils does not darken the heart
    window_share: float = Field(default=1.0, gt=0, le=1)
    #: centre_square: the largest centred square. heart_square: a square of `field_mm` around the
    #: point where the planes of the views meet (triage/imaging/geometry.py)
    crop: Literal["centre_square", "heart_square"] = "centre_square"
    field_mm: Annotated[float, Field(gt=0)] | None = None
    interpolation: Literal["bilinear"] = "bilinear"
    #: frames of a view that the study does not show: left out, or black
    missing: Literal["left_out", "black"] = "left_out"
    #: the frames of the clip that the model sees, if there are more than `Sizes.frames`
    sampling: Literal["uniform_centres"] = "uniform_centres"
    #: the resampling inside the graph: 224-256-224 as published, or none
    resize: Literal["published", "none"] = "published"

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if (self.crop == "heart_square") != (self.field_mm is not None):
            raise ValueError("heart_square needs `field_mm`, and centre_square must not have it")
        if (self.crop == "heart_square") != (self.version == 2):  # noqa: PLR2004 - named above
            raise ValueError(
                f"preprocessing version {self.version} does not support the crop {self.crop}"
            )
        return self


#: The layout of the published model: the middle slice of each cine in 30 phases, every slice of
#: the LGE stack, and the other LGE views repeated as often as that stack has slices.
PUBLISHED_LAYOUT = (
    ViewSlot(view="cine_lax", kind="cine", phases=30),
    ViewSlot(view="cine_sa", kind="cine", phases=30),
    ViewSlot(view="lge_sa", kind="stack"),
    ViewSlot(view="lge_lax", kind="single", repeat_as="lge_sa"),
    ViewSlot(view="lge_2ch", kind="single", repeat_as="lge_sa"),
    ViewSlot(view="lge_3ch", kind="single", repeat_as="lge_sa"),
)


class ClipForm(StrictModel):
    """Everything that determines the frames of a clip; training and service share it."""

    frames: Positive  #: F: frames at most
    height: Positive  #: H
    width: Positive  #: W
    layout: tuple[ViewSlot, ...] = PUBLISHED_LAYOUT
    preprocessing: Preprocessing = Preprocessing()

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        views = [slot.view for slot in self.layout]
        if len(set(views)) != len(views):
            raise ValueError("a view occurs twice in the layout")
        for slot in self.layout:
            if slot.repeat_as is not None and slot.repeat_as not in views:
                raise ValueError(
                    f"{slot.view} repeats as {slot.repeat_as}, which is not in the layout"
                )
        lengths = [slot.length for slot in self.layout]
        if self.preprocessing.missing == "black" and None in lengths:
            raise ValueError("`missing: black` needs a fixed number of frames in every slot")
        return self

    def name_views(self, views: Collection[str]) -> str:
        """Return the name of a set of views: those of the layout, in its order, joined by "+"."""
        return "+".join(slot.view for slot in self.layout if slot.view in views)


class Manifest(StrictModel):
    """The description of a bundle and its intended use."""

    schema_version: Literal[1] = 1
    name: str = Field(min_length=1, max_length=64)
    version: str = Field(min_length=1, max_length=64)
    trained: bool  #: False: random weights, meaningless scores; every flag is Not Evaluated
    intended_use: str = Field(min_length=1)
    #: the intended use excludes patients: studies that are not synthetic are never flagged
    synthetic_only: bool = False
    provenance: dict[str, str | int | float]  #: origin of the weights
    sizes: Sizes
    layout: tuple[ViewSlot, ...] = PUBLISHED_LAYOUT
    preprocessing: Preprocessing = Preprocessing()
    #: zero-shot AUC by data set and finding, as `evaluate --record` measured it
    evaluation: dict[str, dict[str, float]] = Field(default_factory=dict)
    files: dict[str, Sha256]  #: SHA-256 of every other file of the bundle

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        _ = self.clip  # raises if layout and preprocessing are not consistent
        missing = {VIDEO, TEXT, TOKENIZER} - set(self.files)
        if missing:
            raise ValueError(f"files lacks {', '.join(sorted(missing))}")
        if any("/" in name or "\\" in name or name.startswith(".") for name in self.files):
            raise ValueError("files must be plain file names in the bundle's folder")
        return self

    @property
    def clip(self) -> ClipForm:
        """Return the settings that determine the frames."""
        return ClipForm(
            frames=self.sizes.frames,
            height=self.sizes.height,
            width=self.sizes.width,
            layout=self.layout,
            preprocessing=self.preprocessing,
        )


class DecisiveScore(StrictModel):
    """A score that decides on a finding itself, with the figures that justify it."""

    score: float = Field(ge=-1, le=1)
    #: of a rule-in: share of studies above the score that have the finding (positive predictive
    #: value); of a rule-out: share of studies below it that do not have it (negative)
    predictive_value: float = Field(gt=0, le=1)
    measured_on: str = Field(min_length=1)  #: e.g. "412 studies of this hospital, 2025"
    studies: Positive | None = None  #: number of studies beyond the score, if measured here
    right: Positive | None = None  #: number of those that are as the score predicts
    interval: tuple[float, float] | None = None  #: 95 % interval of the predictive value


class Threshold(StrictModel):
    """The calibrated threshold of one finding."""

    threshold: float = Field(ge=-1, le=1)
    #: a score above this rules the finding in; None: the finding is never reported present
    rule_in: DecisiveScore | None = None
    #: a score below this rules the finding out; None: the finding is never reported absent
    rule_out: DecisiveScore | None = None
    #: a threshold with fewer false flags, for sites that want fewer flags
    specific: float | None = Field(default=None, ge=-1, le=1)
    #: standard deviation of the scores of labelled studies: those that the threshold was set on, or
    #: else those that it was measured on; None: no score is called near
    spread: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    #: what this threshold achieves on studies that did not set it, as `evaluate` measured it
    performance: Performance | None = None
    #: figures that `rule_in` and `rule_out` may be set to, lowest score first; they decide nothing
    rule_in_options: tuple[DecisiveScore, ...] = ()
    rule_out_options: tuple[DecisiveScore, ...] = ()
    prompts: tuple[str, ...]  #: the prompts that it is valid for

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.rule_in is not None and self.rule_in.score < self.threshold:
            raise ValueError(
                "rule_in is below the threshold: a finding would be present, unflagged"
            )
        if self.rule_out is not None and self.rule_out.score > self.threshold:
            raise ValueError("rule_out is above the threshold: a finding would be absent, flagged")
        if self.specific is not None and self.specific < self.threshold:
            raise ValueError(
                "specific is below the threshold: it would flag more instead of less; calibrate"
                " the bundle again"
            )
        return self


class OutOfDistributionLimit(StrictModel):
    """The distance beyond which a study is unlike those that the bundle knows."""

    limit: Annotated[float, Field(gt=0, allow_inf_nan=False)]  #: distance
    #: at most this share of similar hearts is beyond the limit, with this confidence
    false_alarms: float = Field(gt=0, lt=1)
    confidence: float = Field(gt=0, lt=1)
    hearts: Positive  #: number of hearts that set the limit, each held out of the statistics


class Calibration(StrictModel):
    """The thresholds of a bundle by finding id, and its out-of-distribution limit."""

    method: str
    findings: dict[str, Threshold]
    #: thresholds for studies that show exactly these views (`ClipForm.name_views`), by finding id:
    #: a score from one view has another distribution than one from six. A finding that is not told
    #: from these views has none. Empty: `findings` hold for any views
    by_views: dict[str, dict[str, Threshold]] = Field(default_factory=dict)
    familiarity: OutOfDistributionLimit | None = None


@dataclass(frozen=True)
class Bundle:
    """A verified bundle on disk: all files match its manifest."""

    path: Path
    manifest: Manifest
    digest: str  #: SHA-256 of manifest.json, which covers every file of the bundle
    calibration: Calibration | None
    #: mean features and whitening matrix of each view, (views, 1 + P, P); None if there are none
    ood_reference: NDArray[np.float32] | None = field(default=None, compare=False)


def open_bundle(path: Path, trusted_keys: Sequence[str] = ()) -> Bundle:
    """Open the bundle in folder `path` and verify every file.

    `trusted_keys` are the public keys (base64) of which one must have signed it; empty: none.

    Raises:
        ConfigurationError: A file is missing, invalid, not listed, or differs from the manifest; or
            no trusted key has signed the manifest.
    """
    manifest = read(path / MANIFEST, Manifest)
    _refuse_unlisted_files(path, manifest)
    if trusted_keys:
        require_signature(path, (path / MANIFEST).read_bytes(), trusted_keys)
    for name, expected in manifest.files.items():
        if not (path / name).is_file():
            raise ConfigurationError(f"bundle {path}: {name} is missing; copy the bundle again")
        if hash_file(path / name) != expected:
            raise ConfigurationError(
                f"bundle {path}: {name} differs from its manifest; copy the bundle again"
            )
    for graph in (VIDEO, TEXT):
        require_own_weights(path / graph)
    calibration = None
    if CALIBRATION in manifest.files:
        calibration = read(path / CALIBRATION, Calibration)
    reference = _read_reference(path, manifest) if OOD_REFERENCE in manifest.files else None
    return Bundle(path, manifest, hash_file(path / MANIFEST), calibration, reference)


def _refuse_unlisted_files(path: Path, manifest: Manifest) -> None:
    """Raise ConfigurationError for anything in the folder that no digest covers, and for links."""
    listed = {MANIFEST, SIGNATURE, *manifest.files}
    unlisted = [item.name for item in path.iterdir() if item.name not in listed]
    if unlisted:
        raise ConfigurationError(
            f"bundle {path}: {', '.join(sorted(unlisted)[:3])} is not in its manifest; move it "
            "away, or copy the bundle again"
        )
    if links := [item.name for item in path.iterdir() if item.is_symlink()]:
        raise ConfigurationError(f"bundle {path}: {min(links)} is a link; copy the file itself")


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write `manifest` into the bundle folder `path`; equal content gives equal bytes.

    A signature of an earlier manifest is removed.
    """
    (path / SIGNATURE).unlink(missing_ok=True)
    text = manifest.model_dump_json(indent=2, exclude_none=True) + "\n"
    (path / MANIFEST).write_text(text, encoding="utf-8")


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write `calibration` into the bundle folder `path`; the manifest must be updated after."""
    text = calibration.model_dump_json(indent=2) + "\n"
    (path / CALIBRATION).write_text(text, encoding="utf-8")


def _read_reference(path: Path, manifest: Manifest) -> NDArray[np.float32]:
    try:
        reference: NDArray[np.float32] = np.load(path / OOD_REFERENCE, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"bundle {path}: {OOD_REFERENCE} cannot be read: {error}"
        ) from None
    views, length = len(manifest.layout), reference.shape[-1] if reference.shape else 0
    if reference.dtype != np.float32 or reference.shape != (views, 1 + length, length):
        raise ConfigurationError(
            f"bundle {path}: {OOD_REFERENCE} has type {reference.dtype} and shape"
            f" {reference.shape}, not a mean and a matrix for each of {views} views; calibrate"
            " the bundle again"
        )
    return reference


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
