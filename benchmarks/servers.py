"""Real servers under clients that all come back: connections a second, and CPU time of each connection.

The same server twice, with pysidctx and without, side by side in one run; the clients, in C, load one
after the other in turns.
"""

import json
import os
import random
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import trustme
from rich.progress import Progress
from rich.table import Table

from benchmarks import native
from benchmarks.handshakes import VERSIONS
from benchmarks.report import about, console, processor, spread, table, verdict
from benchmarks.tickets import KEYS
from pysidctx.cli.processes import cpu_time

ROOT = Path(__file__).resolve().parent.parent
GUNICORN, UVICORN = "gunicorn, sync", "uvicorn"
WANTED = {GUNICORN: 1.6, UVICORN: None}
WORKERS = (1, 2, 4)
CLIENTS = 8  # at once

APP = """
def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "6")])
    return [b"hello\\n"]

async def asgi(scope, receive, send):
    if scope["type"] == "http":
        headers = [(b"content-length", b"6"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"hello\\n"})
"""
HOOK = "from pysidctx.servers import ssl_context_factory as ssl_context\n"
SERVE = """
import sys
import uvicorn
from pysidctx.servers import ssl_context_factory

if __name__ == "__main__":
    port, workers, verify, ours = map(int, sys.argv[1:])
    uvicorn.run("app:asgi", port=port, workers=workers, ssl_certfile="server.pem",
                ssl_ca_certs="ca.pem" if verify else None, ssl_cert_reqs=verify, log_level="warning",
                lifespan="off", ssl_context_factory=ssl_context_factory if ours else None)
"""


class Case(NamedTuple):
    """A kind of server and of connections."""

    server: str
    version: str
    key: str
    client_certificate: bool
    workers: int


class Effort(NamedTuple):
    servers: tuple[str, ...]
    workers: tuple[int, ...]
    rounds: int
    connections: int  # in a turn


FULL = Effort((GUNICORN, UVICORN), WORKERS, 5, 400)
QUICK = Effort((GUNICORN,), (2,), 1, 16)


class Running(NamedTuple):
    process: "subprocess.Popen[bytes]"
    port: int


@contextmanager
def started(case: Case, ours: bool, folder: Path, port: int) -> Iterator[Running]:
    verify = int(ssl.CERT_REQUIRED if case.client_certificate else ssl.CERT_NONE)
    if case.server == GUNICORN:
        command = ["-m", "gunicorn", "--config", "hook.py" if ours else "none.py", "--workers",
                   str(case.workers), "--bind", f"127.0.0.1:{port}", "--certfile", "server.pem",
                   "--log-level", "warning", "--cert-reqs", str(verify), "app:wsgi"]
        command += ["--ca-certs", "ca.pem"] if verify else []
    else:
        command = ["serve.py", *map(str, (port, case.workers, verify, int(ours)))]
    process = subprocess.Popen(
        [sys.executable, *command], cwd=folder, start_new_session=True, stdout=subprocess.DEVNULL,
        env=dict(os.environ, PYSIDCTX_SECRET_FILE="secret", PYTHONPATH=f"{ROOT}{os.pathsep}."))
    try:
        yield Running(process, port)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        finally:
            # Also what it has left.
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


class Load:
    """Clients of one kind, each in a thread, with the session that it got last."""

    def __init__(self, ctx: ssl.SSLContext, server: Running, pool: ThreadPoolExecutor) -> None:
        self.ctx, self.server, self.pool = ctx, server, pool
        self.clients = [native.load("load_cython").Client() for _ in range(CLIENTS)]

    def wait(self) -> None:
        """Until the server answers, and each client has a session."""
        end = time.monotonic() + 60
        for client in self.clients:
            while True:
                try:
                    client.visits(self.ctx, self.server.port, 1)
                    break
                except OSError:
                    if time.monotonic() > end or self.server.process.poll() is not None:
                        raise
                    time.sleep(0.1)

    def turn(self, connections: int) -> dict[str, float]:
        spent = cpu_time(self.server.process.pid)
        start = time.perf_counter()
        resumed = sum(self.pool.map(
            lambda client: client.visits(self.ctx, self.server.port, connections // CLIENTS),
            self.clients))
        taken = time.perf_counter() - start
        spent = cpu_time(self.server.process.pid) - spent
        count = connections // CLIENTS * CLIENTS
        return {"a second": count / taken, "CPU us": spent / count * 1e6, "resumed": resumed / count}


def measure(case: Case, effort: Effort, folder: Path, client_ctx: ssl.SSLContext,
            chance: random.Random) -> list[dict[str, dict[str, float]]]:
    """The rounds: in each, a turn of either side."""
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(CLIENTS))
        sides = {}
        for name, ours in (("plain", False), ("pysidctx", True)):
            server = stack.enter_context(started(case, ours, folder, free_port()))
            sides[name] = Load(client_ctx, server, pool)
        for load in sides.values():
            load.wait()
            load.turn(CLIENTS * 2)
        rounds = []
        for _ in range(effort.rounds):
            names = list(sides)
            chance.shuffle(names)
            rounds.append({name: sides[name].turn(effort.connections) for name in names})
        return rounds


def prepared(folder: Path, key: str, ca: trustme.CA) -> None:
    """What all servers with one certificate read."""
    folder.mkdir()
    ca.issue_cert("localhost", key_type=KEYS[key]).private_key_and_cert_chain_pem.write_to_path(
        str(folder / "server.pem"))
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    for name, text in (("app.py", APP), ("hook.py", HOOK), ("none.py", ""), ("serve.py", SERVE)):
        (folder / name).write_text(text)
    subprocess.run([sys.executable, "-m", "pysidctx", "secret", folder / "secret"], cwd=ROOT, check=True)


def client_context(case: Case, ca: trustme.CA, certificate: trustme.LeafCert) -> ssl.SSLContext:
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ctx.minimum_version = ctx.maximum_version = VERSIONS[case.version]
    ca.configure_trust(ctx)
    if case.client_certificate:
        certificate.configure_cert(ctx)
    return ctx


def ratio(rounds: list[dict[str, dict[str, float]]], figure: str) -> list[float]:
    return [found["pysidctx"][figure] / found["plain"][figure] for found in rounds]


def drawn(measured: dict[Case, list[dict[str, dict[str, float]]]]) -> Table:
    made = table("All clients come back: median of the rounds (least to most)",
                 "server", "handshake", "workers", "resumed, %", "a second", "CPU us",
                 "a second, ratio", "CPU, ratio", "wanted", "")
    for case, rounds in measured.items():
        def both(figure: str, form: str, scale: float = 1) -> str:
            return " / ".join(
                format(scale * statistics.median(found[side][figure] for found in rounds), form)
                for side in ("plain", "pysidctx"))

        handshake = f"{case.version}, {case.key}{', client' if case.client_certificate else ''}"
        made.add_row(
            case.server, handshake, str(case.workers), both("resumed", ".0f", 100),
            both("a second", ".0f"), both("CPU us", ".0f"), spread(ratio(rounds, "a second"), ".2f"),
            spread(ratio(rounds, "CPU us"), ".2f"),
            *verdict(statistics.median(ratio(rounds, "a second")), WANTED[case.server], True))
    return made


def run(results: Path, quick: bool) -> None:
    """Measure, print the table, write the figures of each round to `servers.json` in `results`."""
    native.build()
    effort = QUICK if quick else FULL
    chance = random.Random(0)
    ca = trustme.CA(key_type=trustme.KeyType.ECDSA)
    certificate = ca.issue_cert("client@localhost", key_type=trustme.KeyType.ECDSA)
    cases = [Case(*parts) for parts in product(effort.servers, VERSIONS, KEYS, (False, True),
                                               effort.workers)]
    measured: dict[Case, Any] = {}
    screen = console()
    with tempfile.TemporaryDirectory() as folder, Progress(console=screen, transient=True) as bar:
        for key in KEYS:
            prepared(Path(folder, key), key, ca)
        for case in bar.track(cases, description="servers"):
            measured[case] = measure(case, effort, Path(folder, case.key),
                                     client_context(case, ca, certificate), chance)
    results.mkdir(parents=True, exist_ok=True)
    (results / "servers.json").write_text(json.dumps(
        [{**case._asdict(), "rounds": rounds} for case, rounds in measured.items()], indent=1))
    screen.print(about(processor(), str(os.cpu_count())), soft_wrap=True, highlight=False)
    screen.print(drawn(measured), highlight=False)
