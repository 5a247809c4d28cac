"""A HostMap is kept alive while it is installed, whatever happens to its listener's attributes, and no longer."""

import gc
import threading
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
from handshakes import connect, id_context

from pysidctx import Host, HostMap, TicketKeys


@pytest.mark.parametrize("lose", [
    lambda listener: vars(listener).clear(),
    lambda listener: vars(listener).popitem(),
    lambda listener: vars(listener).update(dict.fromkeys(vars(listener))),
    lambda listener: setattr(listener, "__dict__", {}),
])
def test_a_listener_that_loses_its_attributes_keeps_its_map(make_server_ctx, client_ctx, lose):
    listener, ctx = make_server_ctx(), make_server_ctx()
    ctx.sni_callback = lambda *_, listener=listener: None  # leads back
    hosts = HostMap({"a.test": Host(ctx, b"x")})
    hosts.install(listener)
    alive = [weakref.ref(thing) for thing in (hosts, listener, ctx)]
    del hosts
    for _ in range(3):
        lose(listener)
        gc.collect()
        assert id_context(connect(listener, client_ctx)) == b"x"
    alive[0]().uninstall(listener)
    assert alive[0]() is None
    assert vars(listener) == {}
    HostMap({"a.test": Host(ctx, b"y")}).install(listener)
    lose(listener)
    assert id_context(connect(listener, client_ctx)) == b"y"
    del ctx, listener
    gc.collect()
    assert [thing() for thing in alive] == [None, None, None]


def test_another_init_adds_entries(make_server_ctx, client_ctx):
    listener = make_server_ctx()
    hosts = HostMap({"a.test": b"x"})
    hosts.install(listener)
    hosts.__init__({"b.test": b"y"})
    gc.collect()
    assert hosts == {"a.test": b"x", "b.test": b"y"}
    for name, sid_ctx in hosts.items():
        assert id_context(connect(listener, client_ctx, name=name)) == sid_ctx


def test_whatever_is_installed_is_alive(make_server_ctx, client_ctx):
    """Also where no GIL keeps one thread's install() and another's uninstall() apart."""
    listener = make_server_ctx()
    both = threading.Barrier(2, timeout=60)

    def uninstall(hosts):
        both.wait()
        try:
            hosts.uninstall(listener)
        except ValueError:
            pass  # the other one has taken its place

    with ThreadPoolExecutor(1) as other_thread:
        for _ in range(500):
            hosts = HostMap({"a.test": b"map"})
            hosts.install(listener)
            ended = other_thread.submit(uninstall, hosts)
            del hosts
            both.wait()
            HostMap({"a.test": b"map"}).install(listener)
            ended.result()
            assert id_context(connect(listener, client_ctx)) == b"map"


def test_ticket_keys_on_a_host(make_server_ctx):
    """The map may be installed before or after: the listener's keys are used, and it has none."""
    listener, host = make_server_ctx(), make_server_ctx()
    hosts = HostMap({"a.test": host})
    hosts.install(listener)
    keys = TicketKeys()
    with pytest.warns(RuntimeWarning, match=r"of a host's SSLContext have no effect.*call keys.install\(listener\)"):
        keys.install(host)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        keys.install(listener)
        keys.install(host)


def test_a_warning_may_change_the_map(make_server_ctx, client_ctx):
    """Warnings run Python code, and let other threads run, before the entry is in the map."""
    listener, host = make_server_ctx(), make_server_ctx()
    hosts = HostMap()
    hosts.install(listener)
    TicketKeys().install(host)  # without effect, because the listener has none
    told = []

    def change(message, *rest):
        told.append(str(message))
        hosts["b.test"] = b"other"

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = change
        hosts["a.test"] = host
    assert len(told) == 1
    assert hosts["a.test"] is host
    connect(listener, client_ctx)
    assert hosts.stats().matched == 1
