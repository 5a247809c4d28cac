"""TLS servers of other projects, with two hosts, started on loopback for the tests; and a client."""

import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Optional, Union

import trustme
from machine import program
from server_programs import connection_of_s_client
from servers import TIMEOUT

from loopback import nginx as nginx_server
from loopback.processes import free_port, start, stop, wait_until

A, B = "a.test", "b.test"
FLAGS = {"TLS 1.2": ["-tls1_2"], "TLS 1.2 without tickets": ["-tls1_2", "-no_ticket"],
         "TLS 1.3": ["-tls1_3"]}

HAPROXY = """
global
    nbthread 2
defaults
    mode http
    timeout client 5s
    timeout server 5s
    timeout connect 5s
frontend both
    bind 127.0.0.1:{port} ssl crt {folder}/a.test.pem crt {folder}/b.test.pem {settings}
    http-request return status 200 content-type text/plain string hello
"""


def write_certificates(folder: Path) -> None:
    """One for each host, one for both, one for clients, and the CA of them all."""
    ca = trustme.CA(key_type=trustme.KeyType.ECDSA)
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    for name, names in {"a.test": [A], "b.test": [B], "both": [A, B], "client": ["client@a.test"]}.items():
        ca.issue_cert(*names, key_type=trustme.KeyType.ECDSA).private_key_and_cert_chain_pem.write_to_path(
            str(folder / f"{name}.pem"))


def nginx(folder: Path, port: int, *, settings: str = "", names: Sequence[str] = (A,), certificate: str = "",
          host_settings: Optional[Mapping[str, str]] = None) -> list[str]:
    """With a host of each name; `certificate` names the one that all of them have."""
    hosts = [nginx_server.host(port, name, f"{certificate or name}.pem", answer=name,
                               settings=(host_settings or {}).get(name, "")) for name in names]
    return nginx_server.command(program("nginx", "nginx-light"), folder, hosts, settings=settings)


def haproxy(folder: Path, port: int, *, settings: str = "") -> list[str]:
    (folder / "haproxy.cfg").write_text(HAPROXY.format(folder=folder, port=port, settings=settings))
    return [program("haproxy", "haproxy"), "-db", "-f", str(folder / "haproxy.cfg")]


def s_server(folder: Path, port: int, *options: str) -> list[str]:
    return [program("openssl", "openssl"), "s_server", "-accept", str(port), "-quiet", "-www", "-cert",
            str(folder / "a.test.pem"), *options]


class Peer:
    """A program that serves on a port, as a context manager."""

    def __init__(self, make: Callable[..., Sequence[object]], folder: Path, *arguments: object,
                 **options: object) -> None:
        self.folder, self.port = folder, free_port()
        self.command = [*map(str, make(folder, self.port, *arguments, **options))]

    def __enter__(self) -> "Peer":
        self.process = start(self.command, self.folder)
        try:
            wait_until(self.greet, self.process, self.folder)
        except BaseException:
            stop(self.process)
            raise
        return self

    def __exit__(self, kind: Optional[type[BaseException]], error: Optional[BaseException],
                 traceback: Optional[TracebackType]) -> None:
        stop(self.process)

    def greet(self) -> None:
        socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT).close()


def s_client(port: int, way: str, name: str, *options: Union[str, Path]) -> str:
    """Return how `openssl s_client` reports a connection: New, Reused or refused."""
    return connection_of_s_client(port, name, *FLAGS[way], *options)[0]


def resumed_elsewhere(folder: Path, port: int, way: str, made: str, offered: str, tries: int) -> bool:
    """Whether one of so many offers of a session to another name is taken, says `openssl s_client`."""
    file = folder / "session.pem"
    file.unlink(missing_ok=True)
    s_client(port, way, made, "-sess_out", file)
    return file.exists() and any(
        s_client(port, way, offered, "-sess_in", file) == "Reused" for _ in range(tries))
