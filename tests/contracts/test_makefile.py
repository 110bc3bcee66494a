"""What `make clean` takes and what it leaves."""

import shutil
import subprocess
from pathlib import Path

from tasks.files import write_text
from tasks.paths import WORK
from tasks.precision import CHOICE

ROOT = Path(__file__).parents[2]
GENERATED = ("data/raw/a", "data/prepared/b", "artifacts/course/c", "reports/d", "builds/demo/.work/precision.json")
STATE = (".work/course/0123456789abcdef/e.json", ".work/locks/f.lock", ".work/.g", ".work/runs/precision.json")
KEPT = ("Makefile", "dvc.lock", "mlflow.db", ".dvc/cache/h", "data/incoming/i", str(WORK / CHOICE))


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_cleaning_keeps_the_precision_in_which_the_cached_results_were_computed(tmp_path: Path) -> None:
    for name in (*GENERATED, *STATE, *KEPT):
        write_text(tmp_path / name, "")
    shutil.copy(ROOT / "Makefile", tmp_path)
    for _ in range(2):
        subprocess.run(["make", "clean"], cwd=tmp_path, check=True, capture_output=True)
        assert files(tmp_path) == set(KEPT)
    shutil.rmtree(tmp_path / WORK)
    subprocess.run(["make", "clean"], cwd=tmp_path, check=True, capture_output=True)
