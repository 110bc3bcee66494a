"""A Prefect server for the time of one process, where none runs: ``python -m flows.temporary_server FD``.

Prefect could start one by itself, but in the terminal's process group: Ctrl-C would end it before the flow runs could
say how they ended, and each would then try for half a minute.
"""

import atexit
import os
import socket
import subprocess
import sys
import time

from flows.environment import answers, collect_garbage_rarely, die_with_parent
from tasks.errors import MissingResourceError

HOST = "127.0.0.1"
START_SECONDS = 90.0
STOP_SECONDS = 5.0
POLL_SECONDS = 0.1


def start_temporary_server() -> str:
    """Start a server in a session of its own, which ends with this process; returns its API address.

    Raises:
        MissingResourceError: it does not come up.
    """
    with socket.create_server((HOST, 0)) as listener:  # taken by us and handed over, the port cannot go to a stranger
        address = f"http://{HOST}:{listener.getsockname()[1]}/api"
        command = [sys.executable, "-m", "flows.temporary_server", str(listener.fileno())]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            pass_fds=[listener.fileno()],
            start_new_session=True,
            env=dict(os.environ),  # a copy: another thread may move the environment while the child is started
        )
    atexit.register(_stop, process)  # after the exit functions of Prefect, which send what is left to send
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if answers(f"{address}/health"):
            return address
        time.sleep(POLL_SECONDS)
    _stop(process)
    raise MissingResourceError("Prefect", "its server does not come up", "a server", "set PIPELINE_PREFECT=off")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main() -> None:
    """Serve on the socket whose descriptor is the only argument, until SIGTERM or the parent's end."""
    die_with_parent()
    collect_garbage_rarely()
    os.environ["PREFECT_UI_ENABLED"] = "0"
    os.environ.pop("PREFECT_API_URL", None)
    import uvicorn
    from prefect.server.api.server import create_app

    config = uvicorn.Config(create_app(ephemeral=True, final=True), log_level="error", lifespan="on")
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(sys.argv[1]))])


if __name__ == "__main__":
    main()
