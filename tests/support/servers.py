"""The ways in which Python serves TLS, with and without loopback sockets, and a client that visits them."""

import asyncio
import json
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, NamedTuple, Optional, Protocol, TypeVar

import libssl
from handshakes import close, pair, shake
from machine import module

from pysidctx import Session

TIMEOUT = 60  # seconds, where several suites share a slow machine

T = TypeVar("T")
Address = tuple[str, int]
Contexts = Mapping[str, ssl.SSLContext]  # that may serve a connection, by name


class Visit(NamedTuple):
    """The observations of a connection, by its server and by its client."""

    resumed: bool
    id_context: bytes
    served_by: str      # the name that the server has for the SSL_CTX
    client_names: list[str]  # in the client's certificate, as the server sees it
    server_names: list[str]
    session: Optional[ssl.SSLSession]


def names_in(certificate: Optional[Mapping[str, Any]]) -> list[str]:
    return [name for _, name in (certificate or {}).get("subjectAltName", ())]


def report(connection: libssl.Connection, contexts: Contexts) -> bytes:
    """What a server has to say to its client, about a connection after its handshake.

    `contexts` has the contexts that may serve it, by name.
    """
    names = {libssl.pointer(ctx): name for name, ctx in contexts.items()}
    return json.dumps([
        connection.session_reused,
        libssl.session_id_context(connection).hex(),
        names[libssl.SSL_get_SSL_CTX(libssl.pointer(connection))],
        names_in(connection.getpeercert()),
    ]).encode()


def visited(client: libssl.Connection, told: bytes) -> Visit:
    resumed, id_context, served_by, client_names = json.loads(told)
    assert client.session_reused == resumed
    return Visit(resumed, bytes.fromhex(id_context), served_by, client_names, names_in(client.getpeercert()),
                 client.session)


def visit(address: Address, client_ctx: ssl.SSLContext, name: str, session: Optional[ssl.SSLSession] = None) -> Visit:
    """Connect, hear the server's report and close in order; SSLError where it refuses."""
    with socket.create_connection(address, timeout=TIMEOUT) as plain, client_ctx.wrap_socket(
        plain, server_hostname=name, session=session, suppress_ragged_eofs=False
    ) as client:
        seen = visited(client, b"".join(iter(lambda: client.recv(1000), b"")))
        client.unwrap()
        return seen


def offer(address: Address, client_ctx: ssl.SSLContext, session: Optional[Session] = None, name: str = "a.test"
          ) -> tuple[bool, Session]:
    """Connect, offering a Session; whether the server resumed it, and the connection's Session."""
    with socket.create_connection(address, timeout=TIMEOUT) as plain, client_ctx.wrap_socket(
        plain, server_hostname=name, do_handshake_on_connect=False, suppress_ragged_eofs=False
    ) as client:
        if session is not None:
            session.resume_on(client)
        client.do_handshake()
        resumed, *_ = json.loads(b"".join(iter(lambda: client.recv(1000), b"")))
        assert client.session_reused == resumed
        mine = Session.of(client)
        client.unwrap()
        return resumed, mine


def answer(plain: socket.socket, listener: ssl.SSLContext, contexts: Contexts) -> None:
    plain.settimeout(TIMEOUT)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # A handshake that fails does so for the client too, which is asked what has come of it.
    with suppress(ssl.SSLError, ConnectionError), plain:
        with listener.wrap_socket(plain, server_side=True) as connection:
            connection.sendall(report(connection, contexts))
            connection.unwrap()


@contextmanager
def accepting(serve: Callable[[socket.socket], object]) -> Iterator[Address]:
    """The address where a thread accepts connections and calls `serve` with each."""
    def accept() -> None:
        with suppress(OSError):  # that it was shut down
            while True:
                connection, _ = listening.accept()
                serve(connection)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listening.getsockname()
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


class Visiting(Protocol):
    """visit() without an address."""

    def __call__(self, client_ctx: ssl.SSLContext, name: str, session: Optional[ssl.SSLSession] = None, /) -> Visit: ...


# Each way is a context manager, made of a listener and of the contexts by name, that gives a Visiting.

@contextmanager
def blocking_socket(listener: ssl.SSLContext, contexts: Contexts) -> Iterator[Visiting]:
    with accepting(lambda plain: answer(plain, listener, contexts)) as address:
        yield lambda *client: visit(address, *client)


@contextmanager
def thread_per_connection(listener: ssl.SSLContext, contexts: Contexts) -> Iterator[Visiting]:
    threads: list[threading.Thread] = []

    def serve(plain: socket.socket) -> None:
        threads.append(threading.Thread(target=answer, args=(plain, listener, contexts)))
        threads[-1].start()

    with accepting(serve) as address:
        yield lambda *client: visit(address, *client)
    for thread in threads:
        thread.join()


@contextmanager
def memory_bio(listener: ssl.SSLContext, contexts: Contexts) -> Iterator[Visiting]:
    def visit(client_ctx: ssl.SSLContext, name: str, session: Optional[ssl.SSLSession] = None) -> Visit:
        ends = pair(listener, client_ctx, session=session, name=name)
        try:
            shake(ends)
        except ssl.SSLError:
            ends.client.read()  # raises what the server's alert says
            raise
        ends.server.write(report(ends.server, contexts))
        seen = visited(ends.client, ends.client.read())
        close(ends)
        return seen

    yield visit


@contextmanager
def on_loop(loop: asyncio.AbstractEventLoop, listener: ssl.SSLContext, contexts: Contexts) -> Iterator[Visiting]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(report(writer.get_extra_info("ssl_object"), contexts))
        writer.close()
        await writer.wait_closed()

    async def stop() -> None:
        server.close()
        await server.wait_closed()

    def run(coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(TIMEOUT)

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        server = run(asyncio.start_server(answer, "127.0.0.1", 0, ssl=listener))
        address = server.sockets[0].getsockname()
        yield lambda *client: visit(address, *client)
        run(stop())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def with_asyncio(listener: ssl.SSLContext, contexts: Contexts) -> AbstractContextManager[Visiting]:
    return on_loop(asyncio.new_event_loop(), listener, contexts)


def with_uvloop(listener: ssl.SSLContext, contexts: Contexts) -> AbstractContextManager[Visiting]:
    return on_loop(module("uvloop", "uvloop").new_event_loop(), listener, contexts)


WAYS = {
    "socket": blocking_socket,
    "memory BIO": memory_bio,
    "asyncio": with_asyncio,
    "uvloop": with_uvloop,
    "thread per connection": thread_per_connection,
}
