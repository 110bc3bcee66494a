"""The layers point one way, and each outside tool has one door."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(path for top in ("models", "tasks", "flows") for path in (ROOT / top).rglob("*.py"))
ALLOWED = {"models": {"models"}, "tasks": {"models", "tasks"}, "flows": {"models", "tasks", "flows"}}
DOORS = {"mlflow": {"tasks/tracking.py"}, "open_clip": {"tasks/clip_encoder.py"}}
MODELS_MAY_IMPORT = {"torch", "models"}


def imported(path: Path, top_level_only: bool = False) -> set[str]:
    """Top names of the packages that a module imports."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else list(ast.walk(tree))
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
    import sys

    for path in (path for path in MODULES if path.relative_to(ROOT).parts[0] == "models"):
        assert imported(path) <= MODELS_MAY_IMPORT | set(sys.stdlib_module_names), path


def test_stages_load_neither_torch_nor_prefect_before_they_have_read_the_parameters() -> None:
    slow = {"torch", "prefect", "mlflow", "numpy", "pandas", "matplotlib"}
    reachable = {"flows/stage.py", "flows/artifacts.py", "flows/environment.py", "tasks/config.py", "models/spec.py"}
    stages = {path for path in MODULES if path.parent.name == "flows" and path.name != "pipeline.py"}
    for path in stages | {ROOT / name for name in reachable}:
        if path.name not in ("workspace.py",):
            assert not imported(path, top_level_only=True) & slow, path
