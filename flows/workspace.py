"""Where a build happens: the project itself, or a profile's own copy of it under ``builds/<profile>``.

A profile's workspace holds the working tree's files, the parameters with the profile laid over them, and a DVC
repository of its own that shares the project's cache. What did not change is not written, so nothing reruns for it.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import SafeRepresenter

from tasks.config import PARAMS, parse_params, profile_file, with_profile
from tasks.errors import MissingResourceError
from tasks.paths import WORKSPACE_MARK, project_root
from tasks.strict_yaml import AMBIGUOUS, read_mapping

BUILDS = Path("builds")
OWN = (PARAMS, Path("dvc.lock"), WORKSPACE_MARK)
"""Files that a workspace has for itself."""
NOT_COPIED = (".git", ".dvc", ".venv", ".work", ".prefect", "artifacts", "builds", "data", "mlartifacts", "reports")


def prepare_workspace(profile: str | None) -> Path:
    """Lay out, or bring up to date, the folder in which to build.

    Args:
        profile: name of a file in ``profiles/``, or None for the project itself.

    Returns:
        The workspace's absolute path.

    Raises:
        ConfigError: there is no such profile, or the parameters are wrong.
    """
    root = project_root()
    if profile is None:
        return root
    content = profile_params(root, profile)
    from tasks.files import write_json

    workspace = root / BUILDS / profile
    files = [path for path in project_files(root) if path not in OWN and path.parts[0] not in NOT_COPIED]
    for path in _vanished(workspace, files):
        (workspace / path).unlink(missing_ok=True)
    for path in files:
        _copy_if_changed(root / path, workspace / path)
    _write_if_changed(workspace / PARAMS, f"# Made from params.yaml and profiles/{profile}.yaml\n{_as_yaml(content)}")
    _write_if_changed(workspace / ".dvc" / "config", _dvc_config(root))
    (workspace / ".dvc" / "tmp").mkdir(exist_ok=True)
    mark = {"project": str(root), "profile": profile, "files": [str(path) for path in files]}
    write_json(workspace / WORKSPACE_MARK, mark)
    return workspace


def built_workspace(profile: str) -> Path:
    """The folder in which a profile was built, as it is.

    Raises:
        ConfigError: there is no such profile.
        MissingResourceError: it has not been built.
    """
    root = project_root()
    profile_file(profile, root)
    workspace = root / BUILDS / profile
    if not (workspace / WORKSPACE_MARK).is_file():
        build = f"run python -m flows.pipeline --profile {profile}"
        raise MissingResourceError(str(BUILDS / profile), "is missing", "the build of this profile", build)
    return workspace


def profile_params(root: Path, profile: str) -> dict[str, Any]:
    """The project's parameters with a profile laid over them and its folders made absolute.

    Raises:
        ConfigError: there is no such profile, or the parameters are wrong.
    """
    overlaid = profile_file(profile, root)
    name = str(overlaid.relative_to(root))
    content = with_profile(read_mapping(root / PARAMS), read_mapping(overlaid), name)
    parse_params(content, name)
    content["data"] = {**content["data"], "folders": [_absolute(root, item) for item in content["data"]["folders"]]}
    content["scorer"] = {**content["scorer"], "folder": _absolute(root, content["scorer"]["folder"])}
    return content


def project_files(root: Path) -> list[Path]:
    """The files of the working tree, relative to it: those that git knows or would add, else all but generated ones."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, cwd=root, capture_output=True, check=True).stdout.decode().split("\0")
        found = [Path(name) for name in listed if name]
    except (OSError, subprocess.CalledProcessError):
        found = list(_walk(root))
    return sorted({path for path in found if (root / path).is_file()})


def _walk(root: Path) -> Iterable[Path]:
    for folder, folders, names in os.walk(root):
        here = Path(folder).relative_to(root)
        hidden = NOT_COPIED if here == Path() else ()
        folders[:] = [name for name in folders if name not in hidden and not name.endswith(("__pycache__", "_cache"))]
        yield from (here / name for name in names)


def _absolute(root: Path, folder: str) -> str:
    """A folder of the parameters as seen from anywhere; what begins with a variable is left for the shell's value."""
    return folder if not folder or folder.startswith("$") else str((root / folder).resolve())


def _vanished(workspace: Path, files: list[Path]) -> set[Path]:
    mark = workspace / WORKSPACE_MARK
    before = json.loads(mark.read_bytes()).get("files", []) if mark.is_file() else []
    return {Path(name) for name in before} - set(files)


def _copy_if_changed(source: Path, target: Path) -> None:
    from tasks.files import write_atomically

    if not target.is_file() or target.stat().st_size != source.stat().st_size or _differ(source, target):
        write_atomically(target, lambda temporary: _copy(source, temporary))
        shutil.copymode(source, target)


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)


def _differ(left: Path, right: Path) -> bool:
    return left.read_bytes() != right.read_bytes()


def _write_if_changed(path: Path, text: str) -> None:
    from tasks.files import write_text

    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


def _dvc_config(root: Path) -> str:
    return f"""[core]
    analytics = false
    check_update = false
    no_scm = true
    site_cache_dir = .work/dvc
[cache]
    dir = {root / ".dvc" / "cache"}
"""


class _PlainRepresenter(SafeRepresenter):
    """Quotes texts that some YAML reader would take for something else."""

    def represent_str(self, data: str) -> ScalarNode:
        style = '"' if AMBIGUOUS.fullmatch(data) else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_PlainRepresenter.add_representer(str, _PlainRepresenter.represent_str)


def _as_yaml(content: dict[str, Any]) -> str:
    from io import StringIO

    writer: Any = YAML(typ="safe", pure=True)
    writer.Representer = _PlainRepresenter
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False
    text = StringIO()
    writer.dump(content, text)
    return text.getvalue()
