"""Listeners that keep their sessions in several ways, and clients with certificates that come back to them."""

import ssl
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

from benchmarks import native
from benchmarks.handshakes.server_time import VERSIONS
from pysidctx import SessionCache, TicketKeys

NAME = "a.example.org"
OWN_TICKETS, KEYS, OWN_CACHE, CACHE = "OpenSSL's tickets", "TicketKeys", "OpenSSL's own cache", "SessionCache"
SIDES = OWN_TICKETS, KEYS, OWN_CACHE, CACHE
RESUMED, FULL, NEW = "resumed", "full", "full, new client"
KINDS = RESUMED, FULL, NEW
NEW_ONES = OWN_TICKETS, CACHE  # the sides on which new clients are of interest


class Measure(NamedTuple):
    """What is measured of a version: a side, and the kind of its handshakes."""

    side: str
    kind: str


MEASURES = tuple(Measure(side, kind) for kind in KINDS for side in (NEW_ONES if kind == NEW else SIDES))


class Sides:
    """All sides, each with a listener of its own, for the clients of one version."""

    def __init__(self, folder: Path, version: str, new: int) -> None:
        floor = native.load("handshake_cython").Floor
        clients = [client_context(folder, version, number) for number in range(new + 1)]
        self.known = {}
        self.new = {}
        for side in SIDES:
            listener = listener_of(folder, side)
            self.known[side] = floor(listener, clients[0], True)
            self.new[side] = cycle([floor(listener, each, True) for each in clients[1:]])
        for side in SIDES:  # what is done once
            for resume in (False, True, True, False):
                self.known[side].server_time(NAME, resume)

    def shake(self, measure: Measure, collect: bool = False) -> float:
        """A handshake: the server's time, in us, or, for valgrind, its instructions."""
        floor = next(self.new[measure.side]) if measure.kind == NEW else self.known[measure.side]
        call: Callable[[str, bool], float] = floor.collected if collect else floor.server_time
        return (call(NAME, measure.kind == RESUMED) or 0) / 1000


def listener_of(folder: Path, side: str) -> ssl.SSLContext:
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(folder / "server.pem")
    ctx.load_verify_locations(folder / "ca.pem")
    ctx.verify_mode = ssl.CERT_REQUIRED
    if side == OWN_CACHE:
        ctx.options |= ssl.OP_NO_TICKET
    elif side == KEYS:
        TicketKeys().install(ctx)
    elif side == CACHE:
        SessionCache().install(ctx)
    return ctx


def client_context(folder: Path, version: str, number: int) -> ssl.SSLContext:
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ctx.minimum_version = ctx.maximum_version = VERSIONS[version]
    # A client that trusts its own CA would send that certificate, too, for the server to decode.
    ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
    ctx.load_cert_chain(folder / f"client{number}.pem")
    return ctx
