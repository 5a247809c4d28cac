"""Repeat one kind of call in a separate process, and fail if the memory in use grows.

    python leaks.py CASE CERTIFICATE CA [--leak-memory | --leak-objects]
    python leaks.py CERTIFICATE CA

The second form imports once for many cases: it forks a process for each line, which is an array in JSON with a path,
where this process prints, the case and its flags; and it prints the exit code.

Counted is what malloc and Python's allocator have handed out and not taken back, exactly: few rounds are enough. Run it
with GLIBC_TUNABLES=glibc.malloc.tcache_count=0, because malloc counts what it caches for a thread as handed out. The
environment variable ROUNDS repeats the calls more often.
"""

import ctypes
import gc
import json
import os
import ssl
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import cache_leaks
import client_leaks
import handshakes
import session_leaks
import ticket_leaks
from rejected import Rejecting

import pysidctx
from pysidctx.hosts.rejections import tell as tell_rejections

LIBC = ctypes.CDLL(None)


class Memory(NamedTuple):
    """What is in use: bytes of malloc's, and blocks of Python's own allocator."""

    bytes: int
    blocks: int


class Figures(ctypes.Structure):
    """mallinfo(3)'s."""

    _fields_ = [(name, ctypes.c_size_t if hasattr(LIBC, "mallinfo2") else ctypes.c_int)
                for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks",
                             "fordblks", "keepcost")]


mallinfo = LIBC.mallinfo2 if hasattr(LIBC, "mallinfo2") else LIBC.mallinfo  # the second up to glibc 2.32
mallinfo.restype = Figures

SEEDED = 48  # bytes a round: about what pysidctx keeps on a connection
# As many as show one block of malloc's a round, which takes 32 bytes and more. With more rounds no more is allowed.
FEW = 300
ROUNDS = int(os.environ.get("ROUNDS", FEW))
ALLOWED = Memory(16 * FEW + 4096, FEW // 2)


def main(case: str, certificate: str, ca: str, *flags: str) -> bool:
    server_ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_ctx.load_cert_chain(certificate)
    server_ctx.load_verify_locations(ca)
    client_ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_ctx.load_verify_locations(ca)
    connection = handshakes.pair(server_ctx, client_ctx).server
    leaked: list[object] = []
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
        if "--leak-memory" in flags:
            LIBC.malloc(SEEDED)
        if "--leak-objects" in flags:
            leaked.append(object())

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

    rejecting = Rejecting(certificate)

    def rejected_names(number: int) -> None:
        rejecting.reject(b"evil.test" if number % 3 else b"\0" * 300)
        if number % 10 == 0:
            rejecting.reject_extensions()
            tell_rejections()

    cases: dict[str, Callable[[int], object]] = {
        "call": call, "refused": refused, "new objects": new_objects, "connections": connections,
        "fingerprints": fingerprints, "lookups": lookups, "changes": changes, "routed connections": routed_connections,
        "rejected names": rejected_names,
        **session_leaks.cases(server_ctx, client_ctx),
        **cache_leaks.cases(certificate, ca),
        **client_leaks.cases(server_ctx, certificate, ca),
        **ticket_leaks.cases(server_ctx, client_ctx, certificate, ca),
    }
    work = cases[case]
    for number in range(FEW // 2):  # until caches and allocators have their size
        work(number)
    # A leak grows each time; what an allocator takes once, it has the next time.
    return all(grows(case, work) for _ in range(3))


def grows(case: str, work: Callable[[int], object]) -> bool:
    before, resident = in_use(), pages()
    for number in range(ROUNDS):
        work(number)
    grown = Memory(*(now - then for now, then in zip(in_use(), before)))
    print(f"{case}: {ROUNDS} rounds, {grown.bytes} bytes and {grown.blocks} blocks more; resident pages: {resident} "
          f"before, {pages()} after")
    return any(number > allowed for number, allowed in zip(grown, ALLOWED))


def pages() -> int:
    """How many pages of the process are in memory."""
    with open("/proc/self/statm") as told:
        return int(told.read().split()[1])


def in_use() -> Memory:
    gc.collect()
    figures = mallinfo()
    return Memory(figures.uordblks + figures.hblkhd, sys.getallocatedblocks())


def serve(certificate: str, ca: str) -> bool:
    for line in sys.stdin:
        path, case, *flags = json.loads(line)
        child = os.fork()
        if child == 0:
            for output in (1, 2):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), output)
            return main(case, certificate, ca, *flags)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    return False


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) > 3 else serve(*sys.argv[1:]))
