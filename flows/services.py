"""The two servers on this machine: ``python -m flows.services up|down|status``.

Both listen on loopback only and answer only to their own address. What is started here is found by the stages; who has
servers of their own sets ``PREFECT_API_URL`` and ``MLFLOW_TRACKING_URI`` instead.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from flows.environment import MLFLOW_PORT, PREFECT_PORT, PRIVATE, SERVICES, answers, log_to_stderr, prepare_environment
from flows.stage import CommandLine, guarded
from tasks.errors import MissingResourceError, TryAgainError
from tasks.paths import project_root
from tasks.tracking_place import STORE, local_store

HOST = "127.0.0.1"
START_SECONDS = 180.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Service:
    """A server of this machine.

    Attributes:
        name: ``prefect`` or ``mlflow``.
        port: where it listens.
        health: path of the address that tells of its health.
    """

    name: str
    port: int
    health: str

    @property
    def address(self) -> str:
        """Where to reach it."""
        return f"http://{HOST}:{self.port}"

    @property
    def command(self) -> list[str]:
        """How it is started."""
        listen = ["--host", HOST, "--port", str(self.port)]
        if self.name == "prefect":
            return [sys.executable, "-m", "prefect", "server", "start", *listen]
        hosts = ",".join(f"{host}:{self.port}" for host in (HOST, "localhost"))
        store = ["--backend-store-uri", local_store(), "--default-artifact-root", str(project_root() / "mlartifacts")]
        guard = ["--allowed-hosts", hosts, "--cors-allowed-origins", self.address, "--workers", "1"]
        return [sys.executable, "-m", "mlflow", "server", *listen, *store, *guard]

    @property
    def environment(self) -> dict[str, str]:
        """What it is told beside the environment of all processes."""
        address, home = self.address, {key: value for key, value in os.environ.items() if key != "PREFECT_API_URL"}
        if self.name == "mlflow":
            return home
        safe = {"PREFECT_SERVER_CORS_ALLOWED_ORIGINS": address, "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true"}
        return {**home, **safe, "PREFECT_API_URL": f"{address}/api", "PREFECT_UI_API_URL": f"{address}/api"}

    @property
    def record(self) -> Path:
        """The file that tells of the running server."""
        return project_root() / SERVICES / f"{self.name}.json"


def up(services: list[Service]) -> None:
    """Start the servers that do not run, and wait until they answer.

    Raises:
        TryAgainError: a port is taken.
        MissingResourceError: a server does not come up.
    """
    wanted = [service for service in services if not _runs(service)]
    for service in wanted:
        _require_free_port(service)
    from tasks.tracking import create_store

    create_store(project_root() / STORE)
    started = [(service, _start(service)) for service in wanted]
    for service, process in started:
        _await_health(service, process)
    status(services)


def down(services: list[Service]) -> None:
    """Stop the servers that were started here."""
    for service in services:
        number = _recorded(service).get("pid")
        became = "was not running"
        if isinstance(number, int) and _is_ours(service, number):
            _stop_group(number)
            became = "stopped"
        service.record.unlink(missing_ok=True)
        _say(f"{service.name}: {became}")


def status(services: list[Service]) -> bool:
    """Say of each server whether it answers; returns whether all do."""
    healthy = [_runs(service) for service in services]
    for service, runs in zip(services, healthy, strict=True):
        _say(f"{service.name}: {_recorded(service)['address'] if runs else 'not running'}")
    return all(healthy)


def main() -> NoReturn:
    """Run one of the commands and leave with its exit code; ``status`` gives 4 where a server does not answer."""
    log_to_stderr()
    sys.exit(guarded(_program, "--debug" in sys.argv[1:]))


def _program() -> None:
    parser = CommandLine(prog="python -m flows.services", description="The Prefect and MLflow servers.")
    parser.add_argument("command", choices=("up", "down", "status"))
    parser.add_argument("--prefect-port", type=int, default=PREFECT_PORT)
    parser.add_argument("--mlflow-port", type=int, default=MLFLOW_PORT)
    options = parser.parse_args()
    prepare_environment()
    prefect = Service("prefect", options.prefect_port, "/api/health")
    services = [prefect, Service("mlflow", options.mlflow_port, "/health")]
    if options.command == "status":
        if not status(services):
            raise MissingResourceError("services", "not all servers answer", "two running servers", "run `make ui`")
    else:
        {"up": up, "down": down}[options.command](services)


def _require_free_port(service: Service) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, service.port))
        except OSError:
            remedy = f"stop what listens there, or choose another with --{service.name}-port"
            raise TryAgainError(f"port {service.port}", "is taken", "a free port", remedy) from None


def _start(service: Service) -> "subprocess.Popen[bytes]":
    from tasks.files import write_json

    service.record.parent.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    with service.record.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen(
            service.command,
            cwd=project_root(),
            env=service.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    write_json(service.record, {"pid": process.pid, "address": service.address})
    return process


def _await_health(service: Service, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if answers(service.address + service.health):
            return
        time.sleep(POLL_SECONDS)
    _stop_group(process.pid)
    service.record.unlink(missing_ok=True)
    log = service.record.with_suffix(".log")
    raise MissingResourceError(service.name, "the server does not come up", "an answer", f"read {log}")


def _runs(service: Service) -> bool:
    known = _recorded(service)
    return bool(known) and _is_ours(service, known["pid"]) and answers(known["address"] + service.health)


def _recorded(service: Service) -> dict[str, Any]:
    try:
        known = json.loads(service.record.read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) and {"pid", "address"} <= set(known) else {}


def _is_ours(service: Service, number: int) -> bool:
    """Whether a process is still the server it was recorded as; its number may have passed to a stranger."""
    try:
        os.kill(number, 0)
        return service.name.encode() in Path(f"/proc/{number}/cmdline").read_bytes()
    except FileNotFoundError:
        return sys.platform != "linux"
    except OSError:
        return False


def _stop_group(number: int) -> None:
    for wish in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(number, wish)
        except ProcessLookupError:
            return
        if _is_gone(number):
            return


def _is_gone(number: int) -> bool:
    """Wait for a process group to end."""
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(number, os.WNOHANG)  # where it is our own child
        try:
            os.killpg(number, 0)
        except ProcessLookupError:
            return True
        time.sleep(POLL_SECONDS)
    return False


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
