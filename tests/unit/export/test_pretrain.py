"""Training on the smallest size: bright and dark clips, and words for them."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch.nn import functional

from export.__main__ import cli
from export.bank import Bank
from export.checkpoint import load_checkpoint
from export.cmrclip import VideoSizes
from export.contrast import Learner, info_nce
from export.embed import embed_frames
from export.frames import Resize, normalised
from export.pairs import Pairs, open_pairs, write_pairs
from export.pretrain import (
    LAST,
    LOG,
    MODEL,
    PICTURE,
    StartingPoint,
    TrainingProgress,
    pretrain,
    replace_video_tower,
)
from export.recipe import Recipe, TowerRecipe, published
from export.tokenizer import load_tokenizer
from export.watch import WATCH, ValidationWatch
from triage.domain.errors import ConfigurationError
from triage.findings.loader import parse_findings
from triage.model.bundle import ClipForm, Preprocessing, open_bundle

COUNT, FRAMES, SIDE = 48, 4, 16
FORM = ClipForm(frames=FRAMES, height=SIDE, width=SIDE, preprocessing=Preprocessing(resize="none"))
SMALL = Recipe(
    patch=8,
    video=TowerRecipe(width=16, depth=1, heads=2),
    text=TowerRecipe(width=16, depth=1, heads=2),
    tokens=16,
    embedding=8,
    epochs=6,
    batch=8,
    rate=5e-3,
)
FINDINGS = parse_findings(
    """findings:
  - {id: big, name: Big, prompts: ["Left ventricle: severely dilated"], views: [cine_sa]}
  - {id: unlabelled, name: Unlabelled, prompts: [Something else], views: [cine_sa]}
""",
    "test",
)
ROWS = np.arange(3, 11)
WORDS = ("normal size", "mildly dilated", "moderately dilated", "severely dilated")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    folder = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(0)

    def made() -> list[tuple[np.ndarray, dict[str, str]]]:
        kinds = rng.integers(0, len(WORDS), COUNT)
        return [
            (
                np.clip(rng.normal(60 * kind, 10, (FRAMES - 1, SIDE, SIDE)), 0, 255).astype("u1"),
                {
                    "id": str(n),
                    "impression": f"Left ventricle: {WORDS[kind]}",
                    "big": str(kind // 2),
                },
            )
            for n, kind in enumerate(kinds)
        ]

    write_pairs(folder, made(), COUNT, FORM)
    return open_pairs(folder)


def losses(run: Path) -> list[float]:
    with (run / LOG).open(newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def weights(run: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(run / MODEL, weights_only=True)["state_dict"]
    return state


@pytest.fixture(scope="module")
def run(pairs: Pairs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    pretrain(pairs, SMALL, folder)
    return folder


def test_pairs_are_read_as_they_were_written(pairs: Pairs) -> None:
    assert len(pairs) == COUNT
    assert pairs.frames.shape == (COUNT, FRAMES, SIDE, SIDE)
    assert set(pairs.counts) == {FRAMES - 1}
    assert not pairs.frames[:, -1].any()
    assert set(pairs.labels("big")) == {0, 1}
    assert np.isnan(pairs.labels("unknown")).all()


def test_the_loss_falls(run: Path) -> None:
    curve = losses(run)
    assert len(curve) == 36
    assert np.mean(curve[-6:]) < np.mean(curve[:6]) - 0.3


def test_a_killed_run_continues_to_the_same_weights(
    pairs: Pairs, run: Path, tmp_path: Path
) -> None:
    def kill(progress: TrainingProgress) -> None:
        if progress.step == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(pairs, SMALL, tmp_path, kill)
    pretrain(pairs, SMALL, tmp_path)
    assert losses(tmp_path) == losses(run)
    assert all(torch.equal(value, weights(run)[name]) for name, value in weights(tmp_path).items())


BANKED = SMALL.model_copy(update={"bank": 2, "epochs": 10, "bank_after": 0.2})


def test_with_a_bank_the_loss_falls_and_words_find_the_clips(pairs: Pairs, tmp_path: Path) -> None:
    pretrain(pairs, BANKED, tmp_path, watch=ValidationWatch(pairs, FINDINGS))
    curve = losses(tmp_path)
    assert len(curve) == 60
    assert np.mean(curve[-6:]) < np.mean(curve[:6]) - 0.3
    with (tmp_path / WATCH).open(newline="") as file:
        assert float([*csv.DictReader(file)][-1]["big"]) > 0.9


def test_a_killed_run_with_a_bank_continues_to_the_same_weights(
    pairs: Pairs, tmp_path: Path
) -> None:
    def kill(progress: TrainingProgress) -> None:
        if progress.step == 20:
            raise KeyboardInterrupt

    pretrain(pairs, BANKED, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        pretrain(pairs, BANKED, tmp_path / "killed", kill)
    pretrain(pairs, BANKED, tmp_path / "killed")
    whole, killed = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    assert all(torch.equal(value, whole[name]) for name, value in killed.items())


def test_a_bank_tells_a_clip_from_every_report_and_moves_one_tower_at_a_time(
    pairs: Pairs, run: Path
) -> None:
    network = load_checkpoint(run).network.requires_grad_()
    tokenizer = load_tokenizer(run, 9999, SMALL.tokens)
    tokenizer.enable_padding()
    optimizer = torch.optim.AdamW(network.parameters())
    bank = Bank(Learner(pairs, BANKED, network, tokenizer, optimizer))

    before: dict[str, torch.Tensor] = {}

    def moved() -> set[str]:
        now = {name: value.detach().clone() for name, value in network.named_parameters()}
        changed = {name[:3] for name, value in before.items() if not torch.equal(now[name], value)}
        before.update(now)
        return changed

    moved()
    bank.open(0)
    assert [texts.shape for texts in bank.texts] == [(COUNT, SMALL.embedding)] * 2
    assert not moved()
    with torch.no_grad():
        clips = functional.normalize(
            embed_frames(network, pairs.clips(ROWS), pairs.counts[ROWS], "none"), dim=-1
        )
        cosines = torch.stack([clips @ texts.T for texts in bank.texts]) / SMALL.temperature
        own = torch.from_numpy(ROWS)
        there = -cosines.log_softmax(2)[:, torch.arange(len(ROWS)), own].mean()
        near = cosines[:, :, own].mT.log_softmax(2).diagonal(dim1=1, dim2=2)
    still = BANKED.model_copy(update={"augment": None})
    bank.learner = replace(bank.learner, recipe=still)
    assert bank.learn(ROWS, 0, 1e-3) == pytest.approx(float(there - near.mean()) / 2, rel=1e-4)
    assert moved() == {"vid"}
    bank.close(0, 1e-3)
    assert moved() == {"tex", "txt"}


def test_a_watch_sees_every_epoch_and_changes_nothing(
    pairs: Pairs, run: Path, tmp_path: Path
) -> None:
    watch = ValidationWatch(pairs, FINDINGS)

    def kill(progress: TrainingProgress) -> None:
        if progress.step == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(pairs, SMALL, tmp_path, kill, watch=watch)
    pretrain(pairs, SMALL, tmp_path, watch=watch)
    assert all(torch.equal(value, weights(run)[name]) for name, value in weights(tmp_path).items())
    with (tmp_path / WATCH).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == [str(epoch) for epoch in range(SMALL.epochs)]
    assert float(rows[-1]["big"]) > 0.9
    assert rows[-1]["unlabelled"] == ""
    assert (tmp_path / PICTURE).read_bytes().startswith(b"\x89PNG")


def test_training_goes_on_from_a_checkpoint_with_its_words_and_sizes(
    pairs: Pairs, run: Path, tmp_path: Path
) -> None:
    def start() -> StartingPoint:
        return StartingPoint(load_checkpoint(run).network, load_tokenizer(run, 9999, SMALL.tokens))

    one_more = SMALL.model_copy(update={"epochs": 1, "rate": 1e-4})
    pretrain(pairs, one_more, tmp_path / "a", start=start())
    pretrain(pairs, one_more, tmp_path / "b")
    assert np.mean(losses(tmp_path / "a")) < np.mean(losses(tmp_path / "b")) - 0.3
    for name in ("vocab.txt", "tokenizer_config.json", "sizes.json", "clip.json"):
        assert (tmp_path / "a" / name).read_bytes() == (run / name).read_bytes()


def test_a_fresh_video_tower_learns_the_words_of_an_older_run(
    pairs: Pairs, run: Path, tmp_path: Path
) -> None:
    recipe = SMALL.model_copy(update={"text_frozen": 1.0, "bank": 1, "epochs": 3})
    older = StartingPoint(load_checkpoint(run).network, load_tokenizer(run, 9999, 16), "older")
    begun = replace_video_tower(older, pairs, recipe)
    video = {name: value.clone() for name, value in begun.network.video_model.state_dict().items()}
    assert not all(
        torch.equal(one, weights(run)[f"module.video_model.{name}"]) for name, one in video.items()
    )
    network = pretrain(pairs, recipe, tmp_path / "new", start=begun)
    for name, value in network.state_dict().items():
        kept = torch.equal(value, weights(run)[f"module.{name}"])
        assert kept == name.startswith(("text_model", "txt_proj")), name
    assert losses(tmp_path / "new")[-1] < losses(tmp_path / "new")[0]


def test_words_and_both_towers_are_not_begun_at_once(run: Path, tmp_path: Path) -> None:
    args = ["pretrain", "--pairs", str(tmp_path), "--out", str(tmp_path / "r"), "--start", str(run)]
    result = CliRunner().invoke(cli, [*args, "--start-text", str(run)])
    assert isinstance(result.exception, ConfigurationError)
    assert "--start-text" in str(result.exception)


def test_a_checkpoint_of_other_frames_is_refused(run: Path, tmp_path: Path) -> None:
    form = ClipForm(frames=FRAMES, height=24, width=24)
    rows = [(np.ones((2, 24, 24), np.uint8), {"id": "1", "impression": "Normal"})] * 8
    write_pairs(tmp_path / "pairs", rows, 8, form)
    start = StartingPoint(load_checkpoint(run).network, load_tokenizer(run, 9999, SMALL.tokens))
    with pytest.raises(ConfigurationError, match="make pairs of its form"):
        pretrain(open_pairs(tmp_path / "pairs"), SMALL, tmp_path / "run", start=start)


def test_training_in_half_width_learns_the_same(pairs: Pairs, run: Path, tmp_path: Path) -> None:
    pretrain(pairs, SMALL.model_copy(update={"precision": "bf16"}), tmp_path)
    assert np.mean(losses(tmp_path)[-6:]) == pytest.approx(np.mean(losses(run)[-6:]), abs=0.25)


@pytest.mark.parametrize("resize", ["none", "published"])
def test_training_embeds_frames_as_the_published_steps_do(
    pairs: Pairs, run: Path, resize: Resize
) -> None:
    network = load_checkpoint(run).network
    rows = np.arange(5)
    frames, counts = pairs.clips(rows)[:, :3], np.array([3, 2, 3, 1, 3])
    plain = network.embed_video(
        normalised(torch.from_numpy(frames), torch.from_numpy(counts), FRAMES, resize)
    )
    torch.testing.assert_close(
        embed_frames(network, frames, counts, resize), plain, atol=2e-5, rtol=1e-4
    )


def test_another_seed_gives_other_weights(pairs: Pairs, run: Path, tmp_path: Path) -> None:
    pretrain(pairs, SMALL.model_copy(update={"seed": 1, "epochs": 1}), tmp_path)
    name = "module.vid_proj.1.weight"
    assert not torch.equal(weights(tmp_path)[name], weights(run)[name])


def test_what_was_trained_loads_as_a_published_checkpoint(run: Path) -> None:
    sizes = load_checkpoint(run).network.sizes
    assert isinstance(sizes.video, VideoSizes)
    assert (sizes.video.heads, sizes.text.heads) == (2, 2)
    assert (sizes.video.frames, sizes.embedding) == (FRAMES, 8)


def test_a_run_of_another_recipe_is_not_mixed_with_this_one(pairs: Pairs, run: Path) -> None:
    assert (run / LAST).is_file()
    with pytest.raises(ConfigurationError, match="is of another recipe"):
        pretrain(pairs, SMALL.model_copy(update={"rate": 1.0}), run)


def test_too_few_pairs_are_an_error(pairs: Pairs, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="fewer than a batch of 64"):
        pretrain(pairs, SMALL.model_copy(update={"batch": 64}), tmp_path)


def test_frames_that_cannot_be_cut_into_patches_are_an_error(pairs: Pairs, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be cut into patches of 7"):
        pretrain(pairs, SMALL.model_copy(update={"patch": 7}), tmp_path)


def test_a_folder_without_pairs_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="holds no pairs"):
        open_pairs(tmp_path)


def test_the_loss_is_that_of_both_directions() -> None:
    cosines = torch.tensor([[1.0, 0.2], [0.1, 0.9]])
    logits = cosines / 0.5
    rows, columns = logits.log_softmax(1).diagonal(), logits.log_softmax(0).diagonal()
    assert info_nce(cosines, 0.5) == pytest.approx(float(-(rows.mean() + columns.mean()) / 2))


def test_the_published_recipe_has_the_published_sizes() -> None:
    recipe = published()
    assert (recipe.video.width, recipe.video.depth, recipe.rate) == (768, 12, 3e-5)
    assert (recipe.epochs, recipe.temperature, recipe.weight_decay) == (100, 0.05, 1e-5)


def test_the_command_trains_and_its_run_becomes_a_bundle(pairs: Pairs, tmp_path: Path) -> None:
    folder, run, bundle = tmp_path / "pairs", tmp_path / "run", tmp_path / "bundle"
    rows = [
        (pairs.frames[n, :3], {"id": str(n), "impression": "Normal", "lv_dilation": str(n % 2)})
        for n in range(8)
    ]
    write_pairs(folder, rows, 8, FORM)
    (tmp_path / "recipe.yaml").write_text(SMALL.model_copy(update={"epochs": 1}).model_dump_json())
    files = ["--pairs", str(folder)]
    recipe = ["--recipe", str(tmp_path / "recipe.yaml")]
    made = ["--checkpoint", str(run), "--tokenizer", str(run), "--out", str(bundle)]
    for arguments in (
        ["pretrain", *files, "--out", str(run), *recipe],
        ["onnx", *made],
        ["calibrate", "--bundle", str(bundle), *files, "--least-auc", "0"],
        ["evaluate", "--bundle", str(bundle), *files, "--out", str(tmp_path / "report")],
    ):
        done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.output
    assert open_bundle(bundle).manifest.sizes.frames == FRAMES
    calibration = open_bundle(bundle).calibration
    assert calibration is not None
    assert list(calibration.findings) == ["lv_dilation"]
    assert "| lv_dilation | 8 | 4 |" in (tmp_path / "report" / "report.md").read_text()


@pytest.mark.parametrize(
    "command",
    ["onnx", "untrained", "pairs", "phantoms", "pretrain", "evaluate", "calibrate"],
)
def test_every_command_of_the_workshop_explains_itself(command: str) -> None:
    shown = CliRunner().invoke(cli, [command, "--help"])
    assert shown.exit_code == 0
    assert "Example" in shown.output
