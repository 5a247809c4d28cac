"""The calls with stored sessions that leaks.py repeats."""

import gc
import os
import ssl
import tempfile
from collections.abc import Callable

import tickets
from ticket_leaks import verifying

from pysidctx import Session, SessionCache

SIZE = 1 << 20


def refused(call: Callable[[], object]) -> None:
    try:
        call()
    except (TypeError, ValueError, OSError):
        return
    raise AssertionError("not refused")


def cases(certificate: str, ca: str) -> dict[str, Callable[[int], None]]:
    """Functions of a round's number, by their names."""
    folder: "tempfile.TemporaryDirectory[str]" = tempfile.TemporaryDirectory()
    path = os.path.join(folder.name, "memory")
    demanding, client_ctx = verifying(folder, certificate, ca)
    caches = [SessionCache.from_secret(bytes(32), memory=path, size=SIZE) for _ in range(2)]
    for cache in caches:
        assert len(cache) == 0  # so that each page is resident
    last: list[Session] = []

    # The folder lasts as long as its object.
    def made(number: int, folder: "tempfile.TemporaryDirectory[str]" = folder) -> None:
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        opened = SessionCache.from_secret(bytes(32), memory=path, size=SIZE)
        for cache in (opened, SessionCache(size=SIZE), opened):
            cache.install(ctx, when="always")
        opened.forget(id_context=b"%d" % (number % 3000))
        if number % 2:
            opened.uninstall(ctx)
        for call in (
            lambda: SessionCache.from_secret(bytes(33), memory=path, size=SIZE),
            lambda: SessionCache.from_secret(bytes(32), memory=folder.name, size=SIZE),
            lambda: SessionCache.from_secret(bytes(32), memory=os.path.join(path, "none"), size=SIZE),
            lambda: SessionCache(size=1),
            lambda: opened.forget(peer=b"x"),
            lambda: opened.forget(id_context=bytes(33)),
        ):
            refused(call)
        if number % 100 == 0:
            gc.collect()
            # Memory that is shared is not malloc's.
            with open("/proc/self/maps") as mapped:
                assert sum("memory" in line or "pysidctx cache" in line for line in mapped) < 20

    def visits(number: int) -> None:
        cache = caches[number % 2]
        if number % 10 == 0:
            cache.install(demanding)
        _, session = tickets.visit(demanding, client_ctx, last.pop() if last else None)
        if number % 8:
            last.append(session)
        if number % 50 == 0:
            cache.forget_all()
        if number % 90 == 0:
            cache.uninstall(demanding)

    return {"session caches": made, "stored sessions": visits}
