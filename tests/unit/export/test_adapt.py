"""Adaptation of a small network from bright discs to dark ones, at a site with other patients."""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tokenizers import Tokenizer

from export.__main__ import cli
from export.adaptation import LEAST_PAIRS, Adaptation, AdaptationVerdict, SiteStudies, adapt
from export.adaptation_report import FIGURES, PAGE, write_adaptation
from export.checkpoint import load_checkpoint
from export.options import provenance_of, starting_point
from export.pairs import Pairs, open_pairs, write_pairs
from export.patients import is_held_out, split_patients
from export.pretrain import LAST, MODEL, TrainingProgress, pretrain
from export.recipe import (
    AugmentRecipe,
    ConvolutionalRecipe,
    Recipe,
    StoppingRecipe,
    TowerRecipe,
    adapting,
)
from export.tokenizer import REQUIRED, bert_tokenizer
from export.vocabulary_fit import measure_vocabulary
from export.watch import WATCH
from tests.builders.source_text import ROOT
from triage.domain.errors import ConfigurationError
from triage.findings.loader import parse_findings
from triage.model.bundle import ClipForm, Preprocessing, ViewSlot

SLOTS = (2, 1)
SIDE, STUDIES, PATIENTS = 16, 144, 96
FORM = ClipForm(
    frames=sum(SLOTS),
    height=SIDE,
    width=SIDE,
    layout=(
        ViewSlot(view="cine_sa", kind="cine", phases=2),
        ViewSlot(view="lge_lax", kind="single"),
    ),
    preprocessing=Preprocessing(resize="none", missing="black"),
)
BASE = Recipe(
    network="convolutional",
    convolutional=ConvolutionalRecipe(channels=(8, 16), width=16),
    patch=8,
    video=TowerRecipe(width=16, depth=1, heads=2),
    text=TowerRecipe(width=16, depth=1, heads=2),
    tokens=16,
    embedding=8,
    epochs=5,
    batch=8,
    rate=5e-3,
    augment=AugmentRecipe(),
)
SITE = adapting(
    BASE,
    Recipe(
        epochs=6,
        batch=8,
        rate=5e-3,
        bank=1,
        text_frozen=0.5,
        stopping=StoppingRecipe(held_out=0.3, patience=4),
    ),
)
WORDS = ("small", "medium", "large", "huge")
FINDINGS = parse_findings(
    """findings:
  - {id: wide, name: Wide, prompts: ["A large heart", "A huge heart"], views: [cine_sa]}
""",
    "test",
)
DEMO = ROOT / "triage" / "model" / "bundles" / "demo"
NETWORKS = ("convolutional", "published")


def make_pairs(folder: Path, count: int, *, dark: bool, patients: int = PATIENTS) -> Pairs:
    rng = np.random.default_rng(int(dark))
    rows, columns = np.mgrid[:SIDE, :SIDE]
    made = []
    for n in range(count):
        size = n % len(WORDS)
        down, right = rng.integers(7, 10, 2)
        disc = (rows - down) ** 2 + (columns - right) ** 2 < (2 + 1.6 * size) ** 2
        drawn = rng.normal(60, 5, (sum(SLOTS), SIDE, SIDE)) + 130 * (disc != dark)
        said = f"A {WORDS[size]} heart"
        row = {"id": str(n), "impression": said, "patient": f"p{n % patients}"}
        made.append((np.clip(drawn, 0, 255).astype(np.uint8), {**row, "wide": str(size // 2)}))
    write_pairs(folder, made, count, FORM)
    return open_pairs(folder)


@pytest.fixture(scope="module", autouse=True)
def _no_picture() -> Iterator[None]:
    """A picture after each epoch would take longer than all the rest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("export.pretrain.draw_training", lambda *_: None)
        yield


@pytest.fixture(scope="module")
def starts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return runs of both networks on bright discs."""
    pairs = make_pairs(tmp_path_factory.mktemp("bright"), 96, dark=False)
    folders = {}
    for name in NETWORKS:
        folders[name] = tmp_path_factory.mktemp(name)
        pretrain(pairs, BASE.model_copy(update={"network": name}), folders[name])
    return folders


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    return make_pairs(tmp_path_factory.mktemp("dark"), STUDIES, dark=True)


def adapted(site: Pairs, start: Path, run: Path, recipe: Recipe = SITE) -> Adaptation:
    begun = starting_point(start, None, FORM.frames)
    return adapt(SiteStudies(site, FINDINGS), begun, recipe, run)


def last(run: Path) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = torch.load(run / LAST, weights_only=True)["network"]
    return weights


def kept(run: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(run).network.state_dict()


def changed(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> set[str]:
    """Return the parts of the network that differ: vid, tex, txt."""
    return {name[:3] for name in one if not torch.equal(one[name], other[name])}


def watched(run: Path) -> list[float]:
    with (run / WATCH).open(newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def runs(
    starts: dict[str, Path], site: Pairs, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Path, Adaptation]]:
    """Return an adaptation of each network to dark discs."""
    found = {}
    for name in NETWORKS:
        run = tmp_path_factory.mktemp(f"adapted-{name}")
        found[name] = run, adapted(site, starts[name], run)
    return found


@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_learns_the_look_of_a_site_and_the_report_says_so(
    runs: dict[str, tuple[Path, Adaptation]], network: str
) -> None:
    run, found = runs[network]
    text = write_adaptation(found, run)
    assert found.verdict is AdaptationVerdict.HELPED, text
    assert found.after.loss < found.before.loss
    assert found.change.high < 0
    assert "**The adaptation helped" in text
    assert "impression to study, R@1 | " in text
    assert "| wide | " in text
    figures = json.loads((run / FIGURES).read_text())
    assert figures["verdict"] == "helped"
    assert (
        figures["after"]["findings"]["wide"]["auc"] > figures["before"]["findings"]["wide"]["auc"]
    )
    assert found.studies + found.held_out_studies == STUDIES
    assert found.patients + found.held_out_patients == PATIENTS
    facts = provenance_of(load_checkpoint(run), run, None)
    assert facts["adaptation"] == "helped"
    assert facts["adapted_from_sha256"] == found.start


@pytest.mark.parametrize("network", NETWORKS)
def test_the_best_epoch_is_kept(runs: dict[str, tuple[Path, Adaptation]], network: str) -> None:
    run, found = runs[network]
    assert found.after.loss == pytest.approx(min(watched(run)), abs=1e-6)
    assert watched(run)[found.best_epoch - 1] == min(watched(run))


@pytest.mark.parametrize("bank", [0, 1])
def test_the_text_tower_is_fixed_first_and_trained_afterwards(
    starts: dict[str, Path], site: Pairs, tmp_path: Path, bank: int
) -> None:
    recipe = SITE.model_copy(update={"epochs": 2, "bank": bank})
    start = kept(starts["convolutional"])

    def kill(progress: TrainingProgress) -> None:
        if progress.epoch == 1:
            raise KeyboardInterrupt

    begun = starting_point(starts["convolutional"], None, FORM.frames)
    with pytest.raises(KeyboardInterrupt):
        adapt(SiteStudies(site, FINDINGS), begun, recipe, tmp_path, kill)
    assert changed(last(tmp_path), start) == {"vid"}
    adapted(site, starts["convolutional"], tmp_path, recipe)
    assert changed(last(tmp_path), start) == {"vid", "tex", "txt"}


def test_a_killed_adaptation_continues_to_the_same_weights_and_figures(
    runs: dict[str, tuple[Path, Adaptation]],
    starts: dict[str, Path],
    site: Pairs,
    tmp_path: Path,
) -> None:
    whole, found = runs["convolutional"]

    def kill(progress: TrainingProgress) -> None:
        if progress.step == 20:  # in the middle of an epoch
            raise KeyboardInterrupt

    begun = starting_point(starts["convolutional"], None, FORM.frames)
    with pytest.raises(KeyboardInterrupt):
        adapt(SiteStudies(site, FINDINGS), begun, SITE, tmp_path, kill)
    assert adapted(site, starts["convolutional"], tmp_path) == found
    assert changed(last(tmp_path), last(whole)) == set()
    assert changed(kept(tmp_path), kept(whole)) == set()
    assert watched(tmp_path) == watched(whole)


def test_a_run_of_other_pairs_or_of_another_start_is_not_resumed(
    runs: dict[str, tuple[Path, Adaptation]],
    starts: dict[str, Path],
    site: Pairs,
    tmp_path: Path,
) -> None:
    run, _ = runs["convolutional"]
    more = make_pairs(tmp_path / "more", STUDIES + 8, dark=True)
    with pytest.raises(ConfigurationError, match="of another table of pairs"):
        adapted(more, starts["convolutional"], run)
    with pytest.raises(ConfigurationError, match="of another start"):
        adapted(site, run, run)


def test_held_out_patients_have_no_influence_on_the_weights(
    starts: dict[str, Path],
    site: Pairs,
    tmp_path: Path,
) -> None:
    held = np.array([is_held_out(patient, 0.3) for patient in site.patients()])
    frames = site.frames.copy()
    frames[held] = 7
    told = tuple(
        "Nothing" if out else text for out, text in zip(held, site.impressions, strict=True)
    )
    patient = SITE.model_copy(update={"stopping": StoppingRecipe(held_out=0.3, patience=99)})
    adapted(site, starts["convolutional"], tmp_path / "a", patient)
    other = replace(site, frames=frames, impressions=told)
    adapted(other, starts["convolutional"], tmp_path / "b", patient)
    assert watched(tmp_path / "a") != watched(tmp_path / "b")
    assert changed(last(tmp_path / "a"), last(tmp_path / "b")) == set()


def test_patients_are_split_whole_and_stay_where_they_are(site: Pairs, tmp_path: Path) -> None:
    training, held_out = split_patients(site, 0.3)
    assert not {*training.patients()} & {*held_out.patients()}
    assert len(training) + len(held_out) == STUDIES
    rows = np.array([int(row["id"]) for row in held_out.rows])
    assert np.array_equal(held_out.clips(np.arange(len(rows))), site.frames[rows])
    assert np.array_equal(held_out.clip(3), site.frames[rows[3]])
    more = make_pairs(tmp_path, 3 * STUDIES, dark=True, patients=2 * PATIENTS)
    _, later = split_patients(more, 0.3)
    assert {*held_out.patients()} == {*later.patients()} & {*site.patients()}


def misreport(pairs: Pairs) -> Pairs:
    """Return pairs whose reports state another size, except those of held-out patients."""
    wrong = dict(zip(WORDS, (*WORDS[1:], WORDS[0]), strict=True))
    texts = (
        text if is_held_out(patient, 0.3) else f"A {wrong[text.split()[1]]} heart"
        for text, patient in zip(pairs.impressions, pairs.patients(), strict=True)
    )
    return replace(pairs, impressions=tuple(texts))


def test_an_adaptation_that_does_not_help_stops_early_and_says_keep_the_old_bundle(
    starts: dict[str, Path], tmp_path: Path
) -> None:
    same = misreport(make_pairs(tmp_path / "same", STUDIES, dark=False))
    stopping = StoppingRecipe(held_out=0.3, patience=2)
    hopeless = SITE.model_copy(update={"text_frozen": 1, "stopping": stopping})
    found = adapted(same, starts["convolutional"], tmp_path / "run", hopeless)
    text = write_adaptation(found, tmp_path / "run")
    assert found.verdict is AdaptationVerdict.NO_BETTER
    assert found.epochs == found.best_epoch + 2 < hopeless.epochs
    assert "**Keep the old bundle. The adaptation did not help" in text


def test_a_fixed_text_tower_that_no_longer_helps_is_released_from_the_best_weights(
    starts: dict[str, Path], tmp_path: Path
) -> None:
    same = misreport(make_pairs(tmp_path / "same", STUDIES, dark=False))
    stopping = StoppingRecipe(held_out=0.3, patience=1)
    hopeless = SITE.model_copy(update={"epochs": 12, "stopping": stopping})
    adapted(same, starts["convolutional"], tmp_path / "run", hopeless)
    with (tmp_path / "run" / WATCH).open(newline="") as file:
        epochs = [int(row["epoch"]) for row in csv.DictReader(file)]
    assert epochs == [0, 1, 6]


def test_too_few_pairs_or_patients_are_refused_with_a_way_out(
    starts: dict[str, Path], tmp_path: Path
) -> None:
    few = make_pairs(tmp_path / "few", LEAST_PAIRS - 1, dark=True)
    with pytest.raises(ConfigurationError, match=r"at least 50: bring more studies .* `calibrate`"):
        adapted(few, starts["convolutional"], tmp_path / "run")
    one = make_pairs(tmp_path / "one", STUDIES, dark=True, patients=1)
    with pytest.raises(ConfigurationError, match="their Patient ID was replaced"):
        adapted(one, starts["convolutional"], tmp_path / "run")
    assert not (tmp_path / "run").exists()


def run_command(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["adapt", *map(str, arguments)])
    problem = f"{done.exception}" if isinstance(done.exception, ConfigurationError) else ""
    return done.exit_code, done.output + problem


def test_the_command_adapts_prints_the_report_and_the_next_steps(
    starts: dict[str, Path], tmp_path: Path
) -> None:
    make_pairs(tmp_path / "site", STUDIES, dark=True)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("{epochs: 4, batch: 8, rate: 0.005, bank: 1, stopping: {held_out: 0.3}}")
    start = starts["convolutional"]
    options = ("--start", start, "--pairs", tmp_path / "site", "--out", tmp_path / "run")
    code, said = run_command(*options, "--recipe", recipe)
    assert code == 0, said
    assert (tmp_path / "run" / PAGE).read_text() in said
    assert "No finding has labels" in said
    assert f"onnx --checkpoint {tmp_path / 'run'}" in said
    recorded = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert recorded["network"] == "convolutional"
    assert recorded["temperature"] == BASE.temperature
    assert recorded["stopping"] == {"held_out": 0.3, "patience": 5}
    assert (tmp_path / "run" / MODEL).is_file()


def test_what_cannot_be_adapted_is_refused(starts: dict[str, Path], tmp_path: Path) -> None:
    make_pairs(tmp_path / "site", STUDIES, dark=True)
    options = ("--pairs", tmp_path / "site", "--out", tmp_path / "run")
    code, said = run_command("--start", DEMO, *options)
    assert code
    assert "is a bundle: it holds ONNX graphs" in said
    assert "checkpoint model.pth, checkpoint_sha256 " in said
    start = starts["convolutional"]
    form = json.loads((start / "clip.json").read_text())
    form["preprocessing"]["window_percentiles"] = [2, 98]
    (tmp_path / "site" / "clip.json").write_text(json.dumps(form))
    code, said = run_command("--start", start, *options)
    assert code
    assert f"make them with --clip {start / 'clip.json'}" in said


def vocabulary(*pieces: str) -> Tokenizer:
    every = ["[PAD]", *REQUIRED, *pieces]
    return bert_tokenizer({piece: row for row, piece in enumerate(every)}, 6, lower_case=True)


def count_terms(texts: Sequence[str]) -> tuple[int, int, int, int, tuple[str, ...]]:
    fit = measure_vocabulary(texts, vocabulary("left", "heart", "k", "##l", "##ein", "."))
    return fit.terms, fit.split, fit.unknown, fit.cut, fit.foreign


def test_terms_outside_the_vocabulary_are_counted_and_only_common_ones_named() -> None:
    assert count_terms(["Left heart."]) == (2, 0, 0, 0, ())
    assert count_terms(["Klein heart", "Ödem"]) == (3, 2, 1, 0, ())
    assert count_terms(["left left left left left"]) == (5, 0, 0, 1, ())
    assert count_terms(["Klein", *["Ödem"] * 10])[-1] == ("odem",)


def test_a_vocabulary_of_other_terms_does_not_fit(
    runs: dict[str, tuple[Path, Adaptation]], tmp_path: Path
) -> None:
    _, found = runs["convolutional"]
    assert found.vocabulary.fits
    fit = measure_vocabulary(["Ödem"] * 10, vocabulary("left"))
    assert not fit.fits
    text = write_adaptation(replace(found, vocabulary=fit), tmp_path)
    assert "are not in the vocabulary: odem." in text
    assert "The tokenizer does not fit these impressions" in text


@pytest.mark.parametrize("verdict", [AdaptationVerdict.UNCLEAR, AdaptationVerdict.FINDING_LOST])
def test_a_doubtful_adaptation_says_keep_the_old_bundle(
    runs: dict[str, tuple[Path, Adaptation]], tmp_path: Path, verdict: AdaptationVerdict
) -> None:
    _, found = runs["convolutional"]
    text = write_adaptation(replace(found, verdict=verdict, lost=("wide",)), tmp_path)
    assert "**Keep the old bundle. " in text
    assert ("separates worse: wide" in text) == (verdict is AdaptationVerdict.FINDING_LOST)
