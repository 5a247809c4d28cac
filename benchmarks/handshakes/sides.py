"""Servers that choose an id context in several ways, and the clients that come back to them.

What valgrind runs imports no more than this.
"""

import random
import ssl
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns
from typing import NamedTuple, Optional

from benchmarks import native
from benchmarks.handshakes.server_time import VERSIONS, server_time
from pysidctx import HostMap, TicketKeys, resumable, set_session_id_context

FLOOR = "OpenSSL without Python"
PLAIN = "ssl"
PER_CONNECTION = "set_session_id_context() each"
SNI = "sni_callback"
KEYS = "TicketKeys"
BOTH = "resumable()"
ECDSA = "ECDSA P-256"
# One for all names, so that a session may be resumed under any of them.
SID_CTX = b"benchmark"


class Case(NamedTuple):
    """A kind of handshake."""

    version: str
    key: str
    client_certificate: bool
    resumed: bool = False

    def __str__(self) -> str:
        words = [self.version, self.key, *(["client"] if self.client_certificate else []),
                 "resumed" if self.resumed else "full"]
        return ", ".join(words)


class Count(NamedTuple):
    """A kind of resumed handshake, with ECDSA P-256, whose instructions are counted."""

    version: str
    side: str  # a number of hosts, whose HostMap the listener has; or whose ticket keys it has: PLAIN or KEYS
    client_certificate: bool = False


def in_map(hosts: int) -> str:
    return f"HostMap of {hosts:,}"


class Maps:
    """The HostMaps, one of each size, which all listeners share."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        self.name: Callable[[int], str] = native.load("hostmap_cython").name
        self.sizes = sizes
        self.made = {in_map(size): HostMap(dict.fromkeys(map(self.name, range(size)), SID_CTX))
                     for size in sizes}
        self.size_of = dict(zip(self.made, sizes))

    def random_name(self, side: str, chance: random.Random) -> str:
        return self.name(chance.randrange(self.size_of.get(side, self.sizes[0])))


class Side:
    """A server, with the session that its client resumes."""

    def __init__(self, listener: ssl.SSLContext, client_ctx: ssl.SSLContext,
                 prepare: Optional[Callable[[ssl.SSLObject], None]] = None) -> None:
        self.listener, self.client_ctx, self.prepare = listener, client_ctx, prepare
        self.session: "Optional[ssl.SSLSession]" = None
        self.clock: Callable[[], int] = perf_counter_ns

    def shake(self, name: str, resume: bool) -> float:
        taken, client = server_time(self.listener, self.client_ctx, name,
                                    self.session if resume else None, self.prepare, self.clock)
        if self.session is None:
            self.session = client.session
        return taken


class FloorSide:
    """The same without Python."""

    def __init__(self, listener: ssl.SSLContext, client_ctx: ssl.SSLContext) -> None:
        self.floor = native.load("handshake_cython").Floor(listener, client_ctx)

    def shake(self, name: str, resume: bool) -> float:
        taken: float = self.floor.server_time(name, resume)
        return taken


class Certificates:
    """Contexts with the certificates that certificates.issue() has written to a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def listener(self, case: Case) -> ssl.SSLContext:
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ctx.load_cert_chain(self.folder / f"{case.key}.pem")
        ctx.load_verify_locations(self.folder / "ca.pem")
        ctx.verify_mode = ssl.CERT_REQUIRED if case.client_certificate else ssl.CERT_NONE
        return ctx

    def client_context(self, case: Case) -> ssl.SSLContext:
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        ctx.minimum_version = ctx.maximum_version = VERSIONS[case.version]
        ctx.check_hostname = False
        ctx.load_verify_locations(self.folder / "ca.pem")
        if case.client_certificate:
            ctx.load_cert_chain(self.folder / "client.pem")
        return ctx


def sides_of(case: Case, made: Certificates, maps: Maps) -> "dict[str, Side | FloorSide]":
    """Each side has a context of its own, so that no context is in the processor's caches more than the others."""
    client_ctx = made.client_context(case)
    sides: "dict[str, Side | FloorSide]" = {
        FLOOR: FloorSide(made.listener(case), client_ctx),
        PLAIN: Side(made.listener(case), client_ctx),
        PER_CONNECTION: Side(made.listener(case), client_ctx,
                             lambda connection: set_session_id_context(connection, SID_CTX)),
    }
    for name, hosts in maps.made.items():
        listener = made.listener(case)
        hosts.install(listener)
        sides[name] = Side(listener, client_ctx)
    with_callback = made.listener(case)
    found = {maps.name(number): with_callback for number in range(maps.sizes[0])}
    with_callback.sni_callback = lambda connection, name, ctx: looked_up(found, name)
    sides[SNI] = Side(with_callback, client_ctx)
    with_keys = made.listener(case)
    TicketKeys().install(with_keys)
    sides[KEYS] = Side(with_keys, client_ctx)
    sides[BOTH] = Side(resumable(made.listener(case), TicketKeys()), client_ctx)
    for side in sides.values():
        side.shake(maps.name(0), False)
    return sides


def looked_up(found: dict[str, ssl.SSLContext], name: str) -> None:
    found.get(name)
