"""What a ClientSessions costs a new context, whose CAs are hashed in its first handshake: time, beside loading them."""

import ssl
from time import perf_counter_ns
from typing import NamedTuple

import certifi
from rich.table import Table

from benchmarks.report import spread, table
from pysidctx import ClientSessions


class Times(NamedTuple):
    """Of one context each, in ms."""

    load: float   # its CAs
    plain: float  # its first ClientHello
    kept: float   # the same, with a ClientSessions
    next: float   # the one after that


def measure(rounds: int) -> list[Times]:
    return [in_turn() for _ in range(rounds)]


def in_turn() -> Times:
    begun = perf_counter_ns()
    plain = ssl.create_default_context(cafile=certifi.where())
    loaded = perf_counter_ns()
    kept = ClientSessions().install(ssl.create_default_context(cafile=certifi.where()), share=True)
    return Times((loaded - begun) / 1e6, client_hello(plain), client_hello(kept), client_hello(kept))


def client_hello(ctx: ssl.SSLContext) -> float:
    connection = ctx.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="a.test")
    begun = perf_counter_ns()
    try:
        connection.do_handshake()
    except ssl.SSLWantReadError:
        return (perf_counter_ns() - begun) / 1e6
    raise AssertionError("there is no server")


def drawn(found: list[Times]) -> Table:
    count = ssl.create_default_context(cafile=certifi.where()).cert_store_stats()["x509_ca"]
    made = table(f"A new context with certifi's {count} CAs, ms: median (least to most)",
                 "", "time", "share of loading, %")
    for name, values in (
            ("CAs loaded", [times.load for times in found]),
            ("first ClientHello", [times.plain for times in found]),
            ("first ClientHello, with ClientSessions", [times.kept for times in found]),
            ("next ClientHello, with ClientSessions", [times.next for times in found])):
        made.add_row(name, spread(values, ".3f"),
                     spread((100 * value / times.load for value, times in zip(values, found)), ".2f"))
    return made
