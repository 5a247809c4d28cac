"""Servers for the tests of `check`, and functions that run its command."""

import contextlib
import fcntl
import os
import pty
import socket
import ssl
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from typing import Any, Optional

from commands import in_process
from peers import A, B
from servers import TIMEOUT, accepting

from pysidctx.cli.check.audit import AuditedHost, Evidence, Options, Way
from pysidctx.cli.check.connection import Seen, Target
from pysidctx.cli.check.report import Report
from pysidctx.cli.check.verdicts import Finding

COMMAND = [sys.executable, "-m", "pysidctx", "check"]


def ran(port: int, *arguments: object, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run the command in its own process."""
    command = [*COMMAND, f"127.0.0.1:{port}", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def ran_here(port: int, *arguments: object) -> "subprocess.CompletedProcess[str]":
    """Run the command in this process."""
    return in_process("check", f"127.0.0.1:{port}", *arguments)


def on_a_terminal(port: int, *arguments: object, columns: int = 80, lines: int = 24, **environment: str
                  ) -> tuple[int, str]:
    """Return the exit code of the command, and its output on a terminal of this size."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    with subprocess.Popen([*COMMAND, f"127.0.0.1:{port}", *map(str, arguments)], stdin=follower, stdout=follower,
                          stderr=follower, env={**inherited, "TERM": "xterm", **environment}) as process:
        os.close(follower)
        said = b""
        with contextlib.suppress(OSError):  # how a terminal ends
            while more := os.read(leader, 4096):
                said += more
        os.close(leader)
    return process.returncode, said.decode()


def answer(plain: socket.socket, ctx: ssl.SSLContext) -> None:
    plain.settimeout(TIMEOUT)
    with contextlib.suppress(OSError), plain, ctx.wrap_socket(plain, server_side=True) as made:
        while made.recv(4096):  # nothing that the client may leave unread, which would reset the connection
            pass
        made.unwrap()


@contextlib.contextmanager
def serving(*contexts: ssl.SSLContext) -> Iterator[int]:
    """A server with as many workers as contexts, which take turns: its port."""
    turn = [*contexts]

    def serve(plain: socket.socket) -> None:
        turn.append(turn.pop(0))
        threading.Thread(target=answer, args=(plain, turn[-1])).start()

    with accepting(serve) as (_, port):
        yield port


def plain_ssl(make_server_ctx: Callable[..., ssl.SSLContext]) -> ssl.SSLContext:
    """Two hosts, as in the documentation of Python's ssl, one of which should require a certificate."""
    shop, bank = make_server_ctx(), make_server_ctx(verify=ssl.CERT_REQUIRED)

    def switch(connection: ssl.SSLObject, name: Optional[str], ctx: ssl.SSLContext) -> None:
        if name == B:
            connection.context = bank

    shop.sni_callback = switch
    return shop


SEEN = Seen(True, True, "", False, b"certificate", False, [], None, "")
TICKET, SESSION_ID, TLS13 = Way("TLS 1.2", True), Way("TLS 1.2", False), Way("TLS 1.3", True)


def report(*findings: Finding, names: tuple[str, ...] = (A, B), hosts: Optional[dict[str, list[AuditedHost]]] = None,
           unfinished: str = "", verified: tuple[str, ...] = ()) -> Report:
    """A report of invented findings."""
    if hosts is None:
        hosts = {version: [AuditedHost(name, SEEN, None) for name in names or (None,)]
                 for version in ("TLS 1.2", "TLS 1.3")}
    evidence = Evidence(hosts, {}, {}, {}, {}, {}, unfinished, 42, 1.25)
    return Report(Target("127.0.0.1", 443, "127.0.0.1"), Options(names, verified=verified), evidence, list(findings))


def resumption(where: Optional[Way], name: Optional[str], resumed: int, tried: int = 9, grade: Optional[str] = None,
               seen: str = "") -> Finding:
    grade = grade or ("ok" if resumed == tried else "note")
    why = "" if grade == "ok" else "because"
    return Finding("resumption", where, grade, seen or f"{resumed} of {tried} returning connections were resumed", why,
                   why, name=name, resumed=resumed, tried=tried)


def crossing(where: Optional[Way], made_for: str, name: str, resumed: int = 0, grade: str = "ok", tried: int = 2,
             check: str = "names") -> Finding:
    seen = f"a session made for {made_for} is resumed for {name}" if resumed else "not resumed under another name"
    why = "" if grade == "ok" else "because"
    return Finding(check, where, grade, seen, why, why, name=name, made_for=made_for, resumed=resumed, tried=tried)
