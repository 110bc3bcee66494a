"""The two servers of this machine: started, found, guarded and stopped."""

import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.environment import answers, prepare_environment, reachable_prefect, service_address
from flows.services import Service, down, status, up
from tasks.errors import TryAgainError

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload``")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    prepare_environment()
    return tmp_path


def test_a_taken_port_is_named(workspace: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        service = Service("prefect", server.getsockname()[1], "/api/health")
        with pytest.raises(TryAgainError, match=r"port \d+: is taken.*--prefect-port"):
            up([service])
    assert not service.record.exists()


def test_a_record_of_a_process_that_is_a_stranger_now_is_not_believed(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service = Service("mlflow", free_port(), "/health")
    service.record.parent.mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        service.record.write_text(json.dumps({"pid": stranger.pid, "address": service.address}))
        assert not status([service])
        down([service])
        assert stranger.poll() is None
        stranger.communicate(b"\n")
    assert not service.record.exists()
    assert "mlflow: not running" in capsys.readouterr().out


def test_servers_listen_on_loopback_alone_and_mlflow_names_its_hosts(workspace: Path) -> None:
    for service in (Service("prefect", 4200, ""), Service("mlflow", 5000, "")):
        assert service.command[service.command.index("--host") + 1] == "127.0.0.1"
    command = Service("mlflow", 5000, "").command
    assert command[command.index("--allowed-hosts") + 1] == "127.0.0.1:5000,localhost:5000"


def test_without_a_record_no_server_is_found(workspace: Path) -> None:
    assert service_address("prefect") is None
    assert reachable_prefect() is None


def program(command: str, services: list[Service]) -> subprocess.CompletedProcess[str]:
    """Run the program as the user does."""
    ports = [word for service in services for word in (f"--{service.name}-port", str(service.port))]
    arguments = [sys.executable, "-m", "flows.services", command, *ports]
    known = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(arguments, env=known, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture
def services(workspace: Path) -> Iterator[list[Service]]:
    both = [Service("prefect", free_port(), "/api/health"), Service("mlflow", free_port(), "/health")]
    yield both
    program("down", both)


def numbers(services: list[Service]) -> list[int]:
    return [int(json.loads(service.record.read_bytes())["pid"]) for service in services]


@pytest.mark.slow
def test_both_servers_come_up_guard_themselves_and_go(services: list[Service]) -> None:
    prefect, mlflow = services
    assert program("status", services).returncode == 4
    started = program("up", services)
    assert started.stdout.splitlines() == [f"prefect: {prefect.address}", f"mlflow: {mlflow.address}"]
    assert reachable_prefect() == f"{prefect.address}/api"
    before = numbers(services)

    assert program("up", services).returncode == 0
    assert numbers(services) == before
    assert program("status", services).returncode == 0

    page = f"{mlflow.address}/api/2.0/mlflow/experiments/search"
    stranger = urllib.request.Request(page, headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(stranger, timeout=10)
    assert refusal.value.code == 403
    refusal.value.close()

    assert program("down", services).returncode == 0
    assert not any(answers(service.address + service.health) for service in services)
    for number in before:
        with pytest.raises(ProcessLookupError):
            os.killpg(number, 0)
