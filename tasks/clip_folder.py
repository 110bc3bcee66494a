"""The files of an open_clip model in a folder, looked for before anything slow is imported."""

from pathlib import Path

from tasks.errors import MissingResourceError

CONFIG = "open_clip_config.json"
WEIGHTS = "open_clip_model.safetensors"


def require_model_files(folder: Path) -> None:
    """Refuse a folder that does not hold a model.

    Raises:
        MissingResourceError: one of its two files is not there.
    """
    for file in (folder / CONFIG, folder / WEIGHTS):
        if not file.is_file():
            remedy = "put the model there, or set scorer.source to fitted"
            raise MissingResourceError(str(file), "is missing", "an open_clip model folder", remedy)
