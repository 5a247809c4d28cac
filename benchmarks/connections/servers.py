"""The servers under load: write their files, start them, wait until they are idle, and end them."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks import ROOT
from benchmarks.connections.cases import NGINX
from loopback import nginx
from loopback.processes import PATIENCE, free_port, start, stop
from pysidctx.cli.cpu_time import cpu_time

NGINX_PROGRAM = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")

APP = """
def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "6")])
    return [b"hello\\n"]

async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            said = (await receive())["type"]
            await send({"type": said + ".complete"})
            if said == "lifespan.shutdown":
                return
    headers = [(b"content-length", b"6"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello\\n"})
"""
NGINX_TICKETS = "ssl_session_ticket_key {folder}/ticket.key;"
NGINX_VERIFIES = "ssl_verify_client on; ssl_client_certificate {folder}/ca.pem;"
NGINX_SETTINGS = {  # by HOW, as programs/own.py has it
    "": NGINX_TICKETS, "tickets": NGINX_TICKETS + NGINX_VERIFIES,
    "cache": "ssl_session_cache shared:stored:10m; ssl_session_tickets off;" + NGINX_VERIFIES,
}
HOOK = "from pysidctx.servers import ssl_context_factory as ssl_context\n"
DEMANDING = "cert_reqs = 2\nca_certs = 'ca.pem'\n"


class Running(NamedTuple):
    process: "subprocess.Popen[bytes]"
    port: int


def command(server: str, workers: int, port: int, how: str, folder: Path) -> list[str]:
    if server == NGINX:
        own = folder / f"nginx{how}"
        own.mkdir(exist_ok=True)
        host = nginx.host(port, "localhost", str(folder / "server.pem"), answer="hello\\n", options="backlog=1024")
        return nginx.command(str(NGINX_PROGRAM), own, [host], workers=workers, log_level="crit",
                             settings=f"keepalive_timeout 0; {NGINX_SETTINGS[how].format(folder=folder)}")
    if server == "gunicorn":
        return [sys.executable, "-m", "gunicorn", "--config", "hook.py" if how == "keys" else "none.py",
                "--workers", str(workers), "--bind", f"127.0.0.1:{port}", "--certfile", "server.pem",
                "--log-level", "warning", "app:wsgi"]
    if server in ("uvicorn", "hypercorn"):
        return [sys.executable, "-m", f"benchmarks.connections.programs.with_{server}", str(workers), str(port), how]
    return [sys.executable, "-m", "benchmarks.connections.programs.own", server, str(workers), str(port), how]


@contextmanager
def started(server: str, workers: int, how: str, folder: Path) -> Iterator[Running]:
    port = free_port()
    process = start(command(server, workers, port, how, folder), folder, dict(
        os.environ, PYSIDCTX_SECRET_FILE="secret", PYTHONPATH=f"{ROOT}{os.pathsep}."))
    try:
        yield Running(process, port)
    finally:
        stop(process)


def settle(servers: list[Running]) -> None:
    """Wait until all workers have started, which is when the servers use hardly any CPU time."""
    end, spent = time.monotonic() + PATIENCE, 0.0
    while time.monotonic() < end:
        time.sleep(0.5)
        now = sum(cpu_time(server.process.pid) for server in servers)
        if spent and now - spent < 0.03:
            return
        spent = now
    raise AssertionError("the servers do not come to rest")
