"""Handshakes of Python's ssl over memory BIOs, of which the server's time is taken."""

import ssl
from time import perf_counter_ns

VERSIONS = {"TLS 1.2": ssl.TLSVersion.TLSv1_2, "TLS 1.3": ssl.TLSVersion.TLSv1_3}


def server_time(listener: ssl.SSLContext, client_ctx: ssl.SSLContext, name: str,
                session: "ssl.SSLSession | None") -> tuple[int, ssl.SSLObject]:
    """The nanoseconds that a server took for a handshake, and its client."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_ctx.wrap_bio(to_client, to_server, server_hostname=name, session=session)
    server = listener.wrap_bio(to_server, to_client, server_side=True)
    taken = 0
    for last in (False, True):
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            pass
        start = perf_counter_ns()
        try:
            server.do_handshake()
        except ssl.SSLWantReadError:
            if last:
                raise
        taken += perf_counter_ns() - start
    if session is None:
        try:
            client.do_handshake()
            client.read()
        except ssl.SSLWantReadError:
            pass
    elif not server.session_reused:
        raise AssertionError("this was to be a resumed handshake")
    return taken, client
