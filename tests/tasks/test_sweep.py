"""Other samplers on the same seeds: each tried once, and the variant's own with the figures of its samples."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.evaluations import evaluations, levels_asked, levels_visited
from tasks.dataset import real_test_images
from tasks.distances import frechet_difference, real_features
from tasks.errors import IntegrityError, MissingResourceError
from tasks.evaluate import critic_block, run_evaluation
from tasks.evidence import Evidence, VariantEvidence
from tasks.files import read_json, read_table
from tasks.judge import load_critic
from tasks.params import GuidanceSweep, Sample, Sweep
from tasks.paths import metrics_file, table_file
from tasks.precision import autocast
from tasks.redrawn import Bench
from tasks.sample import Sampling, balanced_requests, run_sampling, sample_images
from tasks.sampler_names import sampler_name
from tasks.sweep import Attempt, candidates, drawn_before, own_attempt, run_sweep, with_rivals
from tasks.sweep import described as told
from tasks.sweep_findings import (
    best_by_budget,
    cheapest_not_worse,
    other_numbers,
    sampler_text,
    steps_sentences,
    sweep_table,
    sweep_text,
)
from tasks.train import run_training
from tasks.weights import load_model
from tests.tasks.report_workspace import beside
from tests.tasks.small_critic import EVALUATE, fit_small_critic
from tests.tasks.small_variants import COURSE, CPU, FLAGSHIP, SEED, STUDENT, VARIANTS

SWEEP = Sweep(
    per_class=10,
    evaluations=(3, 6),
    samplers=("heun", "unipc"),
    noise_sigma_max=40.0,
    guidance=GuidanceSweep(scales=(1.5,), sigma=(0.05, 1.0)),
)
NOISY = replace(FLAGSHIP, sampling=replace(FLAGSHIP.sampling, start="noise", sigma_max=20.0))


def described(attempts: list[Attempt]) -> list[tuple[int, str, int]]:
    return [(each.budget, sampler_name(each.sampler), evaluations(each.sampler)) for each in attempts]


def test_samplers_of_an_edm_are_those_named_within_the_budget() -> None:
    wanted = [(3, "Heun", 3), (3, "UniPC", 3), (6, "Heun", 5), (6, "UniPC", 6)]
    assert described(candidates(NOISY, SWEEP)) == wanted


def test_what_starts_from_its_prior_is_tried_from_noise_too() -> None:
    found = candidates(FLAGSHIP, SWEEP)
    assert [attempt for attempt in found if attempt.sampler.start == "prior"] == [
        replace(attempt, sampler=replace(attempt.sampler, start="prior", sigma_max=2.0))
        for attempt in candidates(NOISY, SWEEP)
    ]
    others = [attempt for attempt in found if attempt.sampler.start == "noise"]
    assert described(others) == [(3, "DPM-Solver++(2M)", 3), (6, "DPM-Solver++(2M)", 6)]
    assert {attempt.sampler.sigma_max for attempt in others if attempt.sampler.kind == "dpmpp_2m"} == {40.0}


def test_from_noise_the_network_is_asked_as_late_as_in_the_variants_own_sampler_and_at_every_step() -> None:
    late = replace(FLAGSHIP, sampling=replace(FLAGSHIP.sampling, mended_below=1.0))
    own, found = own_attempt(late), candidates(late, replace(SWEEP, evaluations=(3,), samplers=("dpmpp_2m",)))
    from_noise = [attempt for attempt in found if attempt.sampler.start == "noise"]
    assert [told(attempt, own)["sampler"] for attempt in from_noise] == [
        "DPM-Solver++(2M) from noise, the prior first",
        "DPM-Solver++(2M) from noise",
    ]
    assert [levels_visited(attempt.sampler) == levels_asked(attempt.sampler) for attempt in from_noise] == [False, True]
    assert [len(levels_asked(attempt.sampler)) for attempt in from_noise] == [3, 3]


def test_what_was_taught_to_jump_is_tried_in_no_other_way() -> None:
    assert candidates(STUDENT, SWEEP) == []


def test_a_ddpm_is_sampled_without_noise_and_with_all_of_it() -> None:
    wanted = [(3, "DDIM", 3), (3, "DDPM", 3), (6, "DDIM", 6), (6, "DDPM", 6)]
    assert described(candidates(COURSE, SWEEP)) == wanted


def test_what_is_asked_for_twice_or_has_too_many_steps_is_not_tried() -> None:
    own = replace(NOISY.sampling, kind="unipc", steps=6)
    assert (6, "UniPC", 6) not in described(candidates(replace(NOISY, sampling=own), SWEEP))
    twice = replace(SWEEP, evaluations=(3, 3))
    assert described(candidates(NOISY, twice)) == [(3, "Heun", 3), (3, "UniPC", 3)]
    whole = replace(SWEEP, evaluations=(10,))  # all steps of the course, whose own sampler is DDPM
    assert described(candidates(COURSE, whole)) == [(10, "DDIM", 10)]
    assert described(candidates(COURSE, replace(SWEEP, evaluations=(3, 11)))) == [(3, "DDIM", 3), (3, "DDPM", 3)]


def test_samplers_of_the_same_images_are_tried_once() -> None:
    """In two steps none looks back, and in four DPM-Solver++(3M) does not look further than the variant's own."""
    asked = replace(SWEEP, evaluations=(2, 4), samplers=("dpmpp_3m", "unipc"))
    assert described(candidates(NOISY, asked)) == [(2, "DPM-Solver++(3M)", 2), (4, "UniPC", 4)]


def test_images_that_several_samplers_share_are_named_after_the_variants_own() -> None:
    """Else its own solver in two steps, which draws the images of another, would be missed among its numbers."""
    unipc = replace(NOISY, sampling=replace(NOISY.sampling, kind="unipc"))
    asked = replace(SWEEP, evaluations=(2, 4, 8), samplers=("dpmpp_2m", "unipc"))
    rows = described(candidates(unipc, asked))
    assert rows == [(2, "UniPC", 2), (4, "DPM-Solver++(2M)", 4), (8, "UniPC", 8), (8, "DPM-Solver++(2M)", 8)]


def test_steps_that_ask_no_network_come_on_top_of_the_budget() -> None:
    """From 20 with a network below 2 alone, three evaluations are what is left of six steps."""
    sparing = replace(NOISY, sampling=replace(NOISY.sampling, mended_below=2.0))
    found = [each for each in candidates(sparing, replace(SWEEP, evaluations=(3, 6))) if each.sampler.kind == "unipc"]
    assert [(each.budget, evaluations(each.sampler)) for each in found] == [(3, 3), (6, 6)]
    for each in found:
        assert each.sampler.steps > each.budget
        assert evaluations(replace(each.sampler, steps=each.sampler.steps + 1)) > each.budget


def test_a_sampler_of_which_no_step_would_ask_the_network_is_not_tried() -> None:
    """Of one evaluation Heun's method has one step, from a start for which the prior answers here.

    From noise the variant's own is tried with the prior first and without.
    """
    sparing = replace(FLAGSHIP, sampling=replace(FLAGSHIP.sampling, mended_below=1.0))
    assert described(candidates(sparing, replace(SWEEP, evaluations=(1,)))) == [
        (1, "UniPC", 1),
        (1, "DPM-Solver++(2M)", 1),
        (1, "DPM-Solver++(2M)", 1),
    ]


def test_no_other_sampler_bears_the_name_and_the_number_of_the_variants_own() -> None:
    own = replace(NOISY, sampling=replace(NOISY.sampling, mended_below=2.0, steps=4))
    count = evaluations(own.sampling)
    asked = replace(SWEEP, evaluations=(count, 6), samplers=("dpmpp_2m", "unipc"))
    found = described(candidates(own, asked))
    assert (count, "DPM-Solver++(2M)", count) not in found
    assert len({(name, number) for _, name, number in found}) == len(found) == 3


def test_a_sampler_that_two_budgets_ask_for_belongs_to_the_smaller() -> None:
    twice = replace(SWEEP, evaluations=(10, 9), samplers=("heun",))
    assert described(candidates(NOISY, twice)) == [(9, "Heun", 9)]


def test_the_variants_own_number_is_its_budget() -> None:
    assert described([own_attempt(NOISY)]) == [(4, "DPM-Solver++(2M)", 4)]
    heun = replace(NOISY, sampling=replace(NOISY.sampling, kind="heun", steps=9))
    assert described([own_attempt(heun)]) == [(17, "Heun", 17)]


def test_samplers_that_differ_in_their_noise_are_told_apart() -> None:
    churned = replace(NOISY, sampling=replace(NOISY.sampling, kind="heun", steps=3, churn=2.0))
    assert sampler_name(churned.sampling) == "Heun, churn 2"
    assert (6, "Heun", 5) in described(candidates(churned, SWEEP))
    half = replace(COURSE, sampling=replace(COURSE.sampling, kind="ddim", steps=3, eta=0.5))
    assert sampler_name(half.sampling) == "DDIM, eta 0.5"
    assert described(candidates(half, SWEEP))[:2] == [(3, "DDIM", 3), (3, "DDPM", 3)]


def test_guided_images_have_rivals_of_as_many_evaluations() -> None:
    """Between two noise levels guidance may take a number that no budget names."""
    sweep = replace(SWEEP, evaluations=(3,))
    found = with_rivals(FLAGSHIP, sweep)
    assert found == replace(sweep, evaluations=(3, 6, 8))
    assert {6, 8} <= {evaluations(attempt.sampler) for attempt in candidates(FLAGSHIP, found)}


def test_where_no_guide_was_trained_no_budget_is_added() -> None:
    unled = replace(FLAGSHIP, training=replace(FLAGSHIP.training, label_drop=0.0, snapshots=1))
    assert with_rivals(unled, SWEEP) == SWEEP


def test_guidance_is_kept_and_counts() -> None:
    guided = replace(NOISY, sampling=replace(NOISY.sampling, guidance=2.0))
    assert [(budget, count) for budget, _, count in described(candidates(guided, SWEEP))] == [
        (3, 2),
        (3, 2),
        (6, 6),
        (6, 6),
    ]


def test_nothing_takes_more_than_its_budget() -> None:
    """Guidance looks twice, so one evaluation is not enough for it."""
    guided = replace(NOISY, sampling=replace(NOISY.sampling, guidance=2.0))
    found = described(candidates(guided, replace(SWEEP, evaluations=tuple(range(1, 13)))))
    assert all(count <= budget for budget, _, count in found)
    assert min(budget for budget, _, _ in found) == 2


def test_what_is_guided_between_two_levels_fills_its_budget_and_is_guided() -> None:
    """Steps that miss the levels at which guidance acts would be those of the model without it, and are left out."""
    sampling = replace(NOISY.sampling, sigma_min=0.06, sigma_max=10.0, guidance=3.0, guided_sigma=(0.1, 2.0))
    guided = replace(NOISY, sampling=sampling)
    found = candidates(guided, replace(SWEEP, evaluations=(2, 4, 8, 16), samplers=("dpmpp_2m",)))
    assert [attempt.budget for attempt in found] == [4, 8, 16]
    for attempt in found:
        sampler = attempt.sampler
        assert sampler.steps < evaluations(sampler) <= attempt.budget
        assert evaluations(replace(sampler, steps=sampler.steps + 1)) > attempt.budget


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
    assert list(table.columns) == list(found["rows"][0])
    assert table["sampler"].tolist() == [row["sampler"] for row in found["rows"]]
    own = found["rows"][0]
    assert own["evaluations"] == own["budget"] == spec.sampling.steps
    assert {key: own[key] for key in FID} == {key: judged[key] for key in FID}
    assert accuracy_of(own) == judged["accuracy"]
    others = [row["fid"] for row in found["rows"]]
    assert len(set(others)) == len(others)


FID = ("fid", "fid_low", "fid_high")


def accuracy_of(row: dict[str, Any]) -> dict[str, float]:
    return {"value": row["accuracy"], "low": row["accuracy_low"], "high": row["accuracy_high"]}


def test_as_many_real_images_stand_beside_the_rows(workspace: Path) -> None:
    """They have the figures that the reference rows would have at that number of images."""
    fit_small_critic()
    bench = Bench.of_build(EVALUATE, CPU, SEED)
    found = bench.real(10)
    expected = critic_block(real_test_images(10, SEED), bench.judge, bench.training, EVALUATE, SEED)
    assert found["num_images"] == expected["num_images"] == 100
    assert {key: found[key] for key in FID} == {key: expected[key] for key in FID}
    assert accuracy_of(found) == expected["accuracy"]
    assert bench.real(1000)["num_images"] == 200  # all there are


def test_rows_are_compared_with_the_first_by_intervals_that_hold_at_once(workspace: Path) -> None:
    """Bonferroni: each of four comparisons at 1 - 0.05 / 4."""
    fit_small_critic()
    training = real_features(load_critic(CPU), SEED)
    bench = Bench(load_critic(CPU), training, 0.95, EVALUATE.neighbours, SEED)
    labels, _ = balanced_requests(10, SEED)
    generator = np.random.default_rng(SEED)
    seen = [bench.look(generator.integers(0, 256, (100, 28, 28)).astype(np.uint8), labels) for _ in range(5)]
    rows = bench.rows([{}] * 5, seen)
    assert {rows[0][key] for key in ("difference", "difference_low", "difference_high")} == {0.0}
    for row, images in zip(rows[1:], seen[1:], strict=True):
        pair = images.features, seen[0].features
        wanted = frechet_difference(pair, torch.from_numpy(labels), training, 1 - 0.05 / 4, SEED)
        assert row["difference"] == pytest.approx(row["fid"] - rows[0]["fid"], abs=1e-6)
        assert (row["difference_low"], row["difference_high"]) == pytest.approx((wanted.low, wanted.high))


@pytest.mark.parametrize("samplers", [1, 3])
def test_as_few_images_as_the_parameters_permit_are_enough(samplers: int, workspace: Path) -> None:
    fit_small_critic()
    bench = Bench.of_build(EVALUATE, CPU, SEED)
    split = real_test_images(2, SEED)
    seen = [bench.look(split.images.numpy(), split.labels.numpy())] * samplers
    rows = bench.rows([{}] * samplers, seen)
    assert all(np.isfinite(value) for row in rows for value in row.values() if not isinstance(value, str))


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


def swept(*rows: tuple[str, int, int, float]) -> VariantEvidence:
    """A variant with these samplers, budgets, evaluations and distances; each is 0.5 more or less certain."""

    def row(sampler: str, budget: int, count: int, fid: float) -> dict[str, Any]:
        gap = beside("difference", fid - rows[0][3], 0.5)
        figures = {**beside("fid", fid, 0.1 * fid), **gap, **beside("accuracy", 0.8, 0.02)}
        return {"sampler": sampler, "budget": budget, "evaluations": count, **figures}

    real = {"num_images": 500, **beside("fid", 1.2, 0.1), **beside("accuracy", 0.93, 0.01)}
    sweep = {"rows": [row(*values) for values in rows], "num_images": 500, "real": real, "guidance": []}
    return VariantEvidence(name="flagship", spec=FLAGSHIP, train={}, sample={}, score={}, evaluate={}, sweep=sweep)


def of(*variants: VariantEvidence) -> Evidence:
    return Evidence(drawn=False, prepare={}, critic={}, scorer={}, references={}, variants=variants)


def test_the_best_sampler_within_a_budget_takes_no_more_and_may_take_less() -> None:
    """Heun's 17 evaluations compete with others' 18; what was best of fewer stays the best where more are no better."""
    variant = swept(("A", 18, 18, 4.5), ("Heun", 18, 17, 4.0), ("A", 10, 10, 5.0), ("B", 10, 9, 6.0))
    assert [(row["budget"], row["sampler"]) for row in best_by_budget(variant)] == [(10, "A"), (18, "Heun")]
    apart = swept(("A", 12, 12, 4.5), ("B", 10, 10, 4.0))
    best = [(row["budget"], row["evaluations"], row["sampler"]) for row in best_by_budget(apart)]
    assert best == [(10, 10, "B"), (12, 10, "B")]


@pytest.mark.parametrize(
    ("distances", "fewest"),
    [((4.0, 4.6, 4.4), 10), ((4.0, 4.4, 5.0), 5), ((4.0, 4.6, 4.6), 18), ((4.0, 3.0, 4.0), 5), ((4.0, 4.6, 2.0), 10)],
)
def test_the_fewest_evaluations_that_are_not_found_worse(distances: tuple[float, ...], fewest: int) -> None:
    own, few, more = distances
    variant = swept(("A", 18, 18, own), ("A", 5, 5, few), ("B", 10, 10, more), ("B", 50, 50, 1.0))
    assert cheapest_not_worse(variant)["evaluations"] == fewest


def test_the_text_claims_no_more_than_the_widened_intervals_say() -> None:
    own = ("A", 18, 18, 4.0)
    start = "Small flagship is sampled by A with 18 evaluations: FID 4.00 (3.60 to 4.40). "

    def said(*others: tuple[str, int, int, float]) -> str:
        text = sweep_text(of(swept(own, *others))).replace("\\", "")
        floor = "The FID of as many real test images is 1.20 (1.10 to 1.30). "
        assert text.startswith(floor + start)
        return text.removeprefix(floor + start)

    assert said(("B", 5, 5, 8.0), ("A", 10, 10, 4.3)) == (
        "No other of the 3 tried has a smaller one. The fewest evaluations not found worse are those of A with 10 "
        "evaluations, 0.300 (\u22120.200 to 0.800) more, not resolved."
    )
    assert said(("A", 5, 5, 8.0), ("B", 50, 49, 3.8)) == (
        "The smallest of the 3 tried is that of B with 49 evaluations, 0.200 (\u22120.300 to 0.700) less, not "
        "resolved. Fewer than 18 are all found worse."
    )
    assert said(("B", 50, 50, 3.0)) == (
        "The smallest of the 2 tried is that of B with 50 evaluations, 1.00 (0.50 to 1.50) less, resolved. "
        "Fewer than 18 were not tried."
    )
    assert said(("A", 5, 5, 8.0), ("B", 10, 10, 3.0)) == (
        "The smallest of the 3 tried is that of B with 10 evaluations, 1.00 (0.50 to 1.50) less, resolved. "
        "Fewer than 10 are all found worse."
    )
    assert said() == "No other was tried."
    assert "the prior" not in said(("A from noise", 5, 5, 8.0)).lower()
    assert said(("A from noise, the prior first", 5, 5, 8.0)).endswith(
        "Fewer than 18 are all found worse.\n\nThe prior first: the steps at noise above which the model\u2019s own "
        "sampler does not ask its network are taken by the prior\u2019s guess alone, and are no evaluations. Without "
        "these words a sampler from noise asks the network at every step, at strong noise too, whether or not its "
        "training showed it such."
    )


def test_the_table_shows_budgets_what_was_taken_of_them_and_real_images() -> None:
    table = sweep_table(of(swept(("A", 18, 18, 4.5), ("Heun", 18, 17, 4.0)))).replace("\\", "")
    assert table.splitlines()[2:] == [
        "| Small flagship | 18 | 17 | Heun | 4.00 (3.60 to 4.40) | 80.0\u00a0% (78.0 to 82.0) |",
        "| Real test images | \u2013 | \u2013 | \u2013 | 1.20 (1.10 to 1.30) | 93.0\u00a0% (92.0 to 94.0) |",
    ]


@pytest.mark.parametrize(("looks", "text"), [(1, "A with 1 evaluation"), (1000, "A with 1,000 evaluations")])
def test_one_evaluation_is_told_as_one(looks: int, text: str) -> None:
    assert sampler_text({"sampler": "A", "evaluations": looks}) == text


def test_fewer_real_images_than_were_drawn_are_counted() -> None:
    variant = swept(("A", 18, 18, 4.0))
    fewer = replace(variant, sweep={**variant.sweep, "real": {**variant.sweep["real"], "num_images": 200}})
    assert "The FID of 200 real test images is 1.20" in sweep_text(of(fewer)).replace("\\", "")


def test_the_number_of_steps_alone_is_read_off_the_variants_own_sampler() -> None:
    several = swept(("A", 18, 18, 4.0), ("B", 5, 5, 3.0), ("A", 50, 50, 3.9), ("A", 5, 5, 8.0))
    assert [row["evaluations"] for row in other_numbers(several)] == [5, 50]
    assert steps_sentences(of(several, swept(("A", 18, 18, 4.0), ("B", 5, 5, 8.0)))) == [
        "Small flagship from 500 seeds, by A with 18 evaluations: FID 4.00 (3.60 to 4.40). From the same seeds, "
        "with 5: 4.00 (3.50 to 4.50) more, resolved; with 50: 0.100 (\u22120.400 to 0.600) less, not resolved."
    ]
