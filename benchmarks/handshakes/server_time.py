"""Handshakes of Python's ssl over memory BIOs, which measure the server's time."""

import ssl
from collections.abc import Callable
from contextlib import suppress
from time import perf_counter_ns
from typing import Optional

VERSIONS = {"TLS 1.2": ssl.TLSVersion.TLSv1_2, "TLS 1.3": ssl.TLSVersion.TLSv1_3}


def server_time(listener: ssl.SSLContext, client_ctx: ssl.SSLContext, name: str,
                session: "ssl.SSLSession | None",
                prepare: Optional[Callable[[ssl.SSLObject], None]] = None,
                clock: Callable[[], int] = perf_counter_ns) -> tuple[int, ssl.SSLObject]:
    """The nanoseconds that a server took for a handshake, and its client.

    `prepare` is what it does with the connection before that, which counts.
    """
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_ctx.wrap_bio(to_client, to_server, server_hostname=name, session=session)
    server = listener.wrap_bio(to_server, to_client, server_side=True)
    taken = 0
    for last in (False, True):
        with suppress(ssl.SSLWantReadError):
            client.do_handshake()
        start = clock()
        try:
            if prepare is not None and not last:
                prepare(server)
            server.do_handshake()
        except ssl.SSLWantReadError:
            if last:
                raise
        taken += clock() - start
    if session is None:
        with suppress(ssl.SSLWantReadError):
            client.do_handshake()
            client.read()
    elif not server.session_reused:
        raise AssertionError("this was to be a resumed handshake")
    # Without it the server's cache forgets the session.
    for end in (client, server):
        with suppress(ssl.SSLError):
            end.unwrap()
    return taken, client
