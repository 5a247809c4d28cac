"""What leaks.py repeats with clients whose sessions are kept."""

import contextlib
import gc
import os
import ssl
import tempfile
import warnings
from collections.abc import Callable

import handshakes

from pysidctx import ClientSessions
from pysidctx.clients import everywhere


def context(ca: str) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.load_verify_locations(ca)
    return made


def cases(server_ctx: ssl.SSLContext, certificate: str, ca: str) -> dict[str, Callable[[int], None]]:
    """Functions of a round's number by their names."""
    sessions = ClientSessions(hosts=5)
    clients = [context(ca) for _ in handshakes.VERSIONS]
    for client, version in zip(clients, handshakes.VERSIONS):
        client.minimum_version = client.maximum_version = version
        client.check_hostname = False
        sessions.install(client, share=True)
    folder = tempfile.TemporaryDirectory()
    path = os.path.join(folder.name, "sessions.pem")

    def visits(number: int) -> None:
        name = ("a.test", "b.test", f"host{number}.test")[number % 3]
        ends = handshakes.pair(server_ctx, clients[number % 2], name=name)
        if number % 7 == 0:  # a handshake that offers a session, and fails
            with contextlib.suppress(ssl.SSLWantReadError):
                ends.client.do_handshake()
            return
        handshakes.shake(ends)
        if number % 50 == 0:
            sessions.forget("a.test")

    # The folder lasts as long as its object.
    def changes(number: int, folder: "tempfile.TemporaryDirectory[str]" = folder) -> None:
        ctx = sessions.install(context(ca))
        if number % 2:
            ctx.load_cert_chain(certificate)
            ClientSessions().install(ctx, share=True)
        with contextlib.suppress(ssl.SSLWantReadError):
            ctx.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="a.test").do_handshake()
        if number % 3 == 0:
            with everywhere(sessions):
                context(ca)
        if number % 10 == 0:
            handshakes.shake(handshakes.pair(server_ctx, clients[1]))
            sessions.save(path)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                sessions.load(path)
            gc.collect()

    return {"clients that resume": visits, "contexts of clients": changes}
