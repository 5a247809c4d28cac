"""The servers that the clients visit, with a certificate of each kind: on loopback, and at a distance."""

import os
import shutil
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import trustme

from benchmarks import ROOT
from benchmarks.clients.libraries import HOST
from benchmarks.handshakes.certificates import KEY_TYPES
from benchmarks.handshakes.sides import ECDSA
from loopback import nginx
from loopback.processes import free_port, start, stop, wait_until

DIRECT = f"{ECDSA}, no intermediate CA"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
ROUND_TRIP = 0.02  # seconds


class Ports(NamedTuple):
    echo: int
    http: int  # 0 without nginx


class Servers(NamedTuple):
    ca_file: Path
    near: dict[str, Ports]  # by the kind of certificate
    far: dict[str, Ports]


@contextmanager
def running(folder: Path, keys: Sequence[str]) -> Iterator[Servers]:
    root = trustme.CA(key_type=trustme.KeyType.ECDSA)
    ca = root.create_child_ca(key_type=trustme.KeyType.ECDSA)
    servers = Servers(folder / "ca.pem", {}, {})
    root.cert_pem.write_to_path(str(servers.ca_file))
    with ExitStack() as stack:
        for number, key in enumerate(keys):
            own = folder / str(number)
            own.mkdir()
            issuer, kind = (root, ECDSA) if key == DIRECT else (ca, key)
            issuer.issue_cert(HOST, key_type=KEY_TYPES[kind]).private_key_and_cert_chain_pem.write_to_path(
                str(own / "server.pem"))
            servers.near[key] = Ports(echo(stack, own), with_nginx(stack, own))
            servers.far[key] = Ports(*(port and distant(stack, own, port) for port in servers.near[key]))
        yield servers


def echo(stack: ExitStack, folder: Path) -> int:
    port = free_port()
    started(stack, folder, port, [sys.executable, "-m", "benchmarks.clients.echo", port, "server.pem"])
    return port


def with_nginx(stack: ExitStack, folder: Path) -> int:
    if NGINX is None:
        return 0
    port = free_port()
    host = nginx.host(port, HOST, "server.pem", answer="hello")
    started(stack, folder, port, nginx.command(NGINX, folder, [host], workers=1, settings="keepalive_timeout 0;"))
    return port


def distant(stack: ExitStack, folder: Path, port: int) -> int:
    """Start a proxy to a port, and return that of the proxy."""
    own = free_port()
    started(stack, folder, own, [sys.executable, "-m", "benchmarks.clients.proxy", own, port, ROUND_TRIP])
    return own


def started(stack: ExitStack, folder: Path, port: int, command: Sequence[object]) -> None:
    process = start(command, folder, dict(os.environ, PYTHONPATH=str(ROOT)))
    stack.callback(stop, process)
    wait_until(lambda: socket.create_connection(("127.0.0.1", port)).close(), process, folder)
