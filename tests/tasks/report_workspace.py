"""A whole build's metrics and artefacts, invented, in the formats that the stages write; for the report's tests."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from models.evaluations import evaluations
from models.intervals import wilson
from models.spec import DdpmSpec
from tasks.config import PARAMS, load_params
from tasks.files import write_arrays, write_json, write_table, write_text
from tasks.judge import new_classifier, save_critic
from tasks.labels import CLASS_SLUGS
from tasks.params import Critic, Params
from tasks.paths import artifact, metrics_file, split_file, table_file
from tasks.sampler_names import sampler_name
from tasks.side_by_side import SUMMARY
from tasks.variants import Variant

ROOT = Path(__file__).parents[2]
PER_CLASS = 12
REFERENCES = {"real": 0.93, "blurred": 0.6, "noised": 0.4, "shuffled": 0.1}
QUALITY = {"course": 0.21, "flagship": 0.82}
Supply = Callable[[np.ndarray, int], np.ndarray]


def plain_shapes(labels: np.ndarray, seed: int) -> np.ndarray:
    """One grey bar per class, at a height of its own: enough to tell rows apart."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 40, (len(labels), 28, 28))
    for image, label in zip(images, labels, strict=True):
        image[2 + 2 * label : 6 + 2 * label, 4:24] += 180
    return images.astype(np.uint8)


def interval(value: float, half: float = 0.03) -> dict[str, float]:
    return {"value": value, "low": max(0.0, value - half), "high": min(1.0, value + half)}


def by_class(centre: float, spread: float = 0.15) -> list[float]:
    return [round(min(1.0, max(0.0, centre + spread * np.sin(1.7 * index))), 4) for index in range(10)]


def clip_block(quality: float, count: int) -> dict[str, Any]:
    good, clear = 0.45 * quality + 0.05, 0.4 * quality + 0.05
    per_class = {
        slug: {
            "good": interval(0.5 * value),
            "clear": interval(0.4 * value),
            "blurry": interval(1 - 0.9 * value),
            "accuracy": interval(value, 0.05),
        }
        for slug, value in zip(CLASS_SLUGS, by_class(quality), strict=True)
    }
    return {
        "num_images": count,
        "good": interval(good),
        "clear": interval(clear),
        "blurry": interval(1 - good - clear),
        "margin": interval(0.1 * quality, 0.01),
        "accuracy": interval(quality),
        "probability": interval(quality * 0.9),
        "per_class": per_class,
    }


def critic_block(quality: float, count: int) -> dict[str, Any]:
    fid = 60 * (1 - quality) ** 2
    values = zip(CLASS_SLUGS, by_class(quality), strict=True)
    return {
        "num_images": count,
        "accuracy": interval(quality),
        "fid": fid,
        "fid_low": fid * 0.95,
        "fid_high": fid * 1.08,
        "kid": fid / 40,
        "kid_low": fid / 42,
        "kid_high": fid / 38,
        "precision": 0.7 * quality,
        "recall": 0.6 * quality,
        "density": 0.8 * quality,
        "coverage": 0.75 * quality,
        "per_class": {slug: {"accuracy": interval(value, 0.06)} for slug, value in values},
    }


def write_judges(drawn: bool, gate_passed: bool) -> None:
    confusion = 0.9 * np.eye(10) + 0.01
    write_json(
        metrics_file("critic"),
        {
            "accuracy": interval(0.921, 0.006),
            "validation_accuracy": 0.924,
            "num_test": 10_000,
            "per_class": {slug: interval(value) for slug, value in zip(CLASS_SLUGS, by_class(0.9, 0.08), strict=True)},
            "confusion": (confusion / confusion.sum(axis=1, keepdims=True)).tolist(),
            "parameters": 283_000,
            "features": 128,
            "images": 179_200,
            "seconds": 61.0,
        },
    )
    write_json(
        metrics_file("scorer"),
        {
            "source": "fitted",
            "model": "small open_clip model",
            "sha256": "5" * 64,
            "parameters": 1_200_000,
            "logit_scale": 31.4,
            "zero_shot_accuracy": interval(0.83, 0.01),
            "auc_clear_blurry": interval(0.97 if gate_passed else 0.61, 0.01),
            "auc_clear_noisy": interval(0.99, 0.005),
            "held_out": {
                "box_blur": {"strength": 5, **interval(0.96, 0.01)},
                "motion_blur": {"strength": 5, **interval(0.93, 0.01)},
                "pixelation": {"strength": 4, **interval(0.64, 0.02)},
                "salt_and_pepper": {"strength": 0.05, **interval(0.98, 0.01)},
            },
            "num_test": 2000,
            "per_class": {slug: interval(value) for slug, value in zip(CLASS_SLUGS, by_class(0.83), strict=True)},
            "seconds": 70.0,
        },
    )
    count = 10 * PER_CLASS
    rows = {key: {"clip": clip_block(q, count), "critic": critic_block(q, count)} for key, q in REFERENCES.items()}
    references = {"num_images": count, "rows": rows, "memorisation": memorisation_block(count)}
    write_json(metrics_file("references"), references)
    hashes = {split: digit * 64 for split, digit in (("train", "1"), ("val", "2"), ("test", "3"))}
    counts = {"train": [5500] * 10, "val": [500] * 10, "test": [1000] * 10}
    prepare = {"drawn": drawn, "counts": counts, "pixel_mean": 0.286, "pixel_std": 0.353, "sha256": hashes}
    write_json(metrics_file("prepare"), {**prepare, "duplicates": {"train_test": 10}})


def write_history(name: str, steps: int, batch: int) -> None:
    rows = []
    for step in range(10, steps + 1, 10):
        loss = 0.105 + 1.1 * np.exp(-step / (0.12 * steps))
        validated = step % (steps // 5) == 0
        rows.append(
            {
                "step": step,
                "images": step * batch,
                "seconds": step * 0.3,
                "train_loss": loss,
                "val_loss": loss * 1.02 if validated else None,
                "lr": 0.001,
                "grad_norm": 1.0,
            }
        )
    write_table(artifact(name, "history.csv"), pd.DataFrame(rows))
    shares = np.linspace(0.05, 0.95, 10)
    levels = [
        {
            "step": step,
            "level": share,
            "value": 10 ** (4 * share - 2.5),
            "val_loss": (0.5 - 0.4 * share) * (1 + 50 / step),
        }
        for step in (steps // 5, steps)
        for share in shares
    ]
    write_table(artifact(name, "noise_levels.csv"), pd.DataFrame(levels))


def write_pictures(name: str, quality: float, supply: Supply) -> None:
    rng = np.random.default_rng(7)
    labels = np.repeat(np.arange(10), PER_CLASS)

    def mixed(images: np.ndarray, share: float) -> np.ndarray:
        noise = rng.normal(127, 60, images.shape)
        return np.clip(share * images + (1 - share) * noise, 0, 255).astype(np.uint8)

    images = mixed(supply(labels, 1), quality)
    seeds = np.arange(len(labels))
    write_arrays(artifact(name, "samples.npz"), {"images": images, "labels": labels, "seeds": seeds})
    ten = np.arange(10)
    clean, done = supply(ten, 2), np.linspace(0, 1, 11)
    path = {
        "images": np.stack([mixed(clean, float(share) * quality) for share in done]),
        "x0": np.stack([mixed(clean, quality * (0.3 + 0.7 * float(share))) for share in done]),
        "done": done,
        "labels": ten,
        "seeds": ten,
    }
    write_arrays(artifact(name, "trajectories.npz"), path)
    steps = np.array([0, 100, 200, 300, 400, 500])
    grids = np.stack([mixed(clean, quality * step / 500) for step in steps])
    write_arrays(artifact(name, "progress.npz"), {"images": grids, "steps": steps, "labels": ten})


def write_scores(name: str, block: dict[str, Any]) -> None:
    count = 10 * PER_CLASS
    labels = np.repeat(np.arange(10), PER_CLASS)
    good = np.linspace(0.05, 0.55, count)
    clear = np.linspace(0.05, 0.4, count)
    columns = {"index": np.arange(count), "label": labels, "seed": np.arange(count), "good": good, "clear": clear}
    rest = {"blurry": 1 - good - clear, "margin": 0.1 * good, "predicted": labels, "probability": good}
    write_table(artifact(name, "scores.csv"), pd.DataFrame({**columns, **rest}))
    rows = []
    for slug, scores in block["per_class"].items():
        row: dict[str, Any] = {"class": slug, "n": PER_CLASS}
        for key in ("good", "clear", "blurry", "accuracy"):
            row |= {key: scores[key]["value"], f"{key}_low": scores[key]["low"], f"{key}_high": scores[key]["high"]}
        rows.append(row)
    write_table(table_file(f"clip_{name}"), pd.DataFrame(rows))


def memorisation_block(count: int) -> dict[str, Any]:
    return {"copies": wilson(count // 100, count, 0.95).to_json(), "identical": 1, "distance": 21.5}


def write_judgements(name: str, quality: float) -> None:
    """The first of each class are right, as many as the quality says; the others are taken for the next class."""
    labels = np.repeat(np.arange(10), PER_CLASS)
    right = np.arange(len(labels)) % PER_CLASS < round(PER_CLASS * quality)
    columns = {"seed": np.arange(len(labels)), "label": labels, "predicted": np.where(right, labels, (labels + 1) % 10)}
    write_table(artifact(name, "judgements.csv"), pd.DataFrame({**columns, "probability": np.where(right, 0.9, 0.2)}))


def write_variant(name: str, params: Params, supply: Supply) -> None:
    spec, quality, count = params.variants[name], QUALITY[name], 10 * PER_CLASS
    steps, batch = spec.training.steps, spec.training.batch
    write_history(name, steps, batch)
    write_pictures(name, quality, supply)
    block = clip_block(quality, count)
    write_scores(name, block)
    write_judgements(name, quality)
    environment = {"python": "3.11.7", "torch": "2.14.1", "numpy": "2.3.0", "device": "cpu", "device_name": "x86_64"}
    environment |= {"threads": 2, "precision": "float32"}
    summary = {
        "variant": name,
        "parameters": 1_070_000 if name == "flagship" else 600_000,
        "fitted_numbers": 2_085_000 if name == "flagship" else 0,
        "steps": steps,
        "images": steps * batch,
        "batch": batch,
        "train_loss_first": 1.12,
        "train_loss_final": 0.107,
        "train_loss_final_error": 0.0004,
        "train_loss_final_degrees": 24,
        "val_loss_final": 0.109,
        "seconds": 301.5,
        "images_per_second": 480.0,
        "identity": "a" * 64,
        "weights_sha256": "b" * 64,
        "data_sha256": "1" * 64,
        "environment": environment,
        "snapshots": [{"step": steps, "val_loss": 0.109, "file": f"snapshots/step-{steps:07d}.safetensors"}],
    }
    write_json(metrics_file("train", name), summary)
    sampling = {"variant": name, "num_images": count, "seconds": 12.0, "images_per_second": 10.0, "pixel_std": 0.35}
    evaluations = spec.sampling.steps
    extra = {"sampler": spec.sampling.kind, "evaluations": evaluations, "pixel_mean": 0.28, "environment": environment}
    write_json(metrics_file("sample", name), {**sampling, **extra})
    ranks = {"best": list(range(count - 12, count)), "worst": list(range(12))}
    write_json(metrics_file("score", name), {**block, **ranks})
    judged = {**critic_block(quality, count), "memorisation": memorisation_block(count)}
    write_json(metrics_file("evaluate", name), judged)
    write_sweep(name, spec, 50.0 * (1.0 - quality))


def write_sweep(name: str, spec: Variant, fid: float) -> None:
    """Two samplers that get better with every evaluation; the variant's own comes first."""
    own, chosen = sampler_name(spec.sampling), evaluations(spec.sampling)
    counts = [(sampler, count) for sampler in (own, "iPNDM") for count in (chosen, 8, 5)]
    distances = [fid * (1.0 + 10.0 / count**2) * (1.0 + 0.01 * index) for index, (_, count) in enumerate(counts)]
    rows = []
    for (sampler, count), distance in zip(counts, distances, strict=True):
        gap, half = distance - distances[0], 0.05 * distances[0] if rows else 0.0
        figures = beside("fid", distance, 0.1 * distance) | beside("difference", gap, half)
        numbers = {"budget": count, "evaluations": count}
        rows.append({"sampler": sampler, **numbers, **figures, **beside("accuracy", 0.7, 0.04)})
    real = {"num_images": 500, **beside("fid", 0.9, 0.1), **beside("accuracy", 0.93, 0.02), **spread(0.9, 0.9)}
    guided = guidance_rows(spec, fid)
    write_table(table_file(f"sweep_{name}"), pd.DataFrame(rows))
    write_table(table_file(f"guidance_{name}"), pd.DataFrame(guided))
    found = {"real": real, "rows": rows, "guidance": guided}
    write_json(metrics_file("sweep", name), {"variant": name, "num_images": 500, **found})


def guidance_rows(spec: Variant, fid: float) -> list[dict[str, Any]]:
    """The more a model is guided, the more is recognised and the less is varied; the least of it is nearest to real."""
    guides = ("without the class", "without the class, \u03c3 0.1\u20131", "early state")
    ways = [("none", 1.0), *((guide, scale) for scale in (1.5, 3.0) for guide in guides)]
    looks = evaluations(spec.sampling)
    sampler = "DDIM" if isinstance(spec.process, DdpmSpec) else sampler_name(spec.sampling)
    rows = []
    for guide, scale in ways:
        distance = fid * (0.9 + 0.2 * abs(scale - 1.5))
        numbers = {"guide": guide, "scale": scale, "sampler": sampler, "evaluations": looks * (1 + (scale > 1.0))}
        figures = {**beside("fid", distance, 0.05 * distance), **beside("difference", distance - fid, 0.02 * fid)}
        figures |= beside("accuracy", 0.6 + 0.1 * scale, 0.02) | beside("gain", 0.1 * (scale - 1.0), 0.01)
        figures |= beside("recall_gain", 0.2 * (1.0 - scale), 0.03 * (scale - 1.0))
        rows.append({**numbers, **figures, **spread(0.8, 1.0 - 0.2 * scale)})
    return [rows[0], *({**row, **rival(row["fid"], fid)} for row in rows[1:])]


def rival(guided: float, fid: float) -> dict[str, Any]:
    """What stands beside guidance: a sampler without it, a little better than the model's own."""
    told = {"rival": "UniPC", "rival_evaluations": 6, "rival_fid": 0.975 * fid}
    return {**told, **beside("beyond", guided - 0.975 * fid, 0.01 * fid)}


def spread(precision: float, recall: float) -> dict[str, float]:
    return {"precision": precision, "recall": recall, "density": precision, "coverage": recall}


def beside(name: str, value: float, half: float) -> dict[str, float]:
    return {name: value, f"{name}_low": value - half, f"{name}_high": value + half}


def write_critic() -> None:
    """An untrained critic: what it says means nothing, and is the same every time."""
    critic = Critic(channels=(8, 8, 8), features=8, steps=1, batch=8, lr=0.001, weight_decay=0.0, dropout=0.0)
    save_critic(new_classifier(critic, seed=1), critic, {})


COMPARED = {
    "machine": "a machine of some kind",
    "precision": "float32",
    "confidence": 0.95,
    "variants": {},
    "parameters": {},
    "real": {"value": 0.5, "low": 0.25, "high": 0.75},
    "seconds": 600.0,
    "images": 1000,
    "targets": [10.0, 5.0],
    "rows": [
        {
            "name": "own",
            "settings": "7 steps of 8",
            "images_per_second": 512.3,
            "looks": [
                {"seconds": 10.0, "fid": {"value": 9.0, "low": 8.0, "high": 10.0}},
                {"seconds": 30.0, "fid": {"value": 2.5, "low": 2.25, "high": 2.75}},
            ],
            "times": ["12 s", "24 s"],
            "fid": {"value": 2.5, "low": 2.25, "high": 2.75},
            "judged": 1000,
        },
        {
            "name": "far",
            "settings": "9 steps of 8",
            "images_per_second": 40.0,
            "looks": [{"seconds": 600.0, "fid": {"value": 70.0, "low": 66.0, "high": 74.0}}],
            "times": ["over 600 s", "over 600 s"],
            "fid": {"value": 70.0, "low": 66.0, "high": 74.0},
            "judged": 500,
        },
    ],
}
"""What a side-by-side run might leave for the report."""


def build_workspace(drawn: bool = False, gate_passed: bool = True, supply: Supply = plain_shapes) -> Params:
    """Fill the current folder with the outputs of every stage before the figures; return the parameters used."""
    params = load_params(ROOT / PARAMS)
    write_text(PARAMS, (ROOT / PARAMS).read_text())
    write_json(SUMMARY, COMPARED)
    write_judges(drawn, gate_passed)
    write_critic()
    for split, per_class in (("train", 20), ("val", 10), ("test", 20)):
        labels = np.repeat(np.arange(10), per_class)
        write_arrays(split_file(split), {"images": supply(labels, 3), "labels": labels})
    for name in params.variants:
        write_variant(name, params, supply)
    return params


def real_garments(archives: Path) -> Supply:
    """A supply of images from the official archives, for looking at the report by eye."""
    pixels = gzip.decompress((archives / "t10k-images-idx3-ubyte.gz").read_bytes())
    marks = gzip.decompress((archives / "t10k-labels-idx1-ubyte.gz").read_bytes())
    images = np.frombuffer(pixels, np.uint8, offset=16).reshape(-1, 28, 28)
    known = np.frombuffer(marks, np.uint8, offset=8)

    def supply(labels: np.ndarray, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return np.stack([images[rng.choice(np.flatnonzero(known == label))] for label in labels])

    return supply
