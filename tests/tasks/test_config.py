"""Every bad configuration is one line with the right exit code; every good one is frozen and complete."""

import ast
import contextlib
import copy
import dataclasses
import inspect
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from ruamel.yaml import YAML

import models.sampler_spec
import models.spec
import models.training_spec
import tasks.params
from models.spec import require
from tasks.config import load_params, main, overlay, parse_params, with_profile
from tasks.errors import ConfigError, MissingResourceError, PipelineError
from tasks.params import Params
from tasks.strict_yaml import LARGEST_BYTES, read_mapping

ROOT = Path(__file__).parents[2]
PARAMS = ROOT / "params.yaml"
CONTENT = read_mapping(PARAMS)

# (dotted key, the value as YAML text, what the message must name)
BAD_VALUES = [
    ("seed", "-1", "seed"),
    ("seed", "true", "seed"),
    ("seed", "1.5", "seed"),
    ("seed", "'7'", "seed"),
    ("seed", "1e3", "different things"),
    ("seed", "0777", "different things"),
    ("seed", "1:30", "different things"),
    ("seed", "1_000", "different things"),
    ("compute.device", "gpu", "'auto', 'cpu' or 'cuda'"),
    ("compute.device", "on", "different things"),
    ("compute.threads", "0", "compute.threads"),
    ("compute.threads", "65", "from 1 to 64"),
    ("compute.precision", "half", "float32"),
    ("data.source", "mnist", "data.source"),
    ("data.mirrors", "[http://example.org/data]", "https://"),
    ("data.timeout_s", ".inf", "finite"),
    ("data.timeout_s", ".nan", "finite"),
    ("data.timeout_s", "0.0", "from 0.1 to 600"),
    ("data.attempts", "0", "data.attempts"),
    ("data.drawn_per_class.train", "1", "data.drawn_per_class.train"),
    ("data.drawn_per_class.test", "19", "from 20 to 100000"),
    ("prepare.validation_per_class", "0", "prepare.validation_per_class"),
    ("critic.channels", "[32]", "expected 3 entries"),
    ("critic.channels", "[32, 64, 100]", "multiples of 8"),
    ("critic.lr", "0", "critic.lr"),
    ("critic.features", "4", "from 8 to 2048"),
    ("critic.steps", "0", "from 1 to 1000000"),
    ("critic.batch", "7", "from 8 to 65536"),
    ("critic.weight_decay", "1.5", "from 0 to 1"),
    ("critic.dropout", "1.0", "up to, not including, 1"),
    ("scorer.class_words", "[a, b, c]", "ten different words"),
    ("scorer.class_words", "['', b, c, d, e, f, g, h, i, j]", "printable words"),
    ("scorer.good_prompt", "a good picture", "{} once"),
    ("scorer.good_prompt", "'a good {x} of a {}'", "no other brace"),
    ("scorer.clear_prompt", "'{} {0}'", "no other brace"),
    ("scorer.blurry_prompt", "'a blurry {{}}'", "no other brace"),
    ("scorer.noisy_prompt", "'a noisy } {}'", "no other brace"),
    ("scorer.blur_sigma", "[2.0, 0.8]", "rising"),
    ("scorer.noise_sigma", "[0.5, 0.15]", "two rising numbers up to 2"),
    ("scorer.fit.width", "48", "a multiple of 32"),
    ("scorer.fit.layers", "25", "from 1 to 24"),
    ("scorer.fit.embedding", "4", "from 8 to 1024"),
    ("scorer.fit.patch", "5", "2, 4, 7 or 14"),
    ("scorer.folder", "''", "path of a folder"),
    ("scorer.folder", "~/clip", "without ~"),
    ("evaluate.held_out_damage.box_blur", "4", "odd number of pixels"),
    ("evaluate.held_out_damage.motion_blur", "1", "odd number of pixels"),
    ("evaluate.held_out_damage.pixelation", "5", "2, 4, 7 or 14"),
    ("evaluate.held_out_damage.salt_and_pepper", "0", "above 0"),
    ("report.gate.auc", "1.5", "from 0 to 1"),
    ("report.gate.zero_shot_accuracy", "-0.1", "from 0 to 1"),
    ("sweep.per_class", "101", "at most sample.per_class"),
    ("sweep.per_class", "1", "from 2 to 10000"),
    ("sweep.evaluations", "[]", "numbers from 1 to 1000"),
    ("sweep.evaluations", "[5, 0]", "numbers from 1 to 1000"),
    ("sweep.samplers", "[]", "at least one sampler"),
    ("sweep.samplers", "[euler]", "sweep.samplers"),
    ("sweep.noise_sigma_max", "1001.0", "above 0, at most 1000"),
    ("sweep.noise_sigma_max", "9.9", "at least 10, 20 times sigma_data of variants.flagship"),
    ("sweep.guidance.scales", "[1.0]", "different numbers above 1"),
    ("sweep.guidance.sigma", "[2.0, 0.1]", "two rising numbers from 0 to 1000"),
    ("variants.flagship.sampling.churn", "10.0", "0 for all samplers but heun"),
    ("sample.per_class", "lots", "a whole number"),
    ("sample.batch", "0", "sample.batch"),
    ("sample.per_class", "9", "from 10 to 10000"),
    ("sample.trajectory_per_class", "11", "from 1 to 10"),
    ("evaluate.neighbours", "0", "from 1 to 100"),
    ("evaluate.bootstrap", "99", "from 100 to 100000"),
    ("evaluate.reference_blur_sigma", "0.0", "above 0, at most 10"),
    ("evaluate.reference_noise_sigma", "2.5", "above 0, at most 2"),
    ("evaluate.confidence", "1.0", "evaluate.confidence"),
    ("report.title", "''", "report.title"),
    ("report.author", '"two\\nlines"', "a printable line, or nothing"),
    ("variants", "{}", "at least one variant"),
    ("variants.course.network.channels", "[30, 64, 128]", "divisor"),
    ("variants.course.network.kind", "unet", "course_unet"),
    ("variants.course.network.channels", "[4, 64, 128]", "three numbers from 8 to 1024"),
    ("variants.course.network.group_size", "0", "a positive divisor"),
    ("variants.course.network.time_features", "2", "an even number from 4 to 1024"),
    ("variants.course.network.time_features", "33", "an even number from 4 to 1024"),
    ("variants.flagship.network.channels", "[16, 24]", "two multiples of 16"),
    ("variants.flagship.network.blocks", "[1, 9]", "two numbers from 1 to 8"),
    ("variants.flagship.network.heads", "5", "a divisor of channels[1]"),
    ("variants.flagship.network.embedding", "4", "from 8 to 4096"),
    ("variants.flagship.network.dropout", "1.0", "up to, not including, 1"),
    ("variants.course.process.beta_start", "0.5", "beta_end"),
    ("variants.course.process.beta_start", "0.0", "beta_start: got 0.0; expected a number between 0 and 1"),
    ("variants.course.process.schedule", "quadratic", "'linear', 'cosine' or 'sigmoid'"),
    ("variants.course.process.schedule", "cosine", "process.beta_start: got 0.0001; expected 0 with a cosine schedule"),
    ("variants.course.process.target", "noise", "'eps', 'x0' or 'v'"),
    ("variants.course.process.zero_terminal", "true", "target: got 'eps'; expected x0 or v with a schedule that ends"),
    ("variants.course.process.beta_end", "0.5", "target: got 'eps'; expected x0 or v with a schedule that ends in"),
    ("variants.course.process.times", "random", "'uniform' or 'stratified'"),
    ("variants.course.process.min_snr_gamma", "-1.0", "from 0 to 1000"),
    ("variants.flagship.process.density", "cosine", "log_sigma_mean: got -1.2; expected 0 with a cosine density"),
    ("variants.flagship.process.sigma_data", "0.0", "between 0 and 10"),
    ("variants.flagship.process.log_sigma_mean", "11.0", "from -10 to 10"),
    ("variants.flagship.process.log_sigma_std", "0.0", "between 0 and 10"),
    ("variants.flagship.process.min_snr_gamma", "2000.0", "from 0 to 1000"),
    ("variants.flagship.process.prior", "gaussian", "'isotropic' or 'mixture'"),
    ("variants.flagship.process.prior", "isotropic", "0 with an isotropic prior"),
    ("variants.flagship.process.components", "0", "from 1 to 100"),
    ("variants.flagship.process.rank", "241", "from 1 to subspace"),
    ("variants.flagship.process.subspace", "785", "from 1 to 784"),
    (
        "variants.flagship.network",
        "{kind: course_unet, channels: [8, 8, 8], group_size: 8, time_features: 8}",
        "isotropic with a course_unet",
    ),
    (
        "variants.course.network",
        "{kind: edm_unet, patch: 2, channels: [16, 16], blocks: [1, 1], heads: 0, embedding: 16, dropout: 0.0}",
        "network.kind: got 'edm_unet'; expected course_unet with a ddpm process",
    ),
    ("variants.course.process.steps", "1", "process.steps"),
    ("variants.course.sampling.steps", "0", "from 1 to 10000"),
    ("variants.course.sampling.steps", "101", "process.steps"),
    ("variants.course.sampling.eta", "0.5", "1 for the ddpm sampler"),
    ("variants.course.sampling.eta", "1.5", "from 0 to 1"),
    ("variants.course.sampling.guidance", "21.0", "from 0 to 20"),
    ("variants.course.sampling.guide", "early", "unlabelled with guidance 0 or 1"),
    ("variants.course.sampling.start", "mean", "'noise' or 'moments'"),
    ("variants.flagship.training.lr", "fast", "a number"),
    ("variants.flagship.training.lr", "0.0", "above 0, at most 1"),
    ("variants.flagship.training.batch", "0", "from 1 to 9999999"),
    ("variants.flagship.training.log_every", "0", "from 1 to 9999999"),
    ("variants.flagship.training.validate_every", "0", "from 1 to 9999999"),
    ("variants.flagship.training.checkpoint_every", "0", "from 1 to 9999999"),
    ("variants.flagship.training.snapshots", "2401", "at most the number of steps"),
    ("variants.flagship.training.grad_clip", "0.0", "above 0, at most 1000"),
    ("variants.flagship.training.muon_lr", "0.0", "muon"),
    ("variants.flagship.training.adam_betas", "[0.9, 1.0]", "two numbers"),
    ("variants.flagship.training.adam_betas", "[0.9]", "adam_betas"),
    ("variants.flagship.training.warmup_steps", "1000000", "training.warmup_steps: got 1000000"),
    ("variants.flagship.training.ema_lag", "0.6", "from 0 to 0.5"),
    ("variants.flagship.training.label_drop", "1.0", "label_drop"),
    ("variants.flagship.training.distil_steps", "2400", "up to, not including, steps - warmup_steps"),
    ("variants.flagship.training.distil_steps", "10", "distilled: got None; expected the sampler whose jump"),
    ("variants.flagship.sampling.jump_steps", "0", "from 1 to steps"),
    ("variants.flagship.sampling.jump_steps", "7", "from 1 to steps"),
    ("variants.flagship.sampling.jump_steps", "2", "training.distilled: got None; expected the settings of sampling"),
    ("variants.flagship.training.repeat", "-1", "repeat"),
    ("variants.flagship.sampling.sigma_min", "50.0", "sigma_max"),
    ("variants.flagship.sampling.steps", "0", "from 1 to 1000"),
    ("variants.flagship.sampling.churn", "-1.0", "from 0 to 1000"),
    ("variants.flagship.sampling.sigma_max", "1001.0", "at most 1000"),
    ("variants.flagship.sampling.mended_below", "0.05", "from sigma_min to 1000"),
    ("variants.flagship.sampling.rho", "0.5", "from 1 to 100"),
    ("variants.flagship.sampling.guidance", "-1.0", "from 0 to 20"),
    ("variants.flagship.sampling.guidance", "0.0", "sampling.start: got 'prior'; expected noise with guidance 0"),
    ("variants.flagship.sampling.guided_sigma", "[0.1, 1.0]", "[] with guidance 0 or 1"),
    (
        "variants.flagship.sampling",
        "{kind: ddpm, steps: 10, eta: 1.0, guidance: 1.0, guide: unlabelled, start: noise}",
        "another sampler with an edm process",
    ),
]

# (values by their dotted keys, what the message must name): each might stand, but not beside the others
JUMPING = {**CONTENT["variants"]["flagship"]["sampling"], "jump_steps": 2}
TAUGHT = {
    "variants.flagship.sampling": JUMPING,
    "variants.flagship.training.distilled": JUMPING,
    "variants.flagship.training.distil_steps": 100,
}
"""A flagship that is taught to jump."""


def taught(**changes: Any) -> dict[str, Any]:
    """The same, drawn and taught with other settings of its sampler."""
    sampler = {**JUMPING, **changes}
    return {**TAUGHT, "variants.flagship.sampling": sampler, "variants.flagship.training.distilled": sampler}


BAD_TOGETHER: list[tuple[dict[str, Any], str]] = [
    ({"variants.flagship.sampling": {"kind": "distilled"}}, "sampling.kind: got 'distilled'; expected "),
    (
        {**TAUGHT, "variants.flagship.sampling": {"kind": "distilled", "steps": 4}},
        "sampling.kind: got 'distilled'; expected ",
    ),
    ({**TAUGHT, "variants.flagship.training.distil_steps": 0}, "expected null without distil_steps"),
    ({**TAUGHT, "variants.flagship.sampling": {**JUMPING, "steps": 7}}, "expected the settings of sampling where that"),
    ({**TAUGHT, "variants.flagship.sampling": {**JUMPING, "jump_steps": 1}}, "and null where it does not"),
    (
        {**TAUGHT, "variants.flagship.training.distilled": {**JUMPING, "jump_steps": 1}},
        "distilled.jump_steps: got 1; expected above 1, since a jump is what is taught",
    ),
    (
        {**TAUGHT, "variants.flagship.training.distilled": {**JUMPING, "steps": 0}},
        "training.distilled.steps: got 0; expected a number from 1 to 1000",
    ),
    ({**TAUGHT, "variants.flagship.training.distilled": {**JUMPING, "pace": 1}}, "training.distilled.pace"),
    (taught(kind="heun"), "jump_steps: got 2; expected 1 with heun, which looks twice a step"),
    (taught(guidance=2.0), "guidance: got 2.0; expected 1 with a jump, which is an image and no answer"),
    (taught(mended_below=0.3), "mended_below: got 0.3; expected at least 0.361, or no step would ask"),
    ({"evaluate.neighbours": 60, "sweep.per_class": 6}, "fewer than the images of a sweep"),
    ({"variants.critic": CONTENT["variants"]["course"]}, "names other than critic and scorer"),
    ({"variants.flagship.title": "Course DDPM"}, "a title of its own"),
    ({"compute.compile": True, "variants.flagship.network.dropout": 0.1}, "0 with compute.compile"),
    (
        {"variants.flagship.sampling.start": "noise", "variants.flagship.sampling.sigma_max": 9.9},
        "sigma_max: got 9.9; expected at least 10 with start noise",
    ),
    (
        {
            "variants.flagship.process.sigma_data": 5.0,
            "variants.flagship.sampling.start": "noise",
            "variants.flagship.sampling.sigma_max": 40.0,
        },
        "sigma_max: got 40.0; expected at least 100 with start noise",
    ),
    (
        {"variants.flagship.process.sigma_data": 5.0},
        "noise_sigma_max: got 40.0; expected at least 100, 20 times sigma_data of variants.flagship",
    ),
    (
        {
            "sweep.noise_sigma_max": 12.0,
            "variants.flagship.sampling.sigma_min": 12.0,
            "variants.flagship.sampling.mended_below": 20.0,
        },
        "noise_sigma_max: got 12.0; expected above sampling.sigma_min of variants.flagship",
    ),
    (
        {"variants.course.process.schedule": "cosine", "variants.course.process.beta_start": 0.0},
        "process.beta_end: got 0.02; expected 0 with a cosine schedule",
    ),
    (
        {
            "variants.course.process.zero_terminal": True,
            "variants.course.process.target": "v",
            "variants.course.process.min_snr_gamma": 5.0,
        },
        "process.min_snr_gamma: got 5.0; expected 0 with zero_terminal",
    ),
    (
        {"variants.flagship.process.density": "cosine", "variants.flagship.process.log_sigma_mean": 0.0},
        "process.log_sigma_std: got 1.0; expected 0 with a cosine density",
    ),
    (
        {"variants.course.sampling.start": "moments", "variants.course.sampling.guidance": 0.0},
        "sampling.start: got 'moments'; expected noise with guidance 0",
    ),
    (
        {"variants.flagship.sampling.guidance": 2.0, "variants.flagship.sampling.guided_sigma": [1.0]},
        "sampling.guided_sigma: got [1.0]; expected [], or two rising numbers",
    ),
]


def changed(values: dict[str, Any]) -> dict[str, Any]:
    """The content of params.yaml with other values at dotted keys."""
    content = copy.deepcopy(CONTENT)
    for key, value in values.items():
        *parents, last = key.split(".")
        here: Any = content
        for name in parents:
            here = here[name]
        here[last] = value
    return content


def with_value(key: str, text: str, path: Path) -> Path:
    """Write params.yaml, as JSON for speed, with one value replaced by literal YAML text."""
    path.write_text(json.dumps(changed({key: "PLACEHOLDER"})).replace('"PLACEHOLDER"', text))
    return path


@pytest.mark.parametrize(("key", "text", "named"), BAD_VALUES)
def test_a_bad_value_is_one_line_that_names_it(key: str, text: str, named: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_params(with_value(key, text, tmp_path / "params.yaml"))
    message = str(caught.value)
    assert named in message
    assert "\n" not in message
    assert key.partition(".")[0] in message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("values", "named"), BAD_TOGETHER)
def test_values_that_do_not_fit_together_are_one_line_too(values: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_params(changed(values), "params.yaml")
    message = str(caught.value)
    assert named in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "modules", [(models.spec, models.sampler_spec, models.training_spec), (tasks.params,)], ids=["specs", "params"]
)
def test_every_requirement_is_failed_by_one_of_these_values(
    modules: tuple[ModuleType, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that no new one comes without its case."""
    failed: set[tuple[str, int]] = set()

    def noting(condition: bool, key: str, expected: str) -> None:
        if not condition:
            caller = sys._getframe(1)
            failed.add((caller.f_globals["__name__"], caller.f_lineno))
        require(condition, key, expected)

    for module in modules:
        monkeypatch.setattr(module, "require", noting)
    whole, reader = TypeAdapter(Params), YAML(typ="safe", pure=True)
    wrong = [{key: reader.load(text)} for key, text, _ in BAD_VALUES] + [values for values, _ in BAD_TOGETHER]
    for values in wrong:
        with contextlib.suppress(ValidationError):
            whole.validate_json(json.dumps(changed(values)))
    required = [(module.__name__, call) for module in modules for call in requirements(module)]
    assert len(required) > 30
    unmet = [
        call
        for name, call in required
        if failed.isdisjoint((name, line) for line in range(call.lineno, (call.end_lineno or 0) + 1))
    ]
    assert [ast.unparse(call) for call in unmet] == []


def requirements(module: ModuleType) -> list[ast.Call]:
    """The calls of ``require`` in a module."""
    calls = [node for node in ast.walk(ast.parse(inspect.getsource(module))) if isinstance(node, ast.Call)]
    return [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "require"]


@pytest.mark.parametrize("key", ["seed", "compute.device", "variants.course.training.batch", "report.gate"])
def test_a_missing_key_is_named(key: str) -> None:
    content = copy.deepcopy(CONTENT)
    *parents, last = key.split(".")
    here: Any = content
    for name in parents:
        here = here[name]
    del here[last]
    with pytest.raises(ConfigError, match=f"{key}: is missing"):
        parse_params(content, "params.yaml")


def test_an_unknown_key_is_named_with_its_nearest_neighbour() -> None:
    content = copy.deepcopy(CONTENT)
    content["variants"]["course"]["training"]["bach"] = content["variants"]["course"]["training"].pop("batch")
    with pytest.raises(ConfigError, match=r"variants\.course\.training\.bach: is not a known key; expected `batch`"):
        parse_params(content, "params.yaml")


BROKEN_FILES = {
    "duplicate": ("seed: 1\nseed: 2\n", "duplicate key"),
    "list": ("- 1\n- 2\n", "is not a mapping"),
    "empty": ("", "is not a mapping"),
    "syntax": ("seed: [1\n", "valid YAML"),
    "open": ("seed: 1\na: 'b\nc: 2\n", r"\(lines 2 to 4\)"),
    "alias": ("a: &x [1]\nb: *x\n", "anchor"),
    "tag": ("a: !!python/object/apply:os.system [id]\n", "tag"),
    "deep": ("a: " + "[" * 5000 + "]" * 5000, "params.yaml"),
    "huge": ("a: " + "x" * LARGEST_BYTES, "larger"),
}


@pytest.mark.parametrize("name", BROKEN_FILES)
def test_a_broken_file_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    text, expected = BROKEN_FILES[name]
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=expected) as caught:
        load_params(path)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(b"seed: \xff\xfe\n")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_params(path)


def test_a_missing_file_is_a_missing_resource(tmp_path: Path) -> None:
    with pytest.raises(MissingResourceError) as caught:
        load_params(tmp_path / "params.yaml")
    assert caught.value.exit_code == 4


def test_parameters_are_frozen() -> None:
    params = load_params(PARAMS)
    with pytest.raises(dataclasses.FrozenInstanceError):
        params.seed = 1  # type: ignore[misc]


@pytest.mark.parametrize("profile", sorted(path.stem for path in (ROOT / "profiles").glob("*.yaml")))
def test_every_profile_is_valid_and_changes_something(profile: str) -> None:
    assert load_params(PARAMS, ROOT / "profiles" / f"{profile}.yaml") != load_params(PARAMS)


def test_a_wrong_value_is_looked_for_in_the_file_that_has_it(tmp_path: Path) -> None:
    profile = tmp_path / "profile.yaml"
    profile.write_text("sample: {batch: 7}\n")
    wrong = with_value("seed", "-1", tmp_path / "params.yaml")
    with pytest.raises(ConfigError, match=r"params\.yaml"):
        load_params(wrong, profile)
    profile.write_text("seed: -1\n")
    with pytest.raises(ConfigError, match=r"profile\.yaml"):
        load_params(PARAMS, profile)


def test_a_profile_cannot_invent_keys() -> None:
    with pytest.raises(ConfigError, match=r"compute\.thread: is not a known key; expected `threads`"):
        overlay({"compute": {"threads": 2}}, {"compute": {"thread": 4}}, "profiles/x.yaml")


def test_a_profile_replaces_a_mapping_of_another_kind_whole() -> None:
    base = {"network": {"kind": "a", "width": 1}}
    assert overlay(base, {"network": {"kind": "b", "depth": 2}}, "p") == {"network": {"kind": "b", "depth": 2}}
    assert overlay(base, {"network": {"width": 2}}, "p") == {"network": {"kind": "a", "width": 2}}


def test_a_profile_adds_variants_that_are_like_others_but_for_what_they_say() -> None:
    changes = {
        "seed": 5,
        "variants": {
            "course": {"training": {"steps": 7}},
            "mended": {"like": "course", "title": "Mended", "process": {"zero_terminal": True, "target": "v"}},
            "again": {"like": "mended", "title": "Again", "training": {"batch": 3}},
        },
    }
    found = parse_params(with_profile(CONTENT, changes, "profiles/x.yaml"), "x")
    assert list(found.variants) == ["course", "flagship", "mended", "again"]
    course, mended, again = (found.variants[name] for name in ("course", "mended", "again"))
    assert (found.seed, course.training.steps) == (5, 7)
    assert mended == replace(course, title="Mended", process=replace(course.process, zero_terminal=True, target="v"))
    assert again == replace(mended, title="Again", training=replace(course.training, batch=3))
    assert "mended" not in CONTENT["variants"]


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        (
            {"like": "corse", "title": "Other"},
            r"x\.yaml: variants\.other\.like: got 'corse'; expected one of course, fl",
        ),
        ({"like": "course", "titel": "Other"}, r"variants\.other\.titel: is not a known key; expected `title`"),
        ({"title": "Other"}, r"variants\.other: is not a known key"),
        (7, r"variants\.other: is not a known key"),
    ],
)
def test_a_new_variant_that_cannot_be_made_is_refused(variant: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        with_profile(CONTENT, {"variants": {"other": variant}}, "x.yaml")


def test_a_list_that_is_too_short_is_no_key_to_suggest() -> None:
    content = copy.deepcopy(CONTENT)
    content["variants"]["flagship"]["network"]["kind"] = "course_unet"
    with pytest.raises(ConfigError, match="expected one of channels, group_size, kind, time_features; do correct"):
        parse_params(content, "params.yaml")


@pytest.mark.parametrize("name", ["critic", "scorer"])
def test_a_variant_must_not_take_a_judges_folder(name: str) -> None:
    content = copy.deepcopy(CONTENT)
    content["variants"][name] = content["variants"]["course"]
    with pytest.raises(ConfigError, match="names other than critic and scorer"):
        parse_params(content, "params.yaml")


def test_more_neighbours_than_images_are_refused_before_anything_is_trained() -> None:
    content = copy.deepcopy(CONTENT)
    content["sweep"]["per_class"] = 10
    content["evaluate"]["neighbours"] = 100
    expected = (
        r"evaluate\.neighbours: got 100; expected fewer than the images of a sweep, 10 \* sweep\.per_class = 100;"
    )
    with pytest.raises(ConfigError, match=expected):
        parse_params(content, "params.yaml")
    content["evaluate"]["neighbours"] = 99
    assert parse_params(content, "params.yaml").evaluate.neighbours == 99


def test_two_variants_must_not_share_a_title() -> None:
    content = copy.deepcopy(CONTENT)
    content["variants"]["copy"] = copy.deepcopy(content["variants"]["course"])
    with pytest.raises(ConfigError) as caught:
        parse_params(content, "params.yaml")
    assert str(caught.value) == (
        "params.yaml: variants.copy.title: got 'Course DDPM'; "
        "expected a title of its own, since variants.course has this one; do correct the value"
    )
    content["variants"]["copy"]["title"] = "Course DDPM, copied"
    assert list(parse_params(content, "params.yaml").variants) == ["course", "flagship", "copy"]


def test_students_of_the_full_profile_keep_their_sampler_whatever_the_flagship_takes() -> None:
    read = YAML(typ="safe", pure=True).load
    changes = read(Path("profiles/full.yaml"))
    plain, other = (
        parse_params(with_profile(changed(values), changes, "full"), "full").variants
        for values in ({}, {"variants.flagship.sampling.steps": 4})
    )
    assert other["flagship_narrow"].sampling.steps == 4
    for name in ("flagship_student", "flagship_leap"):
        assert other[name] == plain[name]
        assert plain[name].sampling.jumps


def test_a_model_may_be_taught_to_jump() -> None:
    flagship = parse_params(changed(TAUGHT), "params.yaml").variants["flagship"]
    assert flagship.training.distilled == flagship.sampling
    assert flagship.sampling.jumps
    referring = {**TAUGHT, "variants.flagship.sampling": {"kind": "distilled"}}
    assert parse_params(changed(referring), "params.yaml").variants["flagship"] == flagship


@pytest.mark.parametrize(
    ("group", "values", "message"),
    [
        (
            "process",
            {"zero_terminal": True, "target": "v"},
            r"variants\.course\.sampling\.start: got 'moments'; expected noise with process\.zero_terminal",
        ),
        ("sampling", {"guidance": 0.0}, r"variants\.course\.sampling\.start: .* noise with guidance 0"),
    ],
)
def test_a_start_from_moments_is_refused_where_there_are_none_or_no_class_may_be_told(
    group: str, values: dict[str, object], message: str
) -> None:
    content = copy.deepcopy(CONTENT)
    course = content["variants"]["course"]
    course["sampling"]["start"] = "moments"
    parse_params(content, "params.yaml")
    course[group].update(values)
    with pytest.raises(ConfigError, match=message):
        parse_params(content, "params.yaml")


def test_an_isotropic_prior_draws_no_start_and_is_mended_at_all_noise_levels() -> None:
    content = copy.deepcopy(CONTENT)
    flagship = content["variants"]["flagship"]
    flagship["process"].update(prior="isotropic", components=0, rank=0, subspace=0)
    with pytest.raises(ConfigError, match=r"flagship\.sampling\.start: got 'prior'; expected noise with an isotropic"):
        parse_params(content, "params.yaml")
    flagship["sampling"].update(start="noise", sigma_max=10.0)
    with pytest.raises(ConfigError, match=r"flagship\.sampling\.mended_below: .* at least sigma_max with an isotropic"):
        parse_params(content, "params.yaml")
    flagship["sampling"]["mended_below"] = flagship["sampling"]["sigma_max"]
    parse_params(content, "params.yaml")


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_a_sampler_of_which_no_step_would_ask_the_network_is_refused(guidance: float) -> None:
    """A single step visits sigma_max alone; where guidance acts is not to blame."""
    content = copy.deepcopy(CONTENT)
    sampling = content["variants"]["flagship"]["sampling"]
    sampling.update(steps=1, sigma_max=3.1, guidance=guidance)
    with pytest.raises(ConfigError, match=r"mended_below: got 3\.0; expected at least 3\.1, or no step would ask"):
        parse_params(content, "params.yaml")
    sampling["sigma_max"] = 3.0
    parse_params(content, "params.yaml")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"guide": "early"}, r"sampling\.guide: .* unlabelled with guidance 0 or 1"),
        ({"guided_sigma": [0.1, 1.0]}, r"sampling\.guided_sigma: .* \[\] with guidance 0 or 1"),
        ({"guidance": 2.0, "guided_sigma": [1.0]}, r"sampling\.guided_sigma: .* \[\], or two rising numbers"),
        ({"guidance": 2.0, "guided_sigma": [1.0, 0.5]}, r"sampling\.guided_sigma: .* \[\], or two rising numbers"),
        (
            {"guidance": 2.0, "guided_sigma": [4.0, 9.0]},
            r"sampling\.guided_sigma: .* an interval with one of the levels at which the network is asked: 1\.25, .*",
        ),
        ({"mended_below": 0.05}, r"sampling\.mended_below: .* from sigma_min to 1000"),
    ],
)
def test_guidance_that_cannot_act_as_described_is_refused(values: dict[str, object], message: str) -> None:
    content = copy.deepcopy(CONTENT)
    content["variants"]["flagship"]["sampling"].update(values)
    with pytest.raises(ConfigError, match=rf"variants\.flagship\.{message}"):
        parse_params(content, "params.yaml")


@pytest.mark.parametrize("guidance", [0.0, 2.0])
def test_a_model_that_never_missed_the_class_cannot_guide_without_it(guidance: float) -> None:
    content = copy.deepcopy(CONTENT)
    course = content["variants"]["course"]
    course["sampling"]["guidance"] = guidance
    parse_params(content, "params.yaml")
    course["training"]["label_drop"] = 0.0
    with pytest.raises(ConfigError, match=r"course\.training\.label_drop: got 0\.0; expected above 0 with guidance"):
        parse_params(content, "params.yaml")
    course["sampling"].update(guidance=2.0, guide="early")
    parse_params(content, "params.yaml")


def test_dropout_is_refused_where_kernels_are_compiled() -> None:
    content = copy.deepcopy(CONTENT)
    content["variants"]["flagship"]["network"]["dropout"] = 0.1
    parse_params(content, "params.yaml")
    content["compute"]["compile"] = True
    with pytest.raises(ConfigError, match=r"flagship\.network\.dropout: got 0\.1; expected 0 with compute\.compile"):
        parse_params(content, "params.yaml")


def test_an_early_state_must_have_been_kept() -> None:
    content = copy.deepcopy(CONTENT)
    flagship = content["variants"]["flagship"]
    flagship["sampling"].update(guidance=2.0, guide="early")
    parse_params(content, "params.yaml")
    flagship["training"]["snapshots"] = 1
    with pytest.raises(ConfigError, match=r"flagship\.training\.snapshots: got 1; expected above 1 with sampling"):
        parse_params(content, "params.yaml")


@pytest.mark.parametrize("scales", [[], [1.0], [2.0, 2.0], [0.5]])
def test_scales_of_the_sweep_are_different_and_none_is_no_guidance(scales: list[float]) -> None:
    content = copy.deepcopy(CONTENT)
    content["sweep"]["guidance"]["scales"] = scales
    with pytest.raises(ConfigError, match=r"sweep\.guidance\.scales: .* different numbers above 1"):
        parse_params(content, "params.yaml")


def test_an_unknown_profile_is_refused_with_the_known_ones(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["nosuch"]) == 2
    assert capsys.readouterr().err == (
        "error: --profile: got 'nosuch'; expected one of demo, full, gpu; do correct the name\n"
    )


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(ConfigError, match="one of course, flagship"):
        load_params(PARAMS).variant("flagshp")


def test_configuration_is_read_without_torch() -> None:
    code = "import sys, tasks.config; tasks.config.load_params(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_the_command_line_check_reports_like_a_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with_value("seed", "-1", tmp_path / "params.yaml")
    assert main([]) == 2
    assert capsys.readouterr().err == (
        "error: params.yaml: seed: got -1; expected a number from 0 to 2147483647; do correct the value\n"
    )


def test_an_error_is_always_one_line() -> None:
    assert str(PipelineError("file", "two\nlines", "1", "join\tthem")) == "file: two lines; expected 1; do join them"
