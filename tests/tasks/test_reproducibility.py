"""The device that work runs on."""

import pytest
import torch

from tasks.errors import MissingResourceError
from tasks.params import Compute
from tasks.reproducibility import chosen_device, environment_record, prepare_compute
from tests.tasks.small_variants import CPU


@pytest.mark.parametrize(
    ("setting", "usable", "expected"),
    [("auto", True, "cuda"), ("auto", False, "cpu"), ("cpu", True, "cpu"), ("cuda", True, "cuda")],
)
def test_a_gpu_is_used_where_there_is_one_unless_told_otherwise(
    setting: str, usable: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: usable)
    assert chosen_device(setting) == torch.device(expected)


def test_float32_is_not_shortened_on_a_gpu() -> None:
    """Torch would let convolutions there take 10 of its 23 bits."""
    prepare_compute(CPU)
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


def test_a_record_tells_the_precision_that_was_used() -> None:
    found = environment_record(CPU, torch.device("cpu"), "bfloat16")
    assert (found["device"], found["precision"], found["threads"]) == ("cpu", "bfloat16", 1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_missing_gpu_is_a_missing_resource() -> None:
    with pytest.raises(MissingResourceError, match=r"compute\.device") as caught:
        prepare_compute(Compute(device="cuda", threads=torch.get_num_threads(), precision="float32", compile=False))
    assert caught.value.exit_code == 4
