"""What counts as the source's system, and what the report says of it, is what is checked."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.course_unet import CourseUNet
from models.sampler_spec import DiscreteSamplerSpec
from models.spec import CourseUNetSpec
from tasks.evidence import Evidence, VariantEvidence, read_evidence
from tasks.variants import Variant
from tests.tasks.report_workspace import build_workspace


@pytest.fixture
def evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evidence:
    monkeypatch.chdir(tmp_path)
    return read_evidence(build_workspace().variants)


def changed(variant: VariantEvidence, **groups: object) -> VariantEvidence:
    spec: Variant = replace(variant.spec, **groups)
    return replace(variant, spec=spec)


def test_the_course_shares_what_the_source_fixes_and_the_flagship_does_not(evidence: Evidence) -> None:
    assert [variant.follows_source for variant in evidence.variants] == [True, False]
    assert evidence.source_variant() is evidence.variants[0]


@pytest.mark.parametrize(("images", "longest"), [(1, 0), (0, 0), (-1, 1)])
def test_of_several_the_sources_system_is_the_longest_trained(evidence: Evidence, images: int, longest: int) -> None:
    """The first saw so many more images than the second."""
    second = evidence.variants[0]
    first = replace(second, train={**second.train, "images": second.train["images"] + images})
    courses = (first, replace(second, name="course_longer"))
    assert replace(evidence, variants=(*courses, evidence.variants[1])).source_variant() is courses[longest]


@pytest.mark.parametrize("values", [{"steps": 99}, {"beta_start": 0.0002}, {"beta_end": 0.2}])
def test_another_schedule_is_not_the_sources(evidence: Evidence, values: dict[str, float]) -> None:
    spec = evidence.variants[0].spec
    process = replace(spec.process, **values)
    sampling = replace(spec.sampling, steps=process.steps)
    assert not changed(evidence.variants[0], process=process, sampling=sampling).follows_source


def test_a_sampler_that_leaves_steps_out_is_not_the_sources(evidence: Evidence) -> None:
    ddim = DiscreteSamplerSpec(kind="ddim", steps=20, eta=0.0, guidance=1.0, guide="unlabelled", start="noise")
    assert not changed(evidence.variants[0], sampling=ddim).follows_source


def test_sampling_that_does_not_start_from_noise_is_not_the_sources(evidence: Evidence) -> None:
    course = evidence.variants[0]
    assert not changed(course, sampling=replace(course.spec.sampling, start="moments")).follows_source


def test_widths_and_training_are_not_what_the_source_fixes(evidence: Evidence) -> None:
    course = evidence.variants[0]
    wide = replace(course.spec.network, channels=(8, 16, 24))
    longer = replace(course.spec.training, steps=9999, lr=0.01)
    assert changed(course, network=wide, training=longer).follows_source


@pytest.mark.parametrize("channels", [(8, 16, 24), (16, 16, 16)])
def test_the_courses_kind_of_network_has_the_sources_levels_and_places_at_any_width(
    channels: tuple[int, int, int],
) -> None:
    spec = CourseUNetSpec(kind="course_unet", channels=channels, group_size=8, time_features=16)
    network = CourseUNet(spec, 100).eval()
    seen: dict[str, list[torch.Tensor]] = {}
    for name in ("stem", "down1", "down2", "bottleneck", "up2"):
        seen[name] = []
        module = getattr(network, name)
        module.register_forward_hook(lambda _, __, output, name=name: seen[name].append(output))
    network.up2.register_forward_pre_hook(lambda _, args: seen.setdefault("conditioned", []).append(args[0]))
    x = torch.randn(1, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for level, label in ((5.0, 1), (80.0, 7)):
            network(x, torch.tensor([level]), torch.tensor([label]), torch.ones(1))
    assert [seen[name][0].shape[-1] for name in ("stem", "down1", "down2", "up2")] == [28, 14, 7, 14]
    before = [torch.equal(*seen[name]) for name in ("stem", "down1", "down2", "bottleneck")]
    assert before == [True] * 4  # neither time nor class enters before the bottleneck's maps
    assert not torch.equal(*seen["conditioned"])


def of(variant: VariantEvidence, name: str, taken_from: str) -> VariantEvidence:
    return replace(variant, name=name, train={**variant.train, "taken_from": taken_from})


def test_a_variant_with_anothers_weights_was_not_trained(evidence: Evidence) -> None:
    course, flagship = evidence.variants
    build = replace(evidence, variants=(of(course, "start", "course"), course, flagship))
    assert [variant.name for variant in build.trained()] == ["course", "flagship"]


def test_weights_of_a_variant_that_the_build_lacks_stand_for_their_training(evidence: Evidence) -> None:
    course, flagship = evidence.variants
    build = replace(evidence, variants=(of(course, "start", "course"), flagship))
    assert [variant.name for variant in build.trained()] == ["start", "flagship"]
    crossed = replace(evidence, variants=(of(course, "one", "other"), of(course, "other", "one")))
    assert [variant.name for variant in crossed.trained()] == ["one", "other"]


def test_epochs_and_held_out_images_are_counted(evidence: Evidence) -> None:
    course = evidence.variants[0]
    twice = replace(course, train={**course.train, "images": 110_000})
    assert evidence.epochs(twice) == 2.0
    assert evidence.held_out(course) == course.spec.training.validation_images
