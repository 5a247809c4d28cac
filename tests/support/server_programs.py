"""Real servers with several workers, as the examples start them, and clients that come back to them."""

import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from machine import program
from readme import EXAMPLES
from servers import TIMEOUT

VISITS = 40
IGNORE_UNEXPECTED_EOF = 1 << 7  # SSL_OP_IGNORE_UNEXPECTED_EOF

REQUEST = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"
FLAGS = {ssl.TLSVersion.TLSv1_2: "-tls1_2", ssl.TLSVersion.TLSv1_3: "-tls1_3"}


GUNICORN = EXAMPLES["gunicorn.conf.py"]


class Program(NamedTuple):
    """How a server is started: the files of its example by name, and its arguments."""

    files: dict
    arguments: tuple
    plain_files: dict  # the same without pysidctx
    plain_arguments: tuple = ()
    needs_secret: bool = False
    processes: int = 1  # on one port; one is enough where that has four workers
    reloads: bool = False


def of_gunicorn(configuration, *options, plain=(), app="app:wsgi"):
    arguments = ("-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--workers", "4", "--certfile",
                 "server.pem", "--log-level", "warning", app)
    return Program({"gunicorn.conf.py": configuration}, (*arguments, *options),
                   {"gunicorn.conf.py": ""}, (*arguments, *options, *plain), reloads=True)


def of_script(*names, ours, plain="", **options):
    """Examples, of which the last one is started; without `ours` for comparison."""
    files = {name: EXAMPLES[name] for name in names}
    plain = {name: re.sub(ours, plain, code) for name, code in files.items()}
    assert plain != files
    return Program(files, (names[-1],), plain, (names[-1],), **options)


SEPARATE = {"ours": r"pysidctx\.resumable\(ctx, keys\)", "plain": "ctx", "needs_secret": True,
            "processes": 4}
PROGRAMS = {
    "gunicorn": of_gunicorn(GUNICORN),
    "gunicorn gthread": of_gunicorn(GUNICORN, "--threads", "4"),
    "gunicorn uvicorn": of_gunicorn(
        EXAMPLES["gunicorn_uvicorn.conf.py"], app="app:asgi", plain=("--worker-class", "uvicorn_worker.UvicornWorker")),
    "gunicorn aiohttp": of_gunicorn(
        EXAMPLES["gunicorn_aiohttp.conf.py"], app="app:web", plain=("--worker-class", "aiohttp.GunicornWebWorker")),
    "uvicorn": of_script("serve_uvicorn.py", ours=r",\s+ssl_context_factory=\w+", needs_secret=True,
                         reloads=True),
    "hypercorn": of_script("serve_hypercorn.py", ours=r"ssl_context_factory\(self, (.*)\)",
                           plain=r"\1()", needs_secret=True),
    "aiohttp": of_script("serve_aiohttp.py", **SEPARATE),
    "asyncio": of_script("serve_asyncio.py", **SEPARATE),
    "uvloop": of_script("serve_asyncio.py", "serve_uvloop.py", **SEPARATE),
    "threads": of_script("serve_threads.py", **SEPARATE),
}


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


class Running:
    """A server that answers on a port: a context manager, whose processes have groups of their own."""

    def __init__(self, found, folder, port, *, plain=False, arguments=None, files=None, secret=None,
                 certificate, tls=True):
        self.found, self.folder, self.port = found, folder, port
        self.arguments = arguments or (found.plain_arguments if plain else found.arguments)
        self.files = files or (found.plain_files if plain else found.files)
        self.certificate, self.tls = certificate, tls
        self.environment = {name: value for name, value in os.environ.items()
                            if name not in ("CI", "PYSIDCTX_SECRET_FILE")}
        self.environment.update(PORT=str(port), PYTHONPATH=str(folder))
        if secret is not None:
            self.environment["PYSIDCTX_SECRET_FILE"] = str(secret)
        self.log = folder / "log"
        self.processes = []

    def __enter__(self):
        self.folder.mkdir()
        for name, text in {"app.py": EXAMPLES["app.py"], **self.files}.items():
            (self.folder / name).write_text(text)
        self.certificate.private_key_and_cert_chain_pem.write_to_path(self.folder / "server.pem")
        try:
            for _ in range(self.found.processes):
                self.processes.append(self.started())
            wait_for(self)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error):
        for process in self.processes:
            stop(process)

    def started(self):
        with open(self.log, "ab") as output:
            return subprocess.Popen(
                [sys.executable, *(argument.format(port=self.port) for argument in self.arguments)],
                cwd=self.folder, env=self.environment, stdout=output, stderr=output,
                start_new_session=True)

    def restart(self):
        """Replace the workers: all by SIGHUP, where the server does that; else each process."""
        if self.found.reloads:
            self.processes[0].send_signal(signal.SIGHUP)
            return
        for place, process in enumerate(self.processes):
            stop(process)
            self.processes[place] = self.started()


def wait_for(server):
    """Until its port answers."""
    deadline = time.monotonic() + 30
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
    while time.monotonic() < deadline and server.processes[-1].poll() is None:
        with suppress(OSError):
            with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) as plain:
                if not server.tls:
                    return
                with ctx.wrap_socket(plain, server_hostname="a.test"):
                    return
        time.sleep(0.05)
    raise AssertionError(f"{server.arguments} do not answer:\n{server.log.read_text()}")


def ask(port):
    """What a server without TLS answers."""
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as plain:
        plain.sendall(REQUEST)
        return b"".join(iter(lambda: plain.recv(4096), b""))


def stop(process):
    for sent, timeout in ((signal.SIGTERM, 5), (signal.SIGKILL, None)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sent)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout)


class PythonClient:
    """Comes back with the last session it got."""

    def __init__(self, ca_file, version, chain=None):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.load_verify_locations(ca_file)
        self.context.minimum_version = self.context.maximum_version = version
        # Many servers close without a close_notify, for which OpenSSL 3 gives up the session; and it
        # does so for a connection that sends none itself.
        self.context.options |= IGNORE_UNEXPECTED_EOF
        if chain is not None:
            self.context.load_cert_chain(chain)
        self.session = None

    def visit(self, port):
        """Whether it was resumed, and by which process; ConnectionError if that ends meanwhile."""
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as plain:
            with self.context.wrap_socket(plain, server_hostname="a.test",
                                          session=self.session) as client:
                client.sendall(REQUEST)
                said = b"".join(iter(lambda: client.recv(4096), b""))
                self.session, resumed = client.session, client.session_reused
                with suppress(OSError):
                    client.unwrap()
                return resumed, process_in(said)


class ProgramClient:
    """The same with `openssl s_client`."""

    def __init__(self, ca_file, version, folder):
        self.arguments = [program("openssl", "openssl"), "s_client", "-servername", "a.test", "-CAfile",
                          ca_file, FLAGS[version], "-ign_eof"]
        self.file = folder / f"{version.name}.session"

    def visit(self, port):
        offered = ["-sess_in", self.file] if self.file.exists() else []
        said = subprocess.run(
            [*self.arguments, "-connect", f"127.0.0.1:{port}", *offered, "-sess_out", self.file],
            input=REQUEST, capture_output=True, timeout=TIMEOUT).stdout
        (kind,) = re.findall(rb"^(New|Reused), TLS", said, re.MULTILINE)
        return kind == b"Reused", process_in(said)


def process_in(said):
    found = re.search(rb"process (\d+)", said)
    if found is None:
        raise ConnectionError(f"the server said {said!r}")
    return int(found.group(1))


def visits(client, ports, count=VISITS, *, first=False):
    """How many visits were resumed, of all but the first or with it, and by which processes."""
    seen = [client.visit(ports[number % len(ports)]) for number in range(count)]
    return sum(resumed for resumed, _ in seen[0 if first else 1:]), {process for _, process in seen}


def new_secret(folder):
    path = Path(folder, "tickets.secret")
    subprocess.run([sys.executable, "-m", "pysidctx", "secret", path], check=True, stdout=subprocess.DEVNULL)
    return path
