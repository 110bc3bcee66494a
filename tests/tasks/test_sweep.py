"""Other samplers on the same seeds: each tried once, and the variant's own with the figures of its samples."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.samplers import evaluations
from models.spec import SamplerSpec
from tasks.errors import IntegrityError, MissingResourceError
from tasks.evaluate import run_evaluation
from tasks.evidence import Evidence, VariantEvidence
from tasks.files import read_json, read_table
from tasks.params import Sample, Sweep
from tasks.paths import metrics_file, table_file
from tasks.precision import autocast
from tasks.sample import Sampling, balanced_requests, run_sampling, sample_images
from tasks.sweep import candidates, drawn_before, run_sweep, sampler_name
from tasks.sweep_findings import best_by_count, cheapest_as_good, sweep_table, sweep_text
from tasks.train import run_training
from tasks.weights import load_model
from tests.tasks.small_critic import EVALUATE, fit_small_critic
from tests.tasks.small_variants import COURSE, CPU, FLAGSHIP, SEED, VARIANTS

SWEEP = Sweep(per_class=10, evaluations=(3, 6), samplers=("heun", "unipc"))


def described(samplers: list[SamplerSpec]) -> list[tuple[str, int]]:
    return [(sampler_name(sampler), evaluations(sampler)) for sampler in samplers]


def test_samplers_of_an_edm_are_those_named() -> None:
    wanted = [("Heun", 3), ("UniPC", 3), ("Heun", 5), ("UniPC", 6)]
    assert described(candidates(FLAGSHIP, SWEEP)) == wanted


def test_a_ddpm_is_sampled_without_noise_and_with_all_of_it() -> None:
    wanted = [("DDIM", 3), ("DDPM", 3), ("DDIM", 6), ("DDPM", 6)]
    assert described(candidates(COURSE, SWEEP)) == wanted


def test_what_is_asked_for_twice_or_has_too_many_steps_is_not_tried() -> None:
    own = replace(FLAGSHIP.sampling, kind="unipc", steps=6)
    assert ("UniPC", 6) not in described(candidates(replace(FLAGSHIP, sampling=own), SWEEP))
    twice = replace(SWEEP, evaluations=(3, 3))
    assert described(candidates(FLAGSHIP, twice)) == [("Heun", 3), ("UniPC", 3)]
    whole = replace(SWEEP, evaluations=(10,))  # all steps of the course, whose own sampler is DDPM
    assert described(candidates(COURSE, whole)) == [("DDIM", 10)]
    assert described(candidates(COURSE, replace(SWEEP, evaluations=(3, 11)))) == [("DDIM", 3), ("DDPM", 3)]


def test_samplers_that_differ_in_their_noise_are_told_apart() -> None:
    churned = replace(FLAGSHIP, sampling=replace(FLAGSHIP.sampling, kind="heun", steps=3, churn=2.0))
    assert sampler_name(churned.sampling) == "Heun, churn 2"
    assert ("Heun", 5) in described(candidates(churned, SWEEP))
    half = replace(COURSE, sampling=replace(COURSE.sampling, kind="ddim", steps=3, eta=0.5))
    assert sampler_name(half.sampling) == "DDIM, eta 0.5"
    assert described(candidates(half, SWEEP))[:2] == [("DDIM", 3), ("DDPM", 3)]


def test_guidance_is_kept_and_counts() -> None:
    guided = replace(FLAGSHIP, sampling=replace(FLAGSHIP.sampling, guidance=2.0))
    assert [count for _, count in described(candidates(guided, SWEEP))] == [2, 2, 6, 6]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_variants_own_sampler_has_the_figures_of_its_samples(variant: str, workspace: Path) -> None:
    spec = VARIANTS[variant]
    fit_small_critic()
    run_training(variant, spec, CPU, SEED)
    run_sampling(variant, spec, Sample(per_class=10, batch=30, trajectory_per_class=1), CPU, SEED)
    found = run_sweep(variant, spec, SWEEP, 30, EVALUATE, CPU, SEED)
    judged = run_evaluation(variant, EVALUATE, CPU, SEED)
    assert read_json(metrics_file("sweep", variant))["rows"] == found["rows"]
    table = read_table(table_file(f"sweep_{variant}"))
    assert table["sampler"].tolist() == [row["sampler"] for row in found["rows"]]
    own = found["rows"][0]
    assert own["evaluations"] == spec.sampling.steps
    assert {key: own[key] for key in ("fid", "fid_low", "fid_high")} == {
        key: judged[key] for key in ("fid", "fid_low", "fid_high")
    }
    assert own["accuracy"] == pytest.approx(judged["accuracy"]["value"])
    best = min(row["fid"] for row in found["rows"])
    for row in found["rows"]:
        assert row["behind"] == pytest.approx(row["fid"] - best, abs=1e-6)
        assert row["behind_low"] <= row["behind"] <= row["behind_high"]
    others = [row["fid"] for row in found["rows"]]
    assert len(set(others)) == len(others)


def test_a_variant_that_was_not_trained_is_a_missing_resource(workspace: Path) -> None:
    fit_small_critic()
    with pytest.raises(MissingResourceError, match=r"course/model\.json"):
        run_sweep("course", COURSE, SWEEP, 30, EVALUATE, CPU, SEED)
    assert not table_file("sweep_course").exists()


def test_another_sampler_draws_the_same_seeds(workspace: Path) -> None:
    """DDIM with all the noise over all steps is DDPM, so its images are those that DDPM drew, but for rounding."""
    run_training("course", COURSE, CPU, SEED)
    run_sampling("course", COURSE, Sample(per_class=12, batch=30, trajectory_per_class=1), CPU, SEED)
    labels, seeds = balanced_requests(10, SEED)
    device = torch.device("cpu")
    every = replace(COURSE.sampling, kind="ddim")
    sampling = Sampling(load_model("course", COURSE, device), every, 100, device, autocast(CPU, device))
    apart = np.abs(sample_images(sampling, labels, seeds).astype(int) - drawn_before("course", seeds))
    assert apart.max() <= 1
    assert apart.mean() < 0.01


def test_samples_of_other_seeds_are_refused(workspace: Path) -> None:
    run_training("course", COURSE, CPU, SEED)
    run_sampling("course", COURSE, Sample(per_class=10, batch=30, trajectory_per_class=1), CPU, SEED)
    with pytest.raises(IntegrityError, match="lacks 100 of the seeds"):
        drawn_before("course", balanced_requests(10, SEED + 1)[1])


def swept(*rows: tuple[str, int, float]) -> VariantEvidence:
    """A variant with these samplers, evaluations and distances; 4.0 is the smallest of them."""

    def row(sampler: str, count: int, fid: float) -> dict[str, Any]:
        spread = {"fid": fid, "fid_low": 0.9 * fid, "fid_high": 1.1 * fid}
        behind = {"behind": fid - 4.0, "behind_low": fid - 4.5, "behind_high": fid - 3.5}
        return {"sampler": sampler, "evaluations": count, **spread, **behind, "accuracy": 0.8}

    sweep = {"rows": [row(*values) for values in rows], "num_images": 500}
    return VariantEvidence(name="flagship", spec=FLAGSHIP, train={}, sample={}, score={}, evaluate={}, sweep=sweep)


def test_the_best_sampler_at_each_number_of_evaluations() -> None:
    variant = swept(("A", 10, 5.0), ("B", 5, 9.0), ("B", 10, 4.0), ("A", 5, 8.0))
    assert [(row["sampler"], row["evaluations"]) for row in best_by_count(variant)] == [("A", 5), ("B", 10)]


def test_the_fewest_evaluations_that_cannot_be_told_from_the_best() -> None:
    variant = swept(("A", 5, 8.0), ("A", 10, 4.3), ("A", 18, 4.0), ("A", 50, 4.1))
    cheap, best = cheapest_as_good(variant)
    assert (cheap["evaluations"], best["evaluations"]) == (10, 18)


def test_the_text_says_which_suffices() -> None:
    near = swept(("A", 5, 8.0), ("A", 10, 4.3), ("A", 18, 4.0))
    far = swept(("A", 5, 8.0), ("A", 10, 6.0), ("A", 18, 4.0))
    evidence = Evidence(drawn=False, prepare={}, critic={}, scorer={}, references={}, variants=(near,))
    assert "A with 10 evaluations cannot be told from it" in sweep_text(evidence)
    assert "With fewer it is larger" in sweep_text(replace(evidence, variants=(far,)))
    alone = swept(("A", 5, 4.0), ("A", 10, 8.0))
    assert "No smaller number was tried" in sweep_text(replace(evidence, variants=(alone,)))
    assert sweep_table(evidence).count("\n") == 4
