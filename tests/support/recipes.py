"""The recipes of the documentation for clients that resume by themselves, and what is seen of their handshakes."""

import socket
import ssl
import threading
from pathlib import Path
from typing import Any, NamedTuple

from machine import lack, program
from readme import names_in_docs

import pysidctx
from loopback import nginx

REQUESTS = 12
WAYS = {  # the options of a context, and nginx's settings
    "TLS 1.2, ticket": (ssl.TLSVersion.TLSv1_2, "ssl_protocols TLSv1.2;"),
    "TLS 1.2, session id": (ssl.TLSVersion.TLSv1_2, "ssl_protocols TLSv1.2; ssl_session_tickets off; "
                                                    "ssl_session_cache shared:ids:1m;"),
    "TLS 1.3": (ssl.TLSVersion.TLSv1_3, "ssl_protocols TLSv1.3;"),
}
HOST = "localhost"


def recipe(name: str) -> Any:
    """A function or class of the documentation."""
    try:
        return names_in_docs(name)[name]
    except ModuleNotFoundError as error:
        lack(f"the module {error.name} is missing: install pysidctx[test]")


def client_context(ca_file: Path, way: str = "", *, single_use: bool = True) -> ssl.SSLContext:
    """On which ClientSessions are installed."""
    ctx = ssl.create_default_context(cafile=ca_file)
    if way:
        ctx.minimum_version = ctx.maximum_version = WAYS[way][0]
    if "session id" in way:
        ctx.options |= ssl.OP_NO_TICKET
    return pysidctx.ClientSessions(single_use=single_use).install(ctx)


class Seen(NamedTuple):
    """What is seen of each handshake of a client, and classes for SSLContext to note it."""

    resumed: list[bool]   # as the SSL object says
    no_delay: list[bool]  # whether the socket has TCP_NODELAY; memory BIOs have none
    sslsocket_class: type[ssl.SSLSocket]
    sslobject_class: type[ssl.SSLObject]


def seeing() -> Seen:
    resumed: list[bool] = []
    no_delay: list[bool] = []
    lock = threading.Lock()

    def note(connection: "ssl.SSLSocket | ssl.SSLObject") -> None:
        if not connection.server_side:
            with lock:
                resumed.append(bool(connection.session_reused))

    class Socket(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            super().do_handshake(block)
            note(self)
            if not self.server_side:
                no_delay.append(bool(self.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))

    class Object(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            note(self)

    return Seen(resumed, no_delay, Socket, Object)


def nginx_of_ways(folder: Path, port: int, ports: dict[str, int]) -> list[str]:
    """It says r where it has resumed a session, else a dot; each way of resumption has a port, and `port` has all."""
    hosts = [nginx.host(ports[way], HOST, "server.pem", answer="$ssl_session_reused", settings=settings)
             for way, (_, settings) in WAYS.items()]
    hosts.append(nginx.host(port, HOST, "server.pem", answer="$ssl_session_reused"))
    return nginx.command(program("nginx", "nginx-light"), folder, hosts, workers=1,
                         settings="keepalive_timeout 0;")
