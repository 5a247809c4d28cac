"""Storing sessions and making them again leaks nothing; and a leak that is put there is found."""

import ctypes

import leaks
import libssl
import pytest
from handshakes import VERSIONS


@pytest.fixture
def grows(cache, make_stored):
    """Whether memory does: with each round a session is stored and made again, and calls fail in every way."""
    server, session = make_stored(VERSIONS[0])
    connection = libssl.pointer(server)
    key, der = cache.describe(session)
    record = cache.record_of(session, key, 1, 2, 1 << 33)
    table = cache.Table(100)

    def work(number, keep=False):
        cache.describe(session)
        if number % 10 == 0:  # what takes OpenSSL long
            table.drop()
            assert table.add(key, der)
        assert table.add(key, der)
        copy, _ = table.duplicate(key)
        for _ in range(2):
            assert cache.apply(connection, copy, bytes(32), record)
        assert not cache.apply(connection, copy, bytes(32), record[:-1])
        assert not cache.apply(connection, copy, bytes(32), record[:75] + b"\x2a\x2a" + record[77:])
        if not keep:
            libssl.SSL_SESSION_free(copy)
        assert not table.add(bytes(32), der)
        assert not table.add(key[::-1], der[:-1])
        assert table.duplicate(bytes(32)) is None
        cache.Table(1).add(bytes(32), der)

    def measure(**how):
        def once(number):
            work(number, **how)

        # What other tests have freed would take up a leak, unseen.
        getattr(ctypes.CDLL(None), "malloc_trim", int)(0)
        for number in range(leaks.FEW // 4):
            once(number)
        return all(leaks.grows("stored sessions", once) for _ in range(3))

    return measure


def test_memory_stays_flat(grows):
    assert not grows()


def test_a_leak_is_found(grows):
    assert grows(keep=True)
