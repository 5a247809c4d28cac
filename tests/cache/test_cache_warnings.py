"""A cache that stores nothing where it was installed, or that is to store all sessions."""

import contextlib
import ssl
import warnings

import pytest
from tickets import visit

from pysidctx import Host, HostMap, SessionCache, TicketKeys, resumable

SIZE = 1 << 20
ALMOST_NONE = "the session cache has almost no effect, because no client certificate is requested"
OF_A_HOST = r"the session cache of a host's SSLContext has no effect.*call cache.install\(listener\)"


@pytest.fixture
def cache():
    return SessionCache(size=SIZE)


@pytest.fixture
def listener(make_server_ctx):
    return make_server_ctx()


def quiet():
    caught = contextlib.ExitStack()
    caught.enter_context(warnings.catch_warnings())
    warnings.simplefilter("error")
    return caught


def test_where_no_client_certificate_is_requested(make_server_ctx, listener, cache):
    with pytest.warns(RuntimeWarning, match=ALMOST_NONE):
        cache.install(listener)
    with quiet():
        cache.install(listener, when="always")
        cache.install(make_server_ctx(verify=ssl.CERT_OPTIONAL))


@pytest.mark.parametrize("verify", [ssl.CERT_NONE, ssl.CERT_OPTIONAL], ids=lambda verify: verify.name)
@pytest.mark.parametrize("unmatched", ["serve", "reject"])
@pytest.mark.parametrize("with_listener", [False, True], ids=["", "among its hosts"])
def test_where_a_host_map_serves(make_server_ctx, cache, verify, unmatched, with_listener):
    """By whoever serves connections then: hosts, and the listener if it does."""
    listener = make_server_ctx(verify=verify)
    cache.install(listener, when="client-certificates" if verify else "always")
    if not verify:
        with pytest.warns(RuntimeWarning, match=ALMOST_NONE):
            cache.install(listener)
    hosts = HostMap({"a.test": make_server_ctx(), **({"b.test": listener} if with_listener else {})})
    hosts.unmatched = unmatched
    effective = verify and (unmatched == "serve" or with_listener)
    with quiet() if effective else pytest.warns(RuntimeWarning, match=ALMOST_NONE):
        hosts.install(listener)
    with quiet() if effective else pytest.warns(RuntimeWarning, match=ALMOST_NONE):
        cache.install(listener)
    with quiet():
        cache.install(listener, when="always")
        hosts.install(listener)
        hosts["a.test"] = make_server_ctx(verify=ssl.CERT_REQUIRED)
        cache.install(listener)
        hosts.install(listener)


def test_on_a_host_instead_of_the_listener(make_server_ctx, listener, cache, client_ctx):
    host = make_server_ctx(verify=ssl.CERT_REQUIRED)
    cache.install(host)
    hosts = HostMap({"a.test": host})
    with pytest.warns(RuntimeWarning, match=OF_A_HOST):
        hosts.install(listener)
    del hosts["a.test"]
    with pytest.warns(RuntimeWarning, match=OF_A_HOST):
        hosts["a.test"] = Host(host, b"a")
    visit(listener, client_ctx)
    assert cache.stats().stored == 0
    with quiet():
        cache.install(listener)
        hosts.install(listener)
        hosts["a.test"] = Host(host, b"b")
    visit(listener, client_ctx)
    assert cache.stats().stored > 0
    cache.uninstall(host)
    cache.uninstall(listener)
    with quiet():
        hosts.install(listener)


def test_on_a_host_whose_map_is_installed(make_server_ctx, listener, cache):
    host = make_server_ctx(verify=ssl.CERT_REQUIRED)
    hosts = HostMap({"a.test": host})
    hosts.install(listener)
    for when in ("client-certificates", "always"):
        with pytest.warns(RuntimeWarning, match=OF_A_HOST):
            cache.install(host, when=when)
    with quiet():
        cache.install(listener)
        cache.install(host)
    cache.uninstall(listener)
    hosts.uninstall(listener)
    with quiet():
        cache.install(host)


def test_on_a_host_that_is_a_listener_too(make_server_ctx, cache):
    listeners = [make_server_ctx(verify=ssl.CERT_REQUIRED) for _ in range(2)]
    hosts = HostMap(zip(("a.test", "b.test"), listeners))
    with quiet():
        for listener in listeners:
            hosts.install(listener)
        for listener in listeners:
            cache.install(listener)


def stores_all(ctx, cache, client_ctx):
    before = cache.stats().stored
    visit(ctx, client_ctx)
    return cache.stats().stored > before


def test_resumable_stores_all_sessions(make_server_ctx, cache, client_ctx):
    keys = TicketKeys()
    with quiet():
        ctx = resumable(make_server_ctx(), keys, cache=cache, cache_when="always")
        assert stores_all(ctx, cache, client_ctx)
        # As before, if not told otherwise.
        assert stores_all(resumable(ctx, keys, cache=cache), cache, client_ctx)
    with pytest.warns(RuntimeWarning, match=ALMOST_NONE):
        resumable(ctx, keys, cache=cache, cache_when="client-certificates")
    assert not stores_all(ctx, cache, client_ctx)
    other = SessionCache(size=SIZE)
    other.install(ctx, when="always")
    with pytest.warns(RuntimeWarning, match=ALMOST_NONE):
        resumable(ctx, keys, cache=cache)
    assert not stores_all(ctx, cache, client_ctx)


@pytest.mark.parametrize("options, message", [
    ({"cache_when": "always"}, "no effect without a cache"),
    ({"cache": SessionCache(size=SIZE), "cache_when": "never"}, "must be .* not 'never'"),
    ({"cache": SessionCache(size=SIZE), "cache_when": ""}, "must be .* not ''"),
])
def test_bad_words_change_nothing(server_ctx, client_ctx, options, message):
    with pytest.raises(ValueError, match=message):
        resumable(server_ctx, TicketKeys(), **options)
    assert not stores_all(server_ctx, SessionCache(size=SIZE), client_ctx)
    assert not vars(server_ctx)
