"""TLS servers in threads, which complete or break off connections as a test requires."""

import contextlib
import itertools
import socket
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Literal, Optional

from audited import answer
from peers import A, B
from servers import TIMEOUT, accepting

from pysidctx import Host, HostMap


def serve_with(ctx: ssl.SSLContext, plain: socket.socket) -> None:
    """In a thread for the connection."""
    threading.Thread(target=answer, args=(plain, ctx)).start()


@contextlib.contextmanager
def tls_server(ctx: ssl.SSLContext) -> Iterator[int]:
    with accepting(lambda plain: serve_with(ctx, plain)) as (host, port):
        yield port


def hosted(a: ssl.SSLContext, b: ssl.SSLContext, unmatched: Literal["serve", "reject"] = "serve") -> ssl.SSLContext:
    """A listener whose hosts share sessions, because the user gave them the same id context."""
    hosts = HostMap({A: Host(a, b"shared"), B: Host(b, b"shared")})
    hosts.unmatched = unmatched
    listener = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with warnings.catch_warnings():  # it has no certificate for others
        warnings.simplefilter("ignore", RuntimeWarning)
        hosts.install(listener)
    return listener


def breaking_off(plain: socket.socket, ctx: ssl.SSLContext) -> None:
    """Serve a connection as far as the first record of the server."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = ctx.wrap_bio(incoming, outgoing, server_side=True)
    with contextlib.suppress(OSError), plain:
        plain.settimeout(TIMEOUT)
        incoming.write(plain.recv(1 << 16))
        with contextlib.suppress(ssl.SSLWantReadError):
            server.do_handshake()
        said = outgoing.read()
        plain.sendall(said[:5 + int.from_bytes(said[3:5], "big")])


@contextlib.contextmanager
def served_by(choose: Callable[[int, str], ssl.SSLContext], breaks: Optional[int] = None) -> Iterator[int]:
    """A server that chooses by the number of a connection and its name; one connection it breaks off."""
    numbers = itertools.count()

    def serve(plain: socket.socket) -> None:
        plain.settimeout(TIMEOUT)
        hello = plain.recv(1 << 16, socket.MSG_PEEK)
        number = next(numbers)
        ctx = choose(number, B if B.encode() in hello else A)
        if number == breaks:
            breaking_off(plain, ctx)
        else:
            serve_with(ctx, plain)

    with accepting(serve) as (host, port):
        yield port


def told(said: dict[str, Any], *words: str) -> set[str]:
    """Return the grades of the findings that contain all these words."""
    return {each["grade"] for each in said["findings"] if all(word in each["seen"] for word in words)}


BOTH = "--name", A, "--name", B
