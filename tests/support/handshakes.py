"""TLS connections inside one thread, over memory BIOs."""

import ssl
from collections.abc import Callable
from typing import NamedTuple, Optional

import libssl

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
# Of contexts that speak one version alone. OpenSSL 4.0 has none.
FIXED = (ssl.PROTOCOL_TLSv1_2,) if ssl.OPENSSL_VERSION_INFO < (4,) else ()


class Pair(NamedTuple):
    server: ssl.SSLObject
    client: ssl.SSLObject


def pair(server_ctx: ssl.SSLContext, client_ctx: ssl.SSLContext, *, session: Optional[ssl.SSLSession] = None,
         name: Optional[str] = "a.test") -> Pair:
    """A server's and a client's end, connected, before the handshake."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_ctx.wrap_bio(to_server, to_client, server_side=True)
    client = client_ctx.wrap_bio(to_client, to_server, server_hostname=name, session=session)
    return Pair(server, client)


def shake(ends: Pair) -> Pair:
    """Do the handshake, and have the client read the tickets of TLS 1.3."""
    waiting = [ends.client, ends.server]
    for _ in range(10):
        for end in tuple(waiting):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(end)
    assert not waiting
    read_nothing(ends.client)
    return ends


def read_nothing(end: ssl.SSLObject) -> None:
    try:
        end.read()
    except ssl.SSLWantReadError:
        return
    raise AssertionError("data where none was sent")


def close(ends: Pair) -> None:
    """Shut the connection down: otherwise OpenSSL discards its session, up to some CPython 3.13."""
    for end in ends:
        try:
            end.unwrap()
        except ssl.SSLWantReadError:
            pass


def connect(server_ctx: ssl.SSLContext, client_ctx: ssl.SSLContext, *, session: Optional[ssl.SSLSession] = None,
            name: Optional[str] = "a.test", before: Optional[Callable[[Pair], object]] = None) -> Pair:
    """One whole connection; `before` is called with its two ends before the handshake."""
    ends = pair(server_ctx, client_ctx, session=session, name=name)
    if before is not None:
        before(ends)
    shake(ends)
    close(ends)
    assert ends.server.session_reused == ends.client.session_reused
    return ends


def resumes(server_ctx: ssl.SSLContext, client_ctx: ssl.SSLContext, session: Optional[ssl.SSLSession], *,
            name: Optional[str] = "a.test", before: Optional[Callable[[Pair], object]] = None) -> bool:
    return connect(server_ctx, client_ctx, session=session, name=name, before=before).server.session_reused


def id_context(ends: Pair) -> bytes:
    """The id context of the server's session."""
    return libssl.session_id_context(ends.server)
