"""Guidance tried on a trained model: which ways, from the same seeds, judged beside no guidance, and told."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from models.sampler_spec import SamplerSpec
from tasks.comparisons import joint_confidence
from tasks.dataset import real_test_images
from tasks.errors import IntegrityError
from tasks.evaluate import critic_block
from tasks.evidence import Evidence, VariantEvidence
from tasks.files import read_json, read_table
from tasks.guidance import guidance_rows, ways
from tasks.guidance_findings import drawn_otherwise, guidance_table, guidance_text, strongest_sentences
from tasks.guides import early_state
from tasks.params import GuidanceSweep, Sample, Sweep
from tasks.paths import artifact, metrics_file, table_file
from tasks.redrawn import Bench, drawn_again
from tasks.sample import balanced_requests, prepared_sampling, run_sampling
from tasks.sampler_names import guide_name, sampler_name
from tasks.snapshots import load_snapshot, snapshot_name
from tasks.sweep import drawn_before, run_sweep
from tasks.train import run_training
from tasks.variants import Variant
from tests.tasks.report_workspace import beside, spread
from tests.tasks.report_workspace import guidance_rows as invented_rows
from tests.tasks.small_critic import EVALUATE, fit_small_critic
from tests.tasks.small_variants import COURSE, CPU, FLAGSHIP, SEED, STUDENT, VARIANTS

SWEEP = Sweep(
    per_class=10,
    evaluations=(2, 6),
    samplers=("dpmpp_2m",),
    noise_sigma_max=40.0,
    guidance=GuidanceSweep(scales=(3.0, 1.5), sigma=(0.05, 1.0)),
)
SAMPLE = Sample(per_class=10, batch=30, trajectory_per_class=1)


def described(samplers: list[SamplerSpec]) -> list[tuple[float, str]]:
    return [(sampler.guidance, guide_name(sampler)) for sampler in samplers]


def with_training(spec: Variant, **values: Any) -> Variant:
    return replace(spec, training=replace(spec.training, **values))


def test_an_edm_is_led_by_three_guides_along_rising_scales() -> None:
    led = [(scale, name) for scale in (1.5, 3.0) for name in NAMES]
    assert described(ways(FLAGSHIP, SWEEP)) == [(1.0, "none"), *led]
    assert {sampler.steps for sampler in ways(FLAGSHIP, SWEEP)} == {FLAGSHIP.sampling.steps}


NAMES = ("without the class", "without the class, \u03c3 0.05\u20131", "early state")


def test_a_ddpm_is_drawn_by_few_steps_of_ddim_and_led_at_all_of_them() -> None:
    found = ways(COURSE, SWEEP)
    led = [(scale, name) for scale in (1.5, 3.0) for name in ("without the class", "early state")]
    assert described(found) == [(1.0, "none"), *led]
    assert {(sampler.kind, sampler.steps) for sampler in found} == {("ddim", 3)}


def test_only_guides_that_were_trained_are_tried() -> None:
    assert {name for _, name in described(ways(with_training(FLAGSHIP, label_drop=0.0), SWEEP))} == {"none", NAMES[2]}
    assert {name for _, name in described(ways(with_training(FLAGSHIP, snapshots=1), SWEEP))} == {"none", *NAMES[:2]}


def test_a_model_that_is_guided_otherwise_is_not_guided_again() -> None:
    sampling = replace(FLAGSHIP.sampling, guidance=2.0, guided_sigma=(0.1, 0.5))
    assert ways(replace(FLAGSHIP, sampling=sampling), SWEEP) == [FLAGSHIP.sampling]


def test_what_was_taught_to_jump_is_not_guided() -> None:
    assert ways(STUDENT, SWEEP) == [STUDENT.sampling]


@pytest.mark.parametrize("sigma", [(0.0, 100.0), (0.3, 0.31)])
def test_an_interval_that_holds_all_noise_levels_or_none_is_left_out(sigma: tuple[float, float]) -> None:
    sweep = replace(SWEEP, guidance=replace(SWEEP.guidance, sigma=sigma))
    assert {name for _, name in described(ways(FLAGSHIP, sweep))} == {"none", NAMES[0], NAMES[2]}


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_rows_are_those_of_the_critic_on_the_same_seeds(variant: str, workspace: Path) -> None:
    spec = VARIANTS[variant]
    fit_small_critic()
    run_training(variant, spec, CPU, SEED)
    run_sampling(variant, spec, SAMPLE, CPU, SEED)
    found = run_sweep(variant, spec, SWEEP, 30, EVALUATE, CPU, SEED)["guidance"]
    assert read_json(metrics_file("sweep", variant))["guidance"] == found
    assert read_table(table_file(f"guidance_{variant}"))["guide"].tolist() == [row["guide"] for row in found]
    assert (found[0]["guide"], found[0]["difference"]) == ("none", 0.0)
    assert len({row["fid"] for row in found}) == len(found)  # every way makes other images
    last = ways(spec, SWEEP)[-1]
    sampling = replace(prepared_sampling(variant, spec, 30, CPU), sampler=last)
    kept = load_snapshot(variant, spec, *first_trained(variant))
    images = drawn_again(replace(sampling, guide=kept), *balanced_requests(10, SEED))
    bench = Bench.of_build(EVALUATE, CPU, SEED)
    split = replace(real_test_images(10, SEED), images=torch.from_numpy(images))
    judged = critic_block(split, bench.judge, bench.training, EVALUATE, SEED)
    shared = ("fid", "fid_low", "kid", "kid_high", "precision", "recall", "density", "coverage")
    assert {key: found[-1][key] for key in shared} == {key: judged[key] for key in shared}
    assert found[-1]["gain"] == pytest.approx(found[-1]["accuracy"] - found[0]["accuracy"])
    assert found[-1]["gain_low"] < found[-1]["gain"] < found[-1]["gain_high"]
    for row in found:
        assert row["recall_gain"] == pytest.approx(row["recall"] - found[0]["recall"])
        assert row["recall_gain_low"] <= row["recall_gain"] <= row["recall_gain_high"]


@pytest.mark.parametrize(("variant", "own_way"), [("flagship", False), ("course", True)])
def test_guidance_is_held_against_the_best_without_it_that_takes_no_more(
    variant: str, own_way: bool, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one named has the smallest distance of all that are not dearer, and differs from the guided by as much.

    The interval is that of as many comparisons as there were pairs to pick from. The flagship is drawn unguided by its
    own sampler, which heads both tables and counts once; the course by three steps, which the sweep did not try.
    """
    asked, difference = [], Bench.difference
    monkeypatch.setattr(Bench, "difference", lambda *arguments: asked.append(arguments[-1]) or difference(*arguments))
    fit_small_critic()
    run_training(variant, VARIANTS[variant], CPU, SEED)
    run_sampling(variant, VARIANTS[variant], SAMPLE, CPU, SEED)
    found = run_sweep(variant, VARIANTS[variant], SWEEP, 30, EVALUATE, CPU, SEED)
    plain, *led = found["guidance"]
    assert "rival" not in plain
    unguided = [plain, *found["rows"]] if own_way else found["rows"]
    for row in led:
        fair = [each for each in unguided if each["evaluations"] <= row["evaluations"]]
        best = min(fair, key=lambda each: float(each["fid"]))
        assert [row[f"rival{key}"] for key in ("", "_evaluations", "_fid")] == [
            best[key] for key in ("sampler", "evaluations", "fid")
        ]
        assert row["beyond"] == pytest.approx(row["fid"] - best["fid"])
    searched = sum(each["evaluations"] <= row["evaluations"] for row in led for each in unguided)
    assert asked[-len(led) :] == [joint_confidence(searched, EVALUATE.confidence)] * len(led)


def snapshots(variant: str) -> list[tuple[int, str]]:
    """Step and hash of every kept state, of which the first is untrained."""
    entries = read_json(artifact(variant, "model.json"))["snapshots"]
    assert entries[0]["step"] == 0
    return [(entry["step"], entry["sha256"]) for entry in entries]


def first_trained(variant: str) -> tuple[int, str]:
    return snapshots(variant)[1]


def test_a_variant_can_be_guided_by_its_early_state_throughout(workspace: Path) -> None:
    """Samples are those of that guide alone; the sweep tells of the model without it."""
    spec = replace(FLAGSHIP, sampling=replace(FLAGSHIP.sampling, guidance=2.0, guide="early"))
    fit_small_critic()
    run_training("flagship", spec, CPU, SEED)
    run_sampling("flagship", spec, SAMPLE, CPU, SEED)
    labels, seeds = balanced_requests(10, SEED)
    sampling = prepared_sampling("flagship", spec, 30, CPU)
    assert (drawn_before("flagship", seeds) == drawn_again(sampling, labels, seeds)).all()
    plain = replace(sampling, sampler=FLAGSHIP.sampling, guide=None)
    others = (replace(sampling, guide=load_snapshot("flagship", spec, *kept)) for kept in snapshots("flagship"))
    alike = [(drawn_again(other, labels, seeds) == drawn_before("flagship", seeds)).all() for other in (plain, *others)]
    assert alike == [False, False, True, False, False]  # untrained weights, the guide, and later ones
    ((row, _),) = guidance_rows("flagship", spec, sampling, SWEEP, Bench.of_build(EVALUATE, CPU, SEED))
    assert row["evaluations"] == 4


def test_an_altered_early_state_is_refused(workspace: Path) -> None:
    run_training("flagship", FLAGSHIP, CPU, SEED)
    path = artifact("flagship", snapshot_name(first_trained("flagship")[0]))
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(IntegrityError, match="altered"):
        early_state("flagship", FLAGSHIP, torch.device("cpu"))


def guided(name: str, spec: Variant) -> VariantEvidence:
    real = {"num_images": 500, **beside("fid", 1.2, 0.1), **beside("accuracy", 0.93, 0.01), **spread(0.9, 0.85)}
    own = {"sampler": sampler_name(spec.sampling), "evaluations": spec.sampling.steps}
    sweep = {"rows": [own], "num_images": 500, "real": real, "guidance": invented_rows(spec, 4.0)}
    return VariantEvidence(name=name, spec=spec, train={}, sample={}, score={}, evaluate={}, sweep=sweep)


def build() -> Evidence:
    variants = (guided("course", COURSE), guided("flagship", FLAGSHIP))
    return Evidence(drawn=False, prepare={}, critic={}, scorer={}, references={}, variants=variants)


def test_the_text_names_the_way_of_the_smallest_distance_and_whether_it_is_resolved() -> None:
    text = guidance_text(build()).replace("\\", "")
    assert (
        "Small flagship from 500 seeds without guidance: FID 4.00 (3.80 to 4.20), class accuracy 70.0\u00a0% (68.0 to "
        "72.0), recall 0.80, coverage 0.80. Of the 6 ways to guide it that were tried, the smallest FID is that of "
        "\u201cwithout the class\u201d at g = 1.5: 0.400 (0.320 to 0.480) less, resolved; FID 3.60" in text
    )
    assert text.endswith(
        "Its recall is 0.100 (0.085 to 0.115) less, resolved. It takes 8 evaluations; of all "
        "samplers without guidance that take no more, UniPC with 6 has the smallest "
        "FID, 3.90: beside that, guidance has 0.300 (0.260 to 0.340) less, resolved.\n"
    )


def test_where_no_guidance_helps_none_is_named() -> None:
    variant = guided("flagship", FLAGSHIP)
    worse = [{**row, **beside("difference", row["scale"], 0.1)} for row in variant.guided]
    sweep = {**variant.sweep, "guidance": [variant.unguided, *worse]}
    text = guidance_text(replace(build(), variants=(replace(variant, sweep=sweep),))).replace("\\", "")
    assert text.endswith("None of the 6 ways to guide it that were tried has a smaller FID.")


def test_the_question_is_answered_by_the_strongest_guidance_without_the_class() -> None:
    said = strongest_sentences(build())
    assert len(said) == 2
    assert said[1] == (
        "Small flagship from 500 seeds, by DPM-Solver++(2M) with 4 evaluations: led away from its answer without "
        "the class at g = 3, the largest scale tried and picked for that alone, "
        "class accuracy goes from 70.0\u00a0% (68.0 to 72.0) to 90.0\u00a0% (88.0 to 92.0), "
        "resolved, recall from 0.80 to 0.40, resolved; FID is 0.800 (0.720 to 0.880) more, resolved."
    )
    assert drawn_otherwise(build()) == ["Small course"]


def test_the_table_has_every_row_and_real_images_last() -> None:
    lines = guidance_table(build()).replace("\\", "").splitlines()[2:]
    assert len(lines) == 2 * 7 + 1
    assert lines[8].startswith("| Small flagship | without the class | 1.5 | 8 | 3.60 (3.42 to 3.78) |")
    assert lines[-1].startswith("| Real test images | \u2013 | \u2013 | \u2013 | 1.20 (1.10 to 1.30) |")
