"""The critic really fitted on drawn garments: it learns, it repeats bit for bit, and an altered one is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tasks.critic import run_critic
from tasks.dataset import load_split
from tasks.errors import DivergedError, IntegrityError, MissingResourceError
from tasks.files import read_arrays, read_json, sha256_file, write_arrays, write_json
from tasks.judge import CARD, WEIGHTS, load_critic
from tasks.labels import CLASS_SLUGS
from tasks.params import Compute
from tasks.paths import metrics_file, split_file
from tests.tasks.small_critic import CRITIC, EVALUATE, fit_small_critic
from tests.tasks.small_variants import CPU, CPU_BFLOAT16, SEED

INTERVAL = {"value", "low", "high"}


@pytest.mark.usefixtures("workspace")
def test_learns_drawn_garments_and_reports_every_figure() -> None:
    metrics = fit_small_critic()
    assert metrics == read_json(metrics_file("critic"))
    assert metrics["accuracy"]["value"] > 0.6
    assert set(metrics["accuracy"]) == INTERVAL
    assert metrics["num_test"] == len(load_split("test"))
    assert set(metrics["per_class"]) == set(CLASS_SLUGS)
    assert metrics["images"] == CRITIC.steps * CRITIC.batch
    assert metrics["features"] == CRITIC.features
    diagonal = [metrics["confusion"][label][label] for label in range(10)]
    assert diagonal == pytest.approx([metrics["per_class"][slug]["value"] for slug in CLASS_SLUGS])


@pytest.mark.usefixtures("workspace")
def test_a_batch_larger_than_the_data_counts_the_images_that_there_are() -> None:
    images = len(load_split("train"))
    assert fit_small_critic(steps=2, batch=images + 1)["images"] == 2 * images


@pytest.mark.usefixtures("workspace")
def test_the_loaded_critic_is_the_one_that_was_reported() -> None:
    metrics = fit_small_critic(steps=20)
    test, judge = load_split("test"), load_critic(CPU)
    features, logits = judge.features_and_logits(test.images)
    assert features.shape == (len(test), CRITIC.features)
    assert (logits.argmax(dim=1) == test.labels).double().mean().item() == metrics["accuracy"]["value"]


@pytest.mark.usefixtures("workspace")
def test_two_fits_give_the_same_bytes_whatever_the_global_random_state() -> None:
    fit_small_critic(steps=8)
    first = sha256_file(WEIGHTS), CARD.read_bytes()
    torch.rand(3)
    fit_small_critic(steps=8)
    assert (sha256_file(WEIGHTS), CARD.read_bytes()) == first


@pytest.mark.usefixtures("workspace")
def test_the_critic_is_fitted_in_float32_whatever_the_precision_of_the_models() -> None:
    digests = set()
    for compute in (CPU, CPU_BFLOAT16):
        run_critic(replace(CRITIC, steps=3), EVALUATE, compute, SEED)
        assert read_json(CARD)["environment"]["precision"] == "float32"
        digests.add(sha256_file(WEIGHTS))
    assert len(digests) == 1


@pytest.mark.usefixtures("workspace")
def test_test_images_decide_nothing() -> None:
    fit_small_critic(steps=8)
    first = sha256_file(WEIGHTS)
    arrays = read_arrays(split_file("test"))
    write_arrays(split_file("test"), {**arrays, "images": 255 - arrays["images"]})
    fit_small_critic(steps=8)
    assert sha256_file(WEIGHTS) == first


@pytest.mark.usefixtures("workspace")
def test_the_card_names_the_data_the_configuration_and_the_weights() -> None:
    fit_small_critic(steps=2)
    card = read_json(CARD)
    assert card["weights_sha256"] == sha256_file(WEIGHTS)
    assert card["data_sha256"] == sha256_file(split_file("train"))
    assert card["config"]["features"] == CRITIC.features
    assert card["environment"]["torch"] == torch.__version__


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("position", [0, 9, -1])
def test_altered_weights_are_refused(position: int) -> None:
    fit_small_critic(steps=2)
    content = bytearray(WEIGHTS.read_bytes())
    content[position] ^= 1
    WEIGHTS.write_bytes(content)
    with pytest.raises(IntegrityError, match="was altered"):
        load_critic(CPU)


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("config", [None, {"channels": [8, 8, 24]}, {"dropout": "much", "channels": [8]}])
def test_a_card_of_another_network_is_refused(config: dict[str, object] | None) -> None:
    fit_small_critic(steps=2)
    card = json.loads(CARD.read_text())
    card["config"] = None if config is None else {**card["config"], **config}
    write_json(CARD, card)
    with pytest.raises(IntegrityError, match="another network"):
        load_critic(CPU)


@pytest.mark.parametrize("missing", [CARD, WEIGHTS])
def test_a_missing_critic_is_named(missing: Path, workspace: Path) -> None:
    fit_small_critic(steps=2)
    (workspace / missing).unlink()
    with pytest.raises(MissingResourceError, match=missing.name) as caught:
        load_critic(CPU)
    assert caught.value.exit_code == 4


@pytest.mark.usefixtures("workspace")
def test_a_loss_that_is_not_finite_stops_the_fit() -> None:
    critic = replace(CRITIC)
    object.__setattr__(critic, "lr", float("inf"))  # which params.yaml would refuse
    with pytest.raises(DivergedError, match=r"critic: the loss is nan at step 2; .* lower critic\.lr") as caught:
        run_critic(critic, EVALUATE, CPU, SEED)
    assert caught.value.exit_code == 5
    assert not WEIGHTS.exists()


def test_without_prepared_data_nothing_is_fitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingResourceError, match=r"train\.npz"):
        fit_small_critic()


@pytest.mark.usefixtures("workspace")
@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_a_wanted_gpu_that_is_not_there_is_named() -> None:
    fit_small_critic(steps=2)
    with pytest.raises(MissingResourceError, match=r"compute\.device"):
        load_critic(Compute(device="cuda", threads=1, precision="float32", compile=False))
