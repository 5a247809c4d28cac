"""Two applications behind one listener, and OpenSSL's client: who resumes where?

A server in Python's `ssl` on loopback serves the applications `shop` and `bank`, with one ticket
key and one session cache for both. `openssl s_client` makes a session on shop, then offers it to
shop and to bank. Three servers: without id contexts, for comparison; with one set on each
connection; and with one set on the `SSLContext` of each application.
"""

import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Optional

from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

import pysidctx

APPLICATIONS = ("shop", "bank")
TIMEOUT = 10  # seconds, for each step of a connection

Prepare = Callable[[ssl.SSLSocket, str], None]


class Case(NamedTuple):
    """One row of the table: a server, and what its clients do."""

    where: str  # where the id context is set
    version: ssl.TLSVersion
    tickets: bool


class Seen(NamedTuple):
    """What the client was told, `New` or `Reused`, where it offered its session of shop."""

    shop: str
    bank: str


PLACES = ("nowhere", "connection", "SSLContext")
CASES = [
    Case(where, version, tickets)
    for where in PLACES
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
    for tickets in (True, False)
]


def expected(case: Case) -> Seen:
    return Seen("Reused", "Reused" if case.where == "nowhere" else "New")


class Certificate(NamedTuple):
    chain: Path
    key: Path


def self_signed(openssl: str, folder: Path) -> Certificate:
    made = Certificate(folder / "certificate.pem", folder / "key.pem")
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-subj", "/CN=localhost", "-days", "1",
         "-keyout", str(made.key), "-out", str(made.chain)],
        check=True, capture_output=True, timeout=TIMEOUT,
    )
    return made


def make_context(certificate: Certificate, case: Case) -> ssl.SSLContext:
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(certificate.chain, certificate.key)
    ctx.minimum_version = ctx.maximum_version = case.version
    if not case.tickets:
        ctx.options |= ssl.OP_NO_TICKET
    return ctx


def preparation(certificate: Certificate, case: Case) -> Prepare:
    """What the server does with a connection for an application, before its handshake."""
    sid_ctxs = {name: pysidctx.derive_session_id_context("demo", name) for name in APPLICATIONS}
    contexts = {name: make_context(certificate, case) for name in APPLICATIONS}

    def on_connection(connection: ssl.SSLSocket, application: str) -> None:
        pysidctx.set_session_id_context(connection, sid_ctxs[application])

    # The connection is made by the listener's SSLContext, so its ticket keys and its cache serve
    # every application: what keeps the sessions apart is the id context alone.
    def switch(connection: ssl.SSLSocket, application: str) -> None:
        connection.context = contexts[application]

    if case.where == "connection":
        return on_connection
    if case.where == "SSLContext":
        for name in APPLICATIONS:
            pysidctx.set_session_id_context(contexts[name], sid_ctxs[name])
    return switch


@contextmanager
def serving(listener: ssl.SSLContext, prepare: Prepare) -> Iterator[dict[str, int]]:
    """Serve each application on a port of its own; yields the ports by application."""
    sockets = {name: socket.create_server(("127.0.0.1", 0)) for name in APPLICATIONS}
    threads = [
        threading.Thread(target=serve, args=(listener, accepting, prepare, name))
        for name, accepting in sockets.items()
    ]
    for thread in threads:
        thread.start()
    try:
        yield {name: accepting.getsockname()[1] for name, accepting in sockets.items()}
    finally:
        for accepting in sockets.values():
            accepting.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
        for accepting in sockets.values():
            accepting.close()


def serve(
    listener: ssl.SSLContext, accepting: socket.socket, prepare: Prepare, application: str
) -> None:
    while True:
        try:
            plain, _ = accepting.accept()
        except OSError:  # the listening socket was shut down
            return
        plain.settimeout(TIMEOUT)
        try:
            answer(listener, plain, prepare, application)
        except (OSError, ValueError) as error:  # the client gets no answer: a wrong cell
            print(f"server: {error}", file=sys.stderr)


def answer(
    listener: ssl.SSLContext, plain: socket.socket, prepare: Prepare, application: str
) -> None:
    with plain, listener.wrap_socket(
        plain, server_side=True, do_handshake_on_connect=False
    ) as connection:
        prepare(connection, application)
        connection.do_handshake()
        connection.recv(100)
        connection.sendall(f"hello from {application}\n".encode())
        connection.unwrap().close()


def offer(
    openssl: str, port: int, case: Case, *, made: Optional[Path] = None,
    offered: Optional[Path] = None,
) -> str:
    """Connect with `openssl s_client`; returns `New` or `Reused` as its output says."""
    files = ["-sess_out", str(made)] if made else ["-sess_in", str(offered)]
    version = "-tls1_2" if case.version == ssl.TLSVersion.TLSv1_2 else "-tls1_3"
    try:
        ran = subprocess.run(
            [openssl, "s_client", "-connect", f"127.0.0.1:{port}", "-ign_eof", version, *files],
            input="hello\n", capture_output=True, text=True, timeout=TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        return f"failed: no end after {TIMEOUT} seconds"
    said = re.search(r"^(New|Reused), TLS", ran.stdout, re.MULTILINE)
    return said.group(1) if said else f"failed: {ran.stderr.strip() or ran.stdout.strip()}"


def look(openssl: str, folder: Path, certificate: Certificate, case: Case) -> Seen:
    session = folder / "session.pem"
    listener = make_context(certificate, case)
    with serving(listener, preparation(certificate, case)) as ports:
        said = []
        for name in APPLICATIONS:
            # A new one each time: a session of TLS 1.3 without a ticket can be used only once.
            session.unlink(missing_ok=True)
            offer(openssl, ports["shop"], case, made=session)
            said.append(offer(openssl, ports[name], case, offered=session))
    return Seen(*said)


def table(results: dict[Case, Seen]) -> Table:
    drawn = Table(box=box.SIMPLE, title="A session made on shop is offered ...")
    for heading in ("id context set on", "version", "tickets", "to shop", "to bank", "as expected"):
        drawn.add_column(heading)
    for case, seen in results.items():
        drawn.add_row(
            {"nowhere": "nothing: plain ssl"}.get(case.where, f"the {case.where}"),
            {"TLSv1_2": "TLS 1.2", "TLSv1_3": "TLS 1.3"}[case.version.name],
            "yes" if case.tickets else "no",
            *seen,
            "ok" if seen == expected(case) else f"WRONG, not {' and '.join(expected(case))}",
            end_section=case.version == ssl.TLSVersion.TLSv1_3 and not case.tickets,
        )
    return drawn


def run() -> int:
    """Look at every case, print what was seen; 1 where a session went astray."""
    console = Console()
    openssl = shutil.which("openssl")
    if openssl is None:
        console.print("The demo needs the program openssl as its client: install it "
                      "(apt-get install openssl on Debian and Ubuntu).", soft_wrap=True)
        return 2
    version = subprocess.run([openssl, "version"], capture_output=True, text=True).stdout
    console.print(f"Server: Python {sys.version.split()[0]} with {ssl.OPENSSL_VERSION}. "
                  f"Client: {version.split('(')[0].strip()}, s_client.", highlight=False,
                  soft_wrap=True)
    results = {}
    with tempfile.TemporaryDirectory() as name, Progress(console=console, transient=True) as bar:
        certificate = self_signed(openssl, Path(name))
        for case in bar.track(CASES, description="connecting"):
            results[case] = look(openssl, Path(name), certificate, case)
    console.print(table(results), highlight=False)
    wrong = sum(seen != expected(case) for case, seen in results.items())
    if wrong:
        console.print(f"{wrong} of {len(results)} rows are wrong.")
        return 1
    console.print(
        "Plain ssl resumes the session of one application on the other.\n"
        "With id contexts it is resumed where it was made, and nowhere else.", highlight=False)
    return 0
