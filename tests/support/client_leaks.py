"""The calls with ClientSessions that leaks.py repeats."""

import os
import ssl
import tempfile
from collections.abc import Callable

import handshakes

import pysidctx
from pysidctx.clients import everywhere


def cases(server_ctx: ssl.SSLContext, ca: str) -> dict[str, Callable[[int], None]]:
    """Functions of a round's number by their names."""
    sessions = pysidctx.ClientSessions(hosts=20)

    def client(version: ssl.TLSVersion) -> ssl.SSLContext:
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        ctx.check_hostname = False
        ctx.load_verify_locations(ca)
        ctx.minimum_version = ctx.maximum_version = version
        return sessions.install(ctx, share=True)

    clients = [client(version) for version in handshakes.VERSIONS]

    def kept(number: int) -> None:
        """Most are resumed; the hosts are more than are kept; some handshakes fail."""
        ends = handshakes.pair(server_ctx, clients[number % 2], name=f"host{number % 7 or number % 50}.test")
        if number % 11:
            handshakes.shake(ends)
            return
        try:
            ends.client.do_handshake()
        except ssl.SSLWantReadError:
            pass

    def come_and_go(number: int) -> None:
        own = pysidctx.ClientSessions()
        ctx = own.install(client(handshakes.VERSIONS[number % 2]))
        handshakes.shake(handshakes.pair(server_ctx, ctx))
        if number % 2:
            own.uninstall(ctx)
        with everywhere(own):
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        own.forget("a.test")

    def files(number: int) -> None:
        """Seldom, because each time takes many sessions. In memory, where nothing waits for a disk."""
        if number % 20:
            return
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
            path = os.path.join(folder, "sessions")
            sessions.save(path)
            sessions.load(path)

    for number in range(50):
        kept(number)
    return {"kept sessions": kept, "client contexts": come_and_go, "files of kept sessions": files}
