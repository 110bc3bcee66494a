"""CLIP models are loaded whole and verified or not at all, and see images as open_clip's own transform shows them."""

import json
import time
from pathlib import Path
from typing import Any

import huggingface_hub
import open_clip
import pytest
import torch
from PIL import Image

from tasks.clip_encoder import CONFIG, WEIGHTS, Preprocessing, load_folder, load_pretrained
from tasks.errors import ConfigError, IntegrityError, MissingResourceError
from tests.patience import PATIENCE
from tests.tasks.small_scorer import GREY, TINY, save_random_model, some_images

CPU = torch.device("cpu")
TEXTS = ["a clear picture of a bag", "a blurry picture of a bag", "a good example of a coat"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_random_model(tmp_path / "clip")
    return tmp_path / "clip"


def one_line(error: pytest.ExceptionInfo[Any], code: int) -> str:
    text = str(error.value)
    assert error.value.exit_code == code
    assert "\n" not in text
    assert "; expected " in text
    return text


def test_embeddings_are_those_of_open_clip(folder: Path) -> None:
    """The folder, loaded by open_clip itself with its own picture transform and tokenizer."""
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}", require_pretrained=True)
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    images = some_images(5)
    pictures = torch.stack([transform(Image.fromarray(image.numpy())) for image in images])
    with torch.no_grad():
        expected_images = model.eval().encode_image(pictures, normalize=True)
        expected_texts = model.encode_text(tokenizer(TEXTS), normalize=True)
    encoder = load_folder(folder, "tiny", CPU)
    torch.testing.assert_close(encoder.encode_images(images), expected_images)
    torch.testing.assert_close(encoder.encode_texts(TEXTS), expected_texts)
    assert encoder.logit_scale == pytest.approx(1 / 0.07)
    assert encoder.parameters == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [28, 64, 224])
def test_preprocessing_equals_the_picture_path(size: int, interpolation: str) -> None:
    """Up to one grey level apart, since PIL resizes with integer weights."""
    mean, std = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)
    transform = open_clip.image_transform(size, is_train=False, mean=mean, std=std, interpolation=interpolation)
    images = some_images(3)
    expected = torch.stack([transform(Image.fromarray(image.numpy())) for image in images])
    ours = Preprocessing(size=size, mean=mean, std=std, interpolation=interpolation)(images)
    tolerance = 1e-6 if size == 28 else 1.01 / 255 / min(std)
    torch.testing.assert_close(ours, expected, atol=tolerance, rtol=0.0)


def test_blocks_do_not_change_the_result(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, images = load_folder(folder, "tiny", CPU), some_images(7)
    whole = encoder.encode_images(images)
    monkeypatch.setattr("tasks.clip_encoder.IMAGE_BLOCK", 3)
    torch.testing.assert_close(encoder.encode_images(images), whole)
    torch.testing.assert_close(whole.norm(dim=1), torch.ones(7))


def test_digest_is_of_the_weights_and_is_compared(folder: Path) -> None:
    digest = load_folder(folder, "tiny", CPU).sha256
    assert load_folder(folder, "tiny", CPU, digest).sha256 == digest
    weights = bytearray((folder / WEIGHTS).read_bytes())
    weights[-1] ^= 1
    (folder / WEIGHTS).write_bytes(weights)
    with pytest.raises(IntegrityError) as error:
        load_folder(folder, "tiny", CPU, digest)
    assert digest[:12] in one_line(error, 3)


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_incomplete_folder_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(MissingResourceError) as error:
        load_folder(folder, "tiny", CPU)
    line = one_line(error, 4)
    assert name in line
    assert "open_clip model folder" in line


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingResourceError) as error:
        load_folder(tmp_path / "nowhere", "tiny", CPU)
    assert "nowhere" in one_line(error, 4)


def other_width(folder: Path) -> None:
    settings = TINY | {"embed_dim": 16}
    (folder / CONFIG).write_text(json.dumps({"model_cfg": settings, "preprocess_cfg": {}}))


def cut_weights(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:1000])


def no_model(folder: Path) -> None:
    (folder / CONFIG).write_text('{"preprocess_cfg": {}}')


@pytest.mark.parametrize("damage", [other_width, cut_weights, no_model])
def test_unloadable_folder_is_refused(folder: Path, damage: Any) -> None:
    damage(folder)
    with pytest.raises(IntegrityError) as error:
        load_folder(folder, "tiny", CPU)
    one_line(error, 3)


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a hub that refuses connections; returns the cache."""
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("offline")
def test_pretrained_offline_is_refused_at_once() -> None:
    start = time.monotonic()
    with pytest.raises(MissingResourceError) as error:
        load_pretrained("ViT-B-32", "laion2b_s34b_b79k", CPU)
    assert "ViT-B-32/laion2b_s34b_b79k" in one_line(error, 4)
    assert time.monotonic() - start < PATIENCE


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(("model", "tag", "named"), [("ViT-B-33", "openai", "model"), ("ViT-B-32", "best", "openai")])
def test_unknown_model_or_tag_is_refused(model: str, tag: str, named: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_pretrained(model, tag, CPU)
    assert named in one_line(error, 2)


def test_pretrained_from_the_cache_keeps_its_tags_settings(offline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cached file needs no network, and the mean, deviation and activation of its tag are used."""
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny", TINY)
    tag = {
        "hf_hub": "someone/tiny/",
        "mean": GREY.mean,
        "std": GREY.std,
        "quick_gelu": True,
        "interpolation": "bicubic",
    }
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny", {"mine": tag})
    snapshot = offline / "models--someone--tiny" / "snapshots" / "abc"
    digest = save_random_model(snapshot)
    (offline / "models--someone--tiny" / "refs").mkdir()
    (offline / "models--someone--tiny" / "refs" / "main").write_text("abc")
    encoder = load_pretrained("tiny", "mine", CPU, digest)
    assert encoder.name == "tiny/mine"
    assert encoder.preprocess == GREY
    same = load_folder(snapshot, "tiny", CPU)
    torch.testing.assert_close(encoder.encode_texts(TEXTS[:1]).norm(), torch.tensor(1.0))
    assert not torch.allclose(encoder.encode_texts(TEXTS), same.encode_texts(TEXTS))  # quick GELU is another function


@pytest.mark.slow
def test_full_size_model_from_a_folder(tmp_path: Path) -> None:
    """The architecture of the course's CLIP, ViT-B/32 at 224 pixels, with random weights."""
    settings = open_clip.get_model_config("ViT-B-32")
    mean, std = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
    digest = save_random_model(tmp_path, settings, Preprocessing(size=224, mean=mean, std=std))
    encoder = load_folder(tmp_path, "ViT-B-32", CPU, digest)
    images = encoder.encode_images(some_images(2))
    assert images.shape == encoder.encode_texts(TEXTS[:2]).shape == (2, 512)
    assert encoder.parameters == 151_277_313  # the number published for ViT-B/32
    torch.testing.assert_close(images.norm(dim=1), torch.ones(2))
