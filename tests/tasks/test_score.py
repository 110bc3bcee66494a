"""Scores of samples: probabilities, a table an image and a class, and the order of best and worst."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from models.intervals import wilson
from tasks.captions import score_prompts
from tasks.clip_encoder import encode_prompts
from tasks.errors import MissingResourceError
from tasks.files import read_json, read_table, write_arrays
from tasks.labels import CLASS_SLUGS
from tasks.params import Scorer
from tasks.paths import artifact, metrics_file, table_file
from tasks.score import clip_block, run_scoring, score_embeddings, score_images
from tasks.scorer import run_scorer
from tests.tasks.small_scorer import EVALUATE, SCORER, save_random_model, some_images
from tests.tasks.small_variants import CPU, SEED


class Oracle:
    """An encoder that reads class and quality from two pixels, so that every score is known in advance."""

    name, sha256, parameters, logit_scale = "oracle", "", 0, 10.0

    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        axes = F.one_hot(images[:, 0, 0].long(), 13).float()
        axes[torch.arange(len(images)), 10 + images[:, 0, 1].long()] = 1.0
        return F.normalize(axes, dim=1)

    def encode_texts(self, texts: list[str]) -> torch.Tensor:
        prompts = [text for three in score_prompts(SCORER) for text in three]
        index = torch.tensor([prompts.index(text) for text in texts])
        return F.normalize((F.one_hot(index // 3, 13) + F.one_hot(10 + index % 3, 13)).float(), dim=1)


def pictures(classes: list[int], qualities: list[int]) -> torch.Tensor:
    """Images that the oracle understands: quality 0 is good, 1 clear, 2 blurry."""
    images = torch.zeros(len(classes), 28, 28, dtype=torch.uint8)
    images[:, 0, 0], images[:, 0, 1] = torch.tensor(classes), torch.tensor(qualities)
    return images


def test_scores_in_closed_form() -> None:
    """Right class: cosine 1 with the right quality and 1/2 with the others; wrong class: 1/2 and 0."""
    scores = score_images(Oracle(), pictures([4, 4, 5], [1, 2, 2]), torch.tensor([4, 4, 4]), SCORER)
    near, far = torch.tensor(10.0).exp(), torch.tensor(5.0).exp()
    share = (near / (near + 2 * far)).item()
    assert scores.clear[0].item() == pytest.approx(share)
    assert scores.blurry[1].item() == pytest.approx(share)
    assert scores.margin.tolist() == pytest.approx([0.5, -0.5, -0.5])
    assert scores.predicted.tolist() == [4, 4, 5]
    assert scores.accuracy.tolist() == [1.0, 1.0, 0.0]
    assert scores.blurry[2].item() == pytest.approx((far / (far + 2)).item())
    torch.testing.assert_close(scores.good + scores.clear + scores.blurry, torch.ones(3, dtype=torch.float64))


def test_own_class_probability_is_the_zero_shot_softmax() -> None:
    images = F.normalize(torch.randn(6, 5, generator=torch.Generator().manual_seed(0)), dim=1)
    prompts = F.normalize(torch.randn(10, 3, 5, generator=torch.Generator().manual_seed(1)), dim=2)
    labels = torch.arange(6)
    classes = F.normalize(prompts.sum(dim=1), dim=1)
    expected = torch.softmax(7.0 * images @ classes.T, dim=1).diagonal()
    probability = score_embeddings(images, prompts, labels, 7.0).probability
    torch.testing.assert_close(probability, expected, check_dtype=False)


def test_prompts_are_embedded_class_by_class() -> None:
    prompts = encode_prompts(Oracle(), score_prompts(SCORER))
    assert prompts.shape == (10, 3, 13)
    torch.testing.assert_close(prompts[7, 2], Oracle().encode_texts([score_prompts(SCORER)[7][2]])[0])


def test_block_counts_and_averages() -> None:
    labels = torch.tensor([4, 4, 9, 9])
    block = clip_block(Oracle(), pictures([4, 4, 9, 0], [0, 1, 2, 2]), labels, SCORER, EVALUATE, SEED)
    assert block["num_images"] == 4
    assert set(block["per_class"]) == {"coat", "ankle-boot"}
    assert block["accuracy"]["value"] == 0.75
    assert block["per_class"]["ankle-boot"]["accuracy"]["value"] == 0.5
    assert block["per_class"]["coat"]["accuracy"] == wilson(2, 2, EVALUATE.confidence).to_json()
    assert block["margin"]["value"] == pytest.approx((0.0 + 0.5 - 0.5 - 0.5) / 4)
    assert block["accuracy"] == wilson(3, 4, EVALUATE.confidence).to_json()
    assert block["margin"]["low"] < block["margin"]["value"] < block["margin"]["high"]


def test_block_repeats_and_depends_on_the_seed() -> None:
    images, labels = pictures([1, 2, 3, 4] * 5, [0, 1, 2, 1] * 5), torch.tensor([1, 1, 3, 3] * 5)
    first = clip_block(Oracle(), images, labels, SCORER, EVALUATE, SEED)
    assert first == clip_block(Oracle(), images, labels, SCORER, EVALUATE, SEED)
    other = clip_block(Oracle(), images, labels, SCORER, EVALUATE, SEED + 1)
    assert first["margin"]["value"] == other["margin"]["value"]
    assert first["margin"] != other["margin"]


def test_shuffled_labels_score_lower() -> None:
    labels = torch.arange(10).repeat(4)
    images = pictures(labels.tolist(), [1] * 40)
    right = clip_block(Oracle(), images, labels, SCORER, EVALUATE, SEED)
    wrong = clip_block(Oracle(), images, labels.roll(1), SCORER, EVALUATE, SEED)
    assert right["accuracy"]["value"] == 1.0
    assert wrong["accuracy"]["value"] == 0.0
    assert wrong["probability"]["high"] < right["probability"]["low"]


def write_samples(variant: str, images: torch.Tensor, labels: torch.Tensor) -> None:
    arrays = {"images": images.numpy(), "labels": labels.numpy(), "seeds": (labels * 0 + 7).numpy()}
    write_arrays(artifact(variant, "samples.npz"), arrays)


@pytest.fixture
def scorer(workspace: Path) -> Scorer:
    """A recorded scorer with random weights."""
    save_random_model(workspace / "clip")
    chosen = replace(SCORER, source="folder", folder="clip")
    run_scorer(chosen, EVALUATE, CPU, SEED)
    return chosen


@pytest.fixture
def scored(scorer: Scorer) -> tuple[dict[str, Any], pd.DataFrame]:
    write_samples("course", some_images(40), torch.arange(10).repeat_interleave(4))
    return run_scoring("course", scorer, EVALUATE, CPU, SEED), read_table(artifact("course", "scores.csv"))


def test_row_an_image(scored: tuple[dict[str, Any], pd.DataFrame]) -> None:
    _, table = scored
    expected = ["index", "label", "seed", "good", "clear", "blurry", "margin", "predicted", "probability"]
    assert list(table.columns) == expected
    assert table["index"].tolist() == list(range(40))
    assert (table["seed"] == 7).all()
    assert (table[["good", "clear", "blurry"]].sum(axis=1) - 1.0).abs().max() < 1e-6
    assert table["probability"].between(0, 1).all()


def test_row_a_class(scored: tuple[dict[str, Any], pd.DataFrame]) -> None:
    metrics, images = scored
    table = read_table(table_file("clip_course"))
    names = [f"{name}{end}" for name in ("good", "clear", "blurry", "accuracy") for end in ("", "_low", "_high")]
    assert list(table.columns) == ["class", "n", *names]
    assert tuple(table["class"]) == CLASS_SLUGS
    assert table["n"].tolist() == [4] * 10
    assert table["blurry"].tolist() == pytest.approx(images.groupby("label")["blurry"].mean().tolist(), abs=1e-6)
    assert table["good_high"][3] == metrics["per_class"]["dress"]["good"]["high"]


def test_best_and_worst_are_the_ends_of_the_order(scored: tuple[dict[str, Any], pd.DataFrame]) -> None:
    metrics, table = scored
    assert metrics == read_json(metrics_file("score", "course"))
    rank = table["good"] + table["clear"] - table["blurry"]
    assert metrics["best"] == rank.nlargest(12).index.tolist()
    assert metrics["worst"] == rank.nsmallest(12).index.tolist()


def test_samples_before_their_stage_are_missing(scorer: Scorer) -> None:
    with pytest.raises(MissingResourceError, match="samples"):
        run_scoring("course", scorer, EVALUATE, CPU, SEED)
