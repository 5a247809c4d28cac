"""TLS servers that send one byte and end, or less, and their clients."""

import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Optional

from client_hello import ClientHello
from servers import TIMEOUT, Address

SESSION_TICKET, PRE_SHARED_KEY = 35, 41  # the extensions that offer a ticket of TLS 1.2, if not empty, and of TLS 1.3
INTERNAL_ERROR = b"\x15\x03\x03\0\x02\x02\x50"


def offers_ticket(hello: ClientHello) -> bool:
    extensions = dict(hello.extensions)
    return PRE_SHARED_KEY in extensions or bool(extensions.get(SESSION_TICKET))


def serving(ctx: ssl.SSLContext, end: Optional[bytes] = None) -> Callable[[socket.socket], None]:
    """Serve a connection; if the client offers a ticket, send only `end`, unless that is None."""

    def serve(plain: socket.socket) -> None:
        plain.settimeout(TIMEOUT)
        with plain, contextlib.suppress(OSError):
            hello = plain.recv(1 << 16, socket.MSG_PEEK)
            if end is not None and offers_ticket(ClientHello.parse(hello)):
                plain.recv(1 << 16)
                plain.sendall(end)
                return
            with ctx.wrap_socket(plain, server_side=True) as connection:
                connection.sendall(b"x")

    return serve


def visit(address: Address, ctx: ssl.SSLContext) -> bool:
    """Whether a connection was resumed, which is not shut down in order."""
    with socket.create_connection(address, timeout=TIMEOUT) as plain:
        with ctx.wrap_socket(plain, server_hostname="a.test") as connection:
            connection.recv(1)
            return bool(connection.session_reused)
