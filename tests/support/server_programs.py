"""Real servers with several workers, started as in the examples, and clients that return to them."""

import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Optional, Protocol, Union

import trustme
from machine import program
from readme import EXAMPLES, SERVING, commands
from servers import TIMEOUT

from loopback.processes import free_port, start, stop, wait_until
from pysidctx.__main__ import main

VISITS = 20  # of which none reaches a certain one of four workers in 0.3 % of all runs, if they are equally busy
VISITS_OF_PROGRAMS = 6  # of which each takes the start of a process
IGNORE_UNEXPECTED_EOF = 1 << 7  # SSL_OP_IGNORE_UNEXPECTED_EOF

REQUEST = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"
FLAGS = {ssl.TLSVersion.TLSv1_2: "-tls1_2", ssl.TLSVersion.TLSv1_3: "-tls1_3"}


GUNICORN = EXAMPLES["gunicorn.conf.py"]


class Program(NamedTuple):
    """How a server is started: the files of its example by name, and its arguments."""

    files: dict[str, str]
    arguments: tuple[str, ...]
    plain_files: dict[str, str]  # the same without pysidctx
    plain_arguments: tuple[str, ...] = ()
    needs_secret: bool = False
    processes: int = 1  # on one port; one is enough where that has four workers
    reloads: bool = False

    def with_workers(self, count: int) -> "Program":
        """The same with so many workers in place of four."""
        def of_arguments(arguments: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(str(count) if before == "--workers" else argument
                         for before, argument in zip(("", *arguments), arguments))

        def of_files(files: dict[str, str]) -> dict[str, str]:
            return {name: re.sub(r"\bworkers( ?= ?)4\b", rf"workers\g<1>{count}", code) for name, code in files.items()}

        fewer = Program(of_files(self.files), of_arguments(self.arguments), of_files(self.plain_files),
                        of_arguments(self.plain_arguments), self.needs_secret, min(self.processes, count), self.reloads)
        assert fewer != self
        return fewer


def of_gunicorn(configuration: str, *options: str, plain: tuple[str, ...] = (), app: str = "app:wsgi") -> Program:
    arguments = ("-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--workers", "4", "--certfile",
                 "server.pem", "--log-level", "warning", app)
    return Program({"gunicorn.conf.py": configuration}, (*arguments, *options),
                   {"gunicorn.conf.py": ""}, (*arguments, *options, *plain), reloads=True)


def of_serve(*command: str) -> Program:
    """`python -m pysidctx serve`; for comparison, the server's own command line."""
    *ours, server = command[:5]
    assert ours == ["python", "-m", "pysidctx", "serve"]
    arguments = (*LISTENING[server], *command[5:])
    return Program({}, ("-m", "pysidctx", "serve", server, *arguments), {}, ("-m", server, *arguments),
                   reloads=server != "hypercorn")  # only newer ones do


def of_script(*names: str, ours: str, plain: str = "", needs_secret: bool = False, processes: int = 1,
              reloads: bool = False) -> Program:
    """Examples, of which the last one is started; without `ours` for comparison."""
    files = {name: EXAMPLES[name] for name in names}
    without = {name: re.sub(ours, plain, code) for name, code in files.items()}
    assert without != files
    return Program(files, (names[-1],), without, (names[-1],), needs_secret, processes, reloads)


def separate(*names: str) -> Program:
    """Examples without workers of their own: as many processes, each with keys from the secret."""
    return of_script(*names, ours=r"pysidctx\.resumable\(ctx, keys\)", plain="ctx", needs_secret=True, processes=4)


# Those of docs/servers.md, without a secret, and where they listen.
LISTENING = {"gunicorn": ("--bind", "127.0.0.1:{port}"), "uvicorn": ("--port", "{port}"),
             "hypercorn": ("--bind", "127.0.0.1:{port}")}
SERVED = {f"serve {command[4]}": of_serve(*command) for command in commands(SERVING)}

PROGRAMS = {
    "gunicorn": of_gunicorn(GUNICORN),
    "gunicorn gthread": of_gunicorn(GUNICORN, "--threads", "4"),
    "gunicorn hosts": of_gunicorn(EXAMPLES["gunicorn_hosts.conf.py"]),
    "gunicorn uvicorn": of_gunicorn(
        EXAMPLES["gunicorn_uvicorn.conf.py"], app="app:asgi", plain=("--worker-class", "uvicorn_worker.UvicornWorker")),
    "gunicorn aiohttp": of_gunicorn(
        EXAMPLES["gunicorn_aiohttp.conf.py"], app="app:web", plain=("--worker-class", "aiohttp.GunicornWebWorker")),
    "uvicorn": of_script("serve_uvicorn.py", ours=r",\s+ssl_context_factory=\w+", needs_secret=True,
                         reloads=True),
    "hypercorn": of_script("serve_hypercorn.py", ours=r"ssl_context_factory\(self, (.*)\)",
                           plain=r"\1()", needs_secret=True),
    **SERVED,
    "aiohttp": separate("serve_aiohttp.py"),
    "asyncio": separate("serve_asyncio.py"),
    "uvloop": separate("serve_asyncio.py", "serve_uvloop.py"),
    "threads": separate("serve_threads.py"),
}

# Those that demand client certificates and store sessions. Their workers are forked, or else need the secret.
CACHED_PROGRAMS = {
    "gunicorn": of_gunicorn(EXAMPLES["gunicorn_cache.conf.py"]),
    "gunicorn aiohttp": of_gunicorn(EXAMPLES["gunicorn_aiohttp_cache.conf.py"], app="app:web"),
    "uvicorn": of_script("serve_uvicorn_cache.py", ours=r",\s+ssl_context_factory=\w+", needs_secret=True,
                         reloads=True),
    "hypercorn": of_script("serve_hypercorn.py", "serve_hypercorn_cache.py", ours=r"ssl_context_factory\(self, (.*)\)",
                           plain=r"\1()", needs_secret=True),
}

# Those for which two processes, or workers, are enough, by the modules that they need.
SEPARATE = {name: of_script(f"serve_{name}.py", ours=r"pysidctx\.resumable\(ctx, .*\)", needs_secret=True, processes=2)
            for name in ("tornado", "websockets", "gevent")}
FASTAPI = of_script("serve_fastapi.py", ours=r",\s+ssl_context_factory=\w+", needs_secret=True)
# Applications that answer as app.py does.
FRAMEWORKS = {
    "flask": """
import os
from flask import Flask
app = Flask(__name__)
app.get("/")(lambda: f"process {os.getpid()}\\n")
""",
    "django": """
import os
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"])
urlpatterns = [path("", lambda request: HttpResponse(f"process {os.getpid()}\\n"))]
app = get_wsgi_application()
"""}

# It demands client certificates, stores sessions, and loads a revocation list.
FLEET = of_gunicorn(EXAMPLES["gunicorn_fleet.conf.py"])
EVERYTHING = of_gunicorn(EXAMPLES["gunicorn_everything.conf.py"])


class Running:
    """A server that answers on a port: a context manager, whose processes have groups of their own."""

    def __init__(self, found: Program, folder: Path, *, plain: bool = False, arguments: Optional[Sequence[str]] = None,
                 files: Optional[dict[str, str]] = None, secret: Union[Path, str, None] = None,
                 environment: Optional[dict[str, str]] = None, certificate: trustme.LeafCert,
                 pem_files: Optional[dict[str, str]] = None, tls: bool = True,
                 name_to_greet: str = "a.test") -> None:
        self.found, self.folder, self.port = found, folder, free_port()
        self.arguments = arguments or (found.plain_arguments if plain else found.arguments)
        self.files = {**(files or (found.plain_files if plain else found.files)), **(pem_files or {})}
        self.certificate, self.tls, self.name_to_greet = certificate, tls, name_to_greet
        self.environment = {name: value for name, value in os.environ.items()
                            if name != "CI" and not name.startswith("PYSIDCTX_")}
        self.environment.update(environment or {}, PORT=str(self.port), PYTHONPATH=str(folder))
        if secret is not None:
            self.environment["PYSIDCTX_SECRET_FILE"] = str(secret)
        self.log = folder / "log"
        self.processes: "list[subprocess.Popen[bytes]]" = []

    def __enter__(self) -> "Running":
        self.folder.mkdir()
        for name, text in {"app.py": EXAMPLES["app.py"], **self.files}.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(text)
        self.certificate.private_key_and_cert_chain_pem.write_to_path(str(self.folder / "server.pem"))
        try:
            for _ in range(self.found.processes):
                self.processes.append(self.started())
            wait_until(self.greet, self.processes[-1], self.folder)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: Optional[type[BaseException]], error: Optional[BaseException],
                 traceback: Optional[TracebackType]) -> None:
        self.stop()

    def started(self) -> "subprocess.Popen[bytes]":
        return start([sys.executable, *(argument.format(port=self.port) for argument in self.arguments)],
                     self.folder, self.environment)

    def greet(self) -> None:
        """Connect, and shake hands where it is TLS."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT) as plain:
            if self.tls:
                ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
                ctx.wrap_socket(plain, server_hostname=self.name_to_greet).close()

    def restart(self) -> None:
        """Replace the workers: all by SIGHUP, where the server does that; else each process."""
        if self.found.reloads:
            self.processes[0].send_signal(signal.SIGHUP)
            return
        for place, process in enumerate(self.processes):
            stop(process)
            self.processes[place] = self.started()

    def stop(self) -> None:
        """End it: in order if it has workers, which it is to end, and at once if its processes have none."""
        for process in self.processes:
            stop(process, at_once=self.found.processes > 1)


def ask(port: int) -> bytes:
    """What a server without TLS answers."""
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as plain:
        plain.sendall(REQUEST)
        return b"".join(iter(lambda: plain.recv(4096), b""))


class Client(Protocol):
    visits: int  # as many as show whether every worker resumes
    said: bytes  # what the server has said in the last visit

    def visit(self, port: int) -> tuple[bool, int]:
        """Return whether it was resumed, and the process id. Raises ConnectionError if the process ends meanwhile."""


class PythonClient:
    """A client that returns with the last session that it received."""

    visits = VISITS

    def __init__(self, ca_file: Path, version: ssl.TLSVersion, chain: Optional[Path] = None, *,
                 name: str = "a.test", closes: bool = True) -> None:
        """`closes`: whether it sends a close_notify."""
        self.name, self.closes, self.said = name, closes, b""
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.load_verify_locations(ca_file)
        self.context.minimum_version = self.context.maximum_version = version
        # Many servers close without a close_notify, for which OpenSSL 3 gives up the session; and it
        # does so for a connection that sends none itself.
        self.context.options |= IGNORE_UNEXPECTED_EOF
        if chain is not None:
            self.context.load_cert_chain(chain)
        self.session: Optional[ssl.SSLSession] = None

    def visit(self, port: int) -> tuple[bool, int]:
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as plain:
            with self.context.wrap_socket(plain, server_hostname=self.name,
                                          session=self.session) as client:
                client.sendall(REQUEST)
                self.said = b"".join(iter(lambda: client.recv(4096), b""))
                self.session, resumed = client.session, bool(client.session_reused)
                if self.closes:
                    with suppress(OSError):
                        client.unwrap()
                return resumed, process_in(self.said)


class ProgramClient:
    """The same with `openssl s_client`."""

    visits = VISITS_OF_PROGRAMS

    def __init__(self, ca_file: Path, version: ssl.TLSVersion, folder: Path, chain: Optional[Path] = None) -> None:
        self.options = ["-CAfile", str(ca_file), FLAGS[version]]
        if chain is not None:
            self.options += ["-cert", str(chain), "-key", str(chain)]
        self.file = folder / f"{version.name}.session"
        self.said = b""

    def visit(self, port: int) -> tuple[bool, int]:
        offered = ["-sess_in", str(self.file)] if self.file.exists() else []
        kind, self.said = connection_of_s_client(port, "a.test", *self.options, *offered, "-sess_out", self.file)
        return kind == "Reused", process_in(self.said)


def connection_of_s_client(port: int, name: str, *options: Union[str, Path]) -> tuple[str, bytes]:
    """What it was: New, Reused or refused; and all that it printed."""
    said = subprocess.run(
        [program("openssl", "openssl"), "s_client", "-connect", f"127.0.0.1:{port}", "-servername", name, "-ign_eof",
         *options], input=REQUEST, capture_output=True, timeout=TIMEOUT).stdout
    found = re.search(rb"^(New|Reused), TLS", said, re.MULTILINE)
    return found.group(1).decode() if found else "refused", said


def process_in(said: bytes) -> int:
    found = re.search(rb"process (\d+)", said)
    if found is None:
        raise ConnectionError(f"the server said {said!r}")
    return int(found.group(1))


def visits(client: Client, ports: Sequence[int], count: Optional[int] = None, *, first: bool = False
           ) -> tuple[int, set[int]]:
    """How many visits were resumed, of all but the first or with it, and by which processes."""
    seen = [client.visit(ports[number % len(ports)]) for number in range(client.visits if count is None else count)]
    return sum(resumed for resumed, _ in seen[0 if first else 1:]), {process for _, process in seen}


def is_resumed_by_another(client: Client, port: int, processes: set[int]) -> bool:
    """Whether a process that is not among those resumes a session, too. A worker that starts late answers late."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        resumed, process = client.visit(port)
        if not resumed or process not in processes:
            return resumed
    return False


def new_secret(folder: Path) -> Path:
    path = Path(folder, "tickets.secret")
    assert main(["secret", str(path)]) == 0
    return path
