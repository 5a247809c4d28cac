"""A store of the user's own in place of the memory: an object with get(), put() and delete()."""

import gc
import ssl
import sys
import weakref

import pytest
from tickets import visit

from pysidctx import SessionCache, set_session_id_context


class Store(dict):
    """A dict that counts."""

    def put(self, key, value, seconds):
        assert type(key) is bytes and len(key) == 33 and type(value) is bytes and len(value) <= 1064
        # OpenSSL's clock may be a tick ahead of time(2).
        assert type(seconds) is int and 0 < seconds <= 86400 + 86400 // 8 + 2
        self[key] = value

    def delete(self, key):
        self.pop(key, None)


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def make_server(make_server_ctx):
    def make(store, secret=bytes(range(32)), **options):
        ctx = make_server_ctx(verify=ssl.CERT_REQUIRED)
        set_session_id_context(ctx, b"shop")
        cache = SessionCache.from_secret(secret, store=store, size=1 << 20, **options)
        cache.install(ctx)
        return ctx, cache

    return make


@pytest.fixture
def client_ctx(make_client_ctx, version):
    return make_client_ctx(version)


def test_processes_that_share_it(make_server, store, client_ctx):
    (one, cache), (other, second) = make_server(store), make_server(store)
    _, session = visit(one, client_ctx)
    assert {key[0] for key in store} == {1, 2}  # a session, and its client's certificate
    for ctx in (other, one, other):
        resumed, session = visit(ctx, client_ctx, session)
        assert resumed
    assert len(cache) == 0 and second.stats().peers_decoded == 1
    assert not visit(make_server(store, secret=bytes(32))[0], client_ctx, session)[0]


def test_what_was_forgotten_and_what_has_ended(make_server, store, client_ctx):
    ctx, cache = make_server(store)
    _, session = visit(ctx, client_ctx)
    cache.forget_all()
    assert not visit(ctx, client_ctx, session)[0]
    assert cache.stats().forgotten == 1


def test_what_is_torn_is_deleted(make_server, store, make_client_ctx):
    client_ctx = make_client_ctx(ssl.TLSVersion.TLSv1_2)
    ctx, cache = make_server(store)
    _, session = visit(ctx, client_ctx)
    (key,) = (key for key in store if key[0] == 1)
    store[key] = store[key][:-1] + bytes([store[key][-1] ^ 1])
    assert not visit(ctx, client_ctx, session)[0]
    assert key not in store and cache.stats().torn == 1


@pytest.mark.parametrize("value", [b"", b"x" * 30, bytes(40), b"\xff" * 1064, bytearray(50), "text", 1], ids=repr)
def test_other_values(make_server, store, make_client_ctx, value, monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    client_ctx = make_client_ctx(ssl.TLSVersion.TLSv1_2)
    ctx, cache = make_server(store)
    _, session = visit(ctx, client_ctx)
    for key in store:
        store[key] = value
    assert not visit(ctx, client_ctx, session)[0]
    assert {item.exc_type for item in told} <= {TypeError, MemoryError}


@pytest.mark.parametrize("method", ["get", "put", "delete"])
def test_a_method_that_fails(make_server, client_ctx, method, monkeypatch):
    """Its exception is reported, and the handshake is a full one."""
    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)

    def fail(self, *arguments):
        raise OSError("the store is down")

    failing = type("Failing", (Store,), {method: fail})()
    ctx, cache = make_server(failing)
    _, session = visit(ctx, client_ctx)
    for key in failing:
        failing[key] = failing[key][:-1] + b"?"
    assert not visit(ctx, client_ctx, session)[0]
    assert told and all("is down" in str(item.exc_value) for item in told)


def test_what_is_no_store():
    for store in ({}, object(), 1):
        with pytest.raises(TypeError, match=r"has no method (put|get)\(\)"):
            SessionCache.from_secret(bytes(32), store=store, size=1 << 20)


def test_it_is_kept_as_long_as_it_is_used(make_server, client_ctx):
    ctx, cache = make_server(store := Store())
    noticed = weakref.ref(store)
    _, session = visit(ctx, client_ctx)
    del store, cache
    gc.collect()
    assert noticed() is not None and visit(ctx, client_ctx, session)[0]
    del ctx
    gc.collect()
    assert noticed() is None
