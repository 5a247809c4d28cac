"""Repeat one kind of call in a separate process, and fail if memory grows.

    python leaks.py CASE CERTIFICATE CA [--seed-a-leak]
"""

import ctypes
import gc
import resource
import ssl
import sys
from collections.abc import Callable
from typing import Any

import cache_leaks
import handshakes
import session_leaks
import ticket_leaks

import pysidctx

SEEDED = 48  # bytes a round: about what pysidctx keeps on a connection
NOISE = 1 << 17  # bytes
# Of what takes little time: as many as show one block of malloc's a round, which takes 32 bytes and more.
MANY = 20_000


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def main(case: str, certificate: str, ca: str, *flags: str) -> bool:
    server_ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_ctx.load_cert_chain(certificate)
    server_ctx.load_verify_locations(ca)
    client_ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_ctx.load_verify_locations(ca)
    connection = handshakes.pair(server_ctx, client_ctx).server
    malloc = ctypes.CDLL(None).malloc
    sid_ctxs = [bytes([number]) * (number % 33) for number in range(256)]

    def call(number: int) -> None:
        sid_ctx = sid_ctxs[number % 256]
        pysidctx.set_session_id_context(server_ctx, sid_ctx)
        pysidctx.set_session_id_context(connection, bytearray(sid_ctx))

    def refused(number: int) -> None:
        wrong: list[tuple[Any, Any]] = [(server_ctx, b"x" * 33), (object(), b"x"), (connection, "x")]
        for target, sid_ctx in wrong:
            try:
                pysidctx.set_session_id_context(target, sid_ctx)
            except (TypeError, ValueError):
                continue
            raise AssertionError("not refused")

    def new_objects(number: int) -> None:
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        pysidctx.set_session_id_context(ctx, sid_ctxs[number % 256])
        one = ctx.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)
        pysidctx.set_session_id_context(one, sid_ctxs[number % 256])
        if flags:
            malloc(SEEDED)

    def connections(number: int) -> None:
        pysidctx.set_session_id_context(server_ctx, sid_ctxs[number % 256])
        handshakes.connect(server_ctx, client_ctx)

    def fingerprints(number: int) -> None:
        pysidctx.context_fingerprint(server_ctx)
        pysidctx.derive_session_id_context("shop", str(number))

    hosts = pysidctx.HostMap({"a.test": server_ctx, "*.w.test": b"w"})
    routed = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if case == "routed connections":
        hosts.install(routed)

    def lookups(number: int) -> None:
        assert hosts.match(f"host{number}.w.test") == "*.w.test"
        assert hosts.match(f"host{number}.test") is None

    def changes(number: int) -> None:
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        hosts["a.test"] = ctx
        hosts.update({f"host{more}.test": ctx for more in range(20)})
        hosts[f"host{number}.test"] = pysidctx.Host(server_ctx, b"x")
        del hosts[f"host{number}.test"]
        pysidctx.HostMap(hosts).install(ctx)
        try:
            hosts.update({"b.test": ctx, "c.test": ctx, "": ctx})
        except ValueError:
            hosts.clear()
        if number % 50 == 0:  # each context and its map are a cycle
            gc.collect()

    def routed_connections(number: int) -> None:
        name = ("a.test", "localhost")[number % 2]
        handshakes.connect(routed if name == "a.test" else server_ctx, client_ctx, name=name)
        if number % 100 == 0:
            hosts["a.test"] = server_ctx

    work, rounds = {
        "call": (call, MANY), "refused": (refused, MANY),
        "new objects": (new_objects, 10_000), "connections": (connections, 3_000),
        "fingerprints": (fingerprints, MANY), "lookups": (lookups, MANY),
        "changes": (changes, 3_000), "routed connections": (routed_connections, 4_000),
        **session_leaks.cases(server_ctx, client_ctx),
        **cache_leaks.cases(certificate, ca),
        **ticket_leaks.cases(server_ctx, client_ctx, certificate, ca),
    }[case]
    for number in range(rounds // 4):  # until caches and allocators have their size
        work(number)
    # A leak grows each time; what an allocator takes once, it has the next time.
    return all(grows(case, work, rounds) for _ in range(3))


def grows(case: str, work: Callable[[int], object], rounds: int) -> bool:
    before = resident()
    for number in range(rounds):
        work(number)
    grown = resident() - before
    print(f"{case}: {rounds} rounds, {grown} bytes more")
    return grown > SEEDED * rounds / 2 + NOISE


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
