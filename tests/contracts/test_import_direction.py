"""The layers point one way, and each outside tool has one door."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(path for top in ("models", "tasks", "flows") for path in (ROOT / top).rglob("*.py"))
ALLOWED = {"models": {"models"}, "tasks": {"models", "tasks"}, "flows": {"models", "tasks", "flows"}}
DOORS = {"mlflow": {"tasks/tracking.py"}, "open_clip": {"tasks/clip_encoder.py"}}
MODELS_MAY_IMPORT = {"torch", "models"}
SLOW = {"torch", "prefect", "mlflow", "numpy", "pandas", "matplotlib"}
PREFECTS_OWN = {"pipeline": {"prefect"}}
"""The module that holds a flow for Prefect to deploy, which only Prefect can make."""

COMPUTE = """
from tasks.params import Compute
from tasks.reproducibility import prepare_compute
prepare_compute(Compute(device="cpu", threads=1, precision="float32", compile=False))
""".strip().replace("\n", "; ")


def imported(path: Path) -> set[str]:
    """Top names of the packages that a module imports."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_layers_point_one_way(path: Path) -> None:
    layer = path.relative_to(ROOT).parts[0]
    assert imported(path) & set(ALLOWED) <= ALLOWED[layer]


@pytest.mark.parametrize("tool", sorted(DOORS))
def test_a_tool_is_imported_through_its_one_door(tool: str) -> None:
    users = {str(path.relative_to(ROOT)) for path in MODULES if tool in imported(path)}
    assert users == DOORS[tool]


def test_models_know_torch_and_the_standard_library_alone() -> None:
    for path in (path for path in MODULES if path.relative_to(ROOT).parts[0] == "models"):
        assert imported(path) <= MODELS_MAY_IMPORT | set(sys.stdlib_module_names), path


@pytest.mark.parametrize("module", sorted(path.stem for path in MODULES if path.parent == ROOT / "flows"))
def test_nothing_slow_is_loaded_with_a_flows_module(module: str) -> None:
    """A mistake in the parameters is told in milliseconds, so what the work needs is imported after they were read."""
    report = f"import sys, flows.{module}; print(*sorted({SLOW} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", report], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == PREFECTS_OWN.get(module, set())


@pytest.mark.parametrize("work", ["import tasks.fetch, tasks.prepare", COMPUTE])
def test_stages_load_no_more_than_their_work_needs(work: str) -> None:
    """Neither torch where nothing is computed with it, nor torch's compiler where nothing is compiled."""
    unwanted = {"torch._dynamo", "torch._inductor"} | (set() if work == COMPUTE else {"torch", "pandas"})
    report = f"import sys; {work}; print(*sorted({unwanted} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", report], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
