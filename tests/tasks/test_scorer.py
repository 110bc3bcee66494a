"""The scorer is fitted reproducibly, recorded, verified, and put to its trial on real test images."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F

from models.intervals import wilson
from models.ranking import auc_score_interval
from models.similarity import class_embeddings, cosines
from tasks.captions import score_prompts
from tasks.clip_encoder import CONFIG, WEIGHTS
from tasks.dataset import Split, load_split
from tasks.errors import ConfigError, DivergedError, IntegrityError, MissingResourceError
from tasks.files import read_json, sha256_file
from tasks.labels import CLASS_SLUGS
from tasks.params import Scorer
from tasks.paths import metrics_file
from tasks.scorer import run_scorer
from tasks.scorer_artifact import FOLDER, RECORD, load_scorer
from tasks.scorer_fit import fit_clip, model_settings, pixel_scaling
from tasks.scorer_trial import FITTED_ON, trial_figures
from tests.tasks.small_scorer import EVALUATE, SCORER, save_random_model, some_images
from tests.tasks.small_variants import CPU, CPU_BFLOAT16, SEED

KINDS = [*FITTED_ON, *asdict(EVALUATE.held_out_damage)]


class Watcher:
    """Knows the labels, and puts an image nearer to its blurry prompt if it is not one of the clear ones."""

    name, sha256, parameters, logit_scale = "watcher", "", 0, 10.0

    def __init__(self, test: Split, unseen: str | None) -> None:
        self._test, self._damages, self._unseen = test, iter([None, *KINDS]), unseen

    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        hurt = next(self._damages) not in (None, self._unseen)
        vectors = torch.zeros(len(images), 12)
        vectors[torch.arange(len(images)), self._test.labels] = 2.0
        vectors[:, 11 if hurt else 10] = 1.0
        return F.normalize(vectors, dim=1)

    def encode_texts(self, texts: list[str]) -> torch.Tensor:
        index = torch.arange(len(texts))
        blurry = (index % 3 == 2).long()
        return F.normalize((F.one_hot(index // 3, 12) + F.one_hot(10 + blurry, 12)).float(), dim=1)


def brief(scorer: Scorer, steps: int) -> Scorer:
    return replace(scorer, fit=replace(scorer.fit, steps=steps))


def test_fitted_scorer_learns_classes_and_damage(workspace: Path) -> None:
    metrics = run_scorer(SCORER, EVALUATE, CPU, SEED)
    assert metrics == read_json(metrics_file("scorer"))
    accuracy = metrics["zero_shot_accuracy"]
    assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]
    assert accuracy["value"] > 0.5  # chance is 0.1
    assert metrics["auc_clear_blurry"]["value"] > 0.8
    assert metrics["auc_clear_noisy"]["value"] > 0.8
    assert metrics["num_test"] == 200
    assert set(metrics["per_class"]) == set(CLASS_SLUGS)
    mean = sum(figure["value"] for figure in metrics["per_class"].values()) / 10
    assert accuracy["value"] == pytest.approx(mean)  # the test images are balanced
    assert {name: area["strength"] for name, area in metrics["held_out"].items()} == asdict(EVALUATE.held_out_damage)
    assert metrics["held_out"]["box_blur"]["value"] > 0.8
    assert metrics["sha256"] == sha256_file(FOLDER / WEIGHTS) == read_json(FOLDER / RECORD)["sha256"]
    assert {path.name for path in FOLDER.iterdir()} == {CONFIG, WEIGHTS, RECORD}
    assert (metrics["source"], metrics["seconds"] > 0) == ("fitted", True)


def test_recorded_accuracy_is_open_clips_own(workspace: Path) -> None:
    """The saved folder, loaded and used by open_clip alone, gives the figure of the metrics file."""
    metrics = run_scorer(brief(SCORER, 20), EVALUATE, CPU, SEED)
    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{FOLDER.resolve()}", require_pretrained=True)
    tokenizer, test = open_clip.get_tokenizer(f"local-dir:{FOLDER.resolve()}"), load_split("test")
    encoder = load_scorer(brief(SCORER, 20), CPU)
    with torch.no_grad():
        texts = [model.eval().encode_text(tokenizer(three), normalize=True) for three in score_prompts(SCORER)]
    predicted = cosines(encoder.encode_images(test.images), class_embeddings(torch.stack(texts))).argmax(dim=1)
    accuracy = (predicted == test.labels).double().mean().item()
    assert metrics["zero_shot_accuracy"]["value"] == pytest.approx(accuracy)


def test_same_seed_same_weights_and_global_randomness_untouched(workspace: Path) -> None:
    small, digests = brief(SCORER, 3), []
    for seed, disturbance in ((SEED, 0), (SEED, 1), (SEED + 1, 0)):
        torch.manual_seed(disturbance)
        before = torch.get_rng_state()
        digests.append(run_scorer(small, EVALUATE, CPU, seed)["sha256"])
        assert torch.equal(torch.get_rng_state(), before)
    assert digests[0] == digests[1] != digests[2]


def test_the_scorer_is_fitted_in_float32_whatever_the_precision_of_the_models(workspace: Path) -> None:
    exact, rounded = (run_scorer(brief(SCORER, 3), EVALUATE, compute, SEED) for compute in (CPU, CPU_BFLOAT16))
    assert exact["sha256"] == rounded["sha256"]


def test_altered_weights_are_refused(workspace: Path) -> None:
    small = brief(SCORER, 1)
    run_scorer(small, EVALUATE, CPU, SEED)
    load_scorer(small, CPU)
    content = bytearray((FOLDER / WEIGHTS).read_bytes())
    content[-2] ^= 4
    (FOLDER / WEIGHTS).write_bytes(content)
    with pytest.raises(IntegrityError, match="sha256"):
        load_scorer(small, CPU)


def test_scorer_of_other_params_is_refused(workspace: Path) -> None:
    run_scorer(brief(SCORER, 1), EVALUATE, CPU, SEED)
    with pytest.raises(ConfigError, match="dvc repro scorer"):
        load_scorer(brief(SCORER, 2), CPU)
    with pytest.raises(ConfigError, match="dvc repro scorer"):
        load_scorer(replace(brief(SCORER, 1), clear_prompt="a sharp picture of a {}"), CPU)
    load_scorer(replace(brief(SCORER, 1), folder="elsewhere"), CPU)  # the same model: it is fitted here


def test_scorer_before_its_stage_is_missing(workspace: Path) -> None:
    with pytest.raises(MissingResourceError, match=r"scorer\.json"):
        load_scorer(SCORER, CPU)


def test_folder_source_is_recorded_where_it_lies_and_guesses(workspace: Path, tmp_path: Path) -> None:
    """With random weights about one garment in ten is named right."""
    digest = save_random_model(tmp_path / "elsewhere")
    scorer = replace(SCORER, source="folder", folder=str(tmp_path / "elsewhere"))
    metrics = run_scorer(scorer, EVALUATE, CPU, SEED)
    assert (metrics["source"], metrics["model"], metrics["sha256"]) == ("folder", "elsewhere", digest)
    assert metrics["zero_shot_accuracy"]["value"] < 0.3
    assert [path.name for path in FOLDER.iterdir()] == [RECORD]
    assert load_scorer(scorer, CPU).sha256 == digest
    save_random_model(
        tmp_path / "elsewhere", {**read_json(tmp_path / "elsewhere" / CONFIG)["model_cfg"], "embed_dim": 12}
    )
    with pytest.raises(IntegrityError, match="sha256"):
        load_scorer(scorer, CPU)


@pytest.mark.parametrize("unseen", [None, *KINDS])
def test_each_kind_of_damage_has_its_own_figure(unseen: str | None) -> None:
    """An encoder whose margin falls with every change of an image, except with the damage it does not see."""
    test = Split(some_images(40), torch.arange(10).repeat(4))
    figures = trial_figures(Watcher(test, unseen), test, SCORER, EVALUATE, SEED)
    assert figures["zero_shot_accuracy"] == wilson(40, 40, EVALUATE.confidence).to_json()
    areas = {name: figures[f"auc_clear_{name}"] for name in FITTED_ON} | figures["held_out"]
    assert {name: area["value"] for name, area in areas.items()} == {
        name: 0.5 if name == unseen else 1.0 for name in KINDS
    }
    for area in areas.values():  # all resamples agree, and still nothing is certain
        expected = auc_score_interval(area["value"], [(40, 40)], EVALUATE.confidence)
        assert (area["low"], area["high"]) == (expected.low, expected.high)
        assert area["low"] < min(1.0, area["value"])


def test_failed_stage_leaves_the_old_scorer(workspace: Path) -> None:
    small = brief(SCORER, 1)
    run_scorer(small, EVALUATE, CPU, SEED)
    with pytest.raises(MissingResourceError):
        run_scorer(replace(SCORER, source="folder", folder="nowhere"), EVALUATE, CPU, SEED)
    load_scorer(small, CPU)


def test_diverging_fit_is_reported(workspace: Path) -> None:
    train = load_split("train")
    wild = replace(SCORER, fit=replace(SCORER.fit, lr=1.0, steps=30))
    scaling = replace(pixel_scaling(train), std=(1e-38,) * 3)
    with pytest.raises(DivergedError, match="loss nan at step"):
        fit_clip(model_settings(wild), scaling, train, wild, CPU, SEED)


def test_prompts_that_read_the_same_are_refused() -> None:
    with pytest.raises(ConfigError, match="read the same"):
        model_settings(replace(SCORER, noisy_prompt="A clear   picture of a {}"))


def test_text_context_fits_the_longest_caption() -> None:
    assert model_settings(SCORER)["text_cfg"]["context_length"] == 10  # two marks, six words, "t-shirt" in three tokens
    longer = replace(SCORER, good_prompt="a good example of a {} on a black background")
    assert model_settings(longer)["text_cfg"]["context_length"] == 14


def test_pixel_scaling_is_the_splits_mean_and_deviation() -> None:
    images = some_images(10)
    split = Split(images, torch.zeros(10, dtype=torch.int64))
    scaling = pixel_scaling(split)
    pixels = images.numpy().astype(np.float64) / 255
    assert scaling.mean[0] == pytest.approx(pixels.mean(), abs=1e-4)
    assert scaling.std[0] == pytest.approx(pixels.std(), abs=1e-4)
