"""`dvc.yaml` says what each stage is made from: exactly the code it uses, and exactly the parameters it reads."""

import ast
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tasks.config import PARAMS, load_params
from tasks.params import Report
from tasks.records import RECORDED, VARIANT_STAGES
from tasks.variants import Variant

ROOT = Path(__file__).parents[2]
STAGES: dict[str, dict[str, Any]] = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
# Modules that decide how a stage is run, watched, checked or reported, but not what it makes.
WITHOUT_EFFECT = {
    "flows/artifacts.py",
    "flows/environment.py",
    "flows/mirror.py",
    "flows/observed.py",
    "flows/stage.py",
    "tasks/allocator.py",
    "tasks/config.py",
    "tasks/config_errors.py",
    "tasks/errors.py",
    "tasks/lineage.py",
    "tasks/live_tracking.py",
    "tasks/locked_build.py",
    "tasks/locks.py",
    "tasks/metrics.py",
    "tasks/params.py",
    "tasks/paths.py",
    "tasks/printable.py",
    "tasks/progress.py",
    "tasks/records.py",
    "tasks/resume_state.py",
    "tasks/run_params.py",
    "tasks/signals.py",
    "tasks/strict_yaml.py",
    "tasks/tracking.py",
    "tasks/tracking_place.py",
    "tasks/variants.py",
}
NOT_STAGES = {
    "dvc",
    "dvc_cache",
    "interruptions",
    "leftovers",
    "pipeline",
    "reconcile",
    "repro",
    "services",
    "temporary_server",
    "workspace",
}
CODE = ("flows/", "tasks/", "models/")


def imports(path: Path) -> set[Path]:
    """The project's modules that a module imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        found |= {file for name in names for file in files_of(name)}
    return found


def files_of(name: str) -> list[Path]:
    base = ROOT.joinpath(*name.split("."))
    return [path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()]


def closure(stage: str) -> set[str]:
    """The modules that can change what a stage makes."""
    seen: set[Path] = set()
    waiting = {ROOT / "flows" / f"{stage}.py"}
    while waiting:
        path = waiting.pop()
        seen.add(path)
        if str(path.relative_to(ROOT)) not in WITHOUT_EFFECT:
            waiting |= imports(path) - seen
    names = {str(path.relative_to(ROOT)) for path in seen if path.name != "__init__.py" or len(code(path)) > 0}
    return names - WITHOUT_EFFECT


def code(path: Path) -> list[ast.stmt]:
    """The statements of a module beside its docstring."""
    return [node for node in ast.parse(path.read_text()).body if not isinstance(node, ast.Expr)]


def params_read(stage: str) -> set[str]:
    """The groups that a stage takes out of ``params``, in its function or where it reads the file again."""
    texts = [(ROOT / name).read_text() for name in closure(stage)]
    return {group for text in texts if "load_params" in text for group in attributes_of_params(text)}


def attributes_of_params(text: str) -> set[str]:
    """Groups by their name in the file: one of ``variants`` is also asked for as ``params.variant(name)``."""
    return {"variants" if name == "variant" else name for name in attributes_of("params", text)}


def attributes_of(name: str, text: str) -> set[str]:
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)]
    return {node.attr for node in nodes if isinstance(node.value, ast.Name) and node.value.id == name}


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_code_dependencies_are_the_import_closure(stage: str) -> None:
    declared = {str(path) for path in STAGES[stage]["deps"] if str(path).startswith(CODE)}
    wanted = closure(stage)
    assert declared == wanted, f"missing {sorted(wanted - declared)}, needless {sorted(declared - wanted)}"


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_parameters_are_those_that_are_read(stage: str) -> None:
    declared = {str(group).partition(".")[0] for group in STAGES[stage]["params"]}
    assert declared == params_read(stage)


READ_IN_PART = [("evaluate", stage) for stage in ("critic", "scorer", "score", "evaluate", "sweep", "figures")]
READ_IN_PART += [("sample", "references")]
READ_IN_PART += [("compute", stage) for stage in ("critic", "scorer", "references", "score", "evaluate")]


@pytest.mark.parametrize(("group", "stage"), READ_IN_PART)
def test_single_keys_of_a_group_are_those_that_are_read(group: str, stage: str) -> None:
    prefix = f"{group}."
    declared = {key.removeprefix(prefix) for key in map(str, STAGES[stage]["params"]) if key.startswith(prefix)}
    assert declared == {key for name in closure(stage) for key in attributes_of(group, (ROOT / name).read_text())}


@pytest.mark.parametrize("stage", sorted(name for name, stage in STAGES.items() if "matrix" in stage))
def test_settings_of_a_variant_are_those_that_are_read(stage: str) -> None:
    """Each stage of a variant names the parts of its description that it looks at, so that no other part reruns it."""
    settings = {field.name for field in fields(Variant)}
    prefix = "variants.${item.variant}."
    declared = {key.removeprefix(prefix) for key in map(str, STAGES[stage]["params"]) if key.startswith("variants")}
    read = {key for name in closure(stage) for key in attributes_of("spec", (ROOT / name).read_text())}
    assert declared == read & settings


def test_neither_a_sampler_nor_a_title_makes_training_run_again() -> None:
    parts = {str(key).rpartition(".")[2] for key in STAGES["train"]["params"] if str(key).startswith("variants")}
    assert parts == {"network", "process", "training"}
    progress = "artifacts/${item.variant}/progress.npz"
    assert progress in STAGES["sample"]["outs"]
    assert progress not in STAGES["train"]["outs"]


USERS_OF_CLIP = sorted(name for name, stage in STAGES.items() if "tasks/scorer_artifact.py" in stage["deps"])


def test_what_the_report_asks_of_the_scorer_makes_nothing_else_run_again() -> None:
    users = [name for name, stage in STAGES.items() if any(str(key).startswith("report") for key in stage["params"])]
    assert users == ["report"]
    assert "gate" in {field.name for field in fields(Report)}


def test_every_stage_that_may_load_a_folders_model_depends_on_that_folder() -> None:
    """DVC refuses a dependency that is missing, so the folder that ``params.yaml`` names comes with the project."""
    assert USERS_OF_CLIP == ["references", "score", "scorer"]
    assert all("${scorer.folder}" in STAGES[stage]["deps"] for stage in USERS_OF_CLIP)
    assert (ROOT / load_params(ROOT / PARAMS).scorer.folder).is_dir()


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_a_stage_is_described_and_runs_its_module(stage: str) -> None:
    definition = STAGES[stage]
    variant = " ${item.variant}" if "matrix" in definition else ""
    assert definition["desc"]
    assert definition["cmd"] == f"python -m flows.{stage}{variant}"


def test_every_stage_module_is_a_stage() -> None:
    modules = {path.stem for path in (ROOT / "flows").glob("*.py")} - {"__init__"}
    helpers = {Path(name).stem for name in WITHOUT_EFFECT if name.startswith("flows/")}
    assert modules - helpers - NOT_STAGES == set(STAGES)


def test_variants_stand_in_the_parameters_alone() -> None:
    definitions = [definition for definition in STAGES.values() if "matrix" in definition]
    assert len(definitions) == 5
    assert all(definition["matrix"] == {"variant": "${variants}"} for definition in definitions)


GENERATED = ("data/", "artifacts/", "reports/")


def outputs(stage: str) -> set[str]:
    """The paths that a stage makes."""
    entries = [entry for kind in ("outs", "metrics", "plots") for entry in STAGES[stage].get(kind) or ()]
    return {path for entry in entries for path in ([entry] if isinstance(entry, str) else entry)}


ALL_OUTPUTS = {path for stage in STAGES for path in outputs(stage)}


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_what_a_stage_needs_another_one_makes(stage: str) -> None:
    """A file that only happens to lie there is gone once the stage that wrote it comes from DVC's cache."""
    needed = {str(path) for path in STAGES[stage]["deps"] if str(path).startswith(GENERATED)}
    unmade = {path for path in needed if not any(f"{made}/".startswith(f"{path}/") for made in ALL_OUTPUTS)}
    assert not unmade


@pytest.mark.parametrize("stage", sorted(set(STAGES) - {"figures", "report"}))
def test_a_stage_hands_its_metrics_to_dvc(stage: str) -> None:
    variant = "/${item.variant}" if "matrix" in STAGES[stage] else ""
    assert STAGES[stage]["metrics"] == [f"reports/metrics/{stage}{variant}.json"]


WITHOUT_RECORD = {"fetch", "prepare"}
"""Stages whose metrics describe the data, which every run names by its hash."""


def test_mlflow_is_told_of_every_stage_that_measures() -> None:
    measuring = {stage for stage in STAGES if STAGES[stage].get("metrics")}
    assert measuring - WITHOUT_RECORD == set(RECORDED)
    assert measuring >= WITHOUT_RECORD


def test_what_belongs_to_a_variant_is_recorded_with_it() -> None:
    assert set(VARIANT_STAGES) == {stage for stage in RECORDED if "matrix" in STAGES[stage]}


def test_modules_without_effect_exist() -> None:
    assert all((ROOT / name).is_file() for name in WITHOUT_EFFECT)


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_whatever_computes_depends_on_the_versions_of_the_libraries(stage: str) -> None:
    """Otherwise results of old and new releases would stand side by side in one report."""
    computes = any(name.startswith("models/") for name in closure(stage))
    assert ("requirements/runtime.lock" in STAGES[stage]["deps"]) == computes
    assert computes == (stage not in ("fetch", "prepare"))
