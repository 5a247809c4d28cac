"""A host's sni_callback decides for its connections, on every CPython: called as CPython calls a listener's."""

import gc
import itertools
import socket
import ssl
import sys
import threading
import weakref

import pytest
from handshakes import VERSIONS, close, connect, pair, resumes, shake

from pysidctx import Host, HostMap

DENIED = ssl.ALERT_DESCRIPTION_ACCESS_DENIED


@pytest.fixture
def listener(server_ctx):
    return server_ctx


@pytest.fixture
def host(make_server_ctx):
    return make_server_ctx()


@pytest.fixture
def hosts(listener, host):
    hosts = HostMap({"a.test": host})
    hosts.install(listener)
    return hosts


@pytest.fixture
def calls():
    return []


def noting(calls, who, answer=None):
    def callback(connection, name, ctx):
        calls.append((who, connection, name, ctx))
        return answer

    return callback


def alert(listener, client_ctx, **options):
    """The alert that a refused client receives."""
    with pytest.raises(ssl.SSLError) as caught:
        shake_client_last(pair(listener, client_ctx, **options))
    return caught.value.reason.removeprefix("TLSV1_ALERT_").removeprefix("SSLV3_ALERT_").removeprefix("TLSV1_")


def shake_client_last(ends):
    """Like shake(), but the client is the one that reports a server's refusal."""
    for _ in range(6):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                if end is ends.client:
                    raise
    raise AssertionError("nobody was refused")


@pytest.mark.parametrize("when", ["before", "after", "instead of another"])
def test_it_refuses(listener, host, client_ctx, version, calls, when):
    client_ctx.minimum_version = client_ctx.maximum_version = version
    listener.sni_callback = noting(calls, "listener")
    if when != "after":
        host.sni_callback = noting(calls, "host", DENIED if when == "before" else None)
    HostMap({"a.test": host}).install(listener)
    if when == "instead of another":
        connect(listener, client_ctx)
    host.sni_callback = noting(calls, "host", DENIED)
    calls.clear()
    assert alert(listener, client_ctx) == "ACCESS_DENIED"
    assert [who for who, *_ in calls] == ["host"]


def test_it_refuses_a_session_too(listener, host, hosts, client_ctx, version, calls):
    client_ctx.minimum_version = client_ctx.maximum_version = version
    session = connect(listener, client_ctx).client.session
    assert resumes(listener, client_ctx, session)
    host.sni_callback = noting(calls, "host", DENIED)
    assert alert(listener, client_ctx, session=session) == "ACCESS_DENIED"
    assert len(calls) == 1


def test_it_is_called_with_the_connection_the_name_and_the_host_s_context(
    listener, host, hosts, client_ctx, calls
):
    host.sni_callback = noting(calls, "host")
    ends = connect(listener, client_ctx, name="A.test")
    assert calls == [("host", ends.server, "A.test", host)]


def test_it_is_called_with_the_socket(listener, host, hosts, client_ctx, calls):
    host.sni_callback = noting(calls, "host")
    left, right = socket.socketpair()
    with left, right, listener.wrap_socket(left, server_side=True, do_handshake_on_connect=False) as server:
        thread = threading.Thread(target=server.do_handshake)
        thread.start()
        with client_ctx.wrap_socket(right, server_hostname="a.test"):
            thread.join()
        assert calls == [("host", server, "a.test", host)]


def test_that_of_set_servername_callback_is_called(listener, host, hosts, client_ctx, calls):
    host.set_servername_callback(noting(calls, "host", DENIED))
    assert alert(listener, client_ctx) == "ACCESS_DENIED"


def test_where_it_is_taken_away_the_listener_s_is_called(listener, host, hosts, client_ctx, calls):
    listener.sni_callback = noting(calls, "listener")
    host.sni_callback = noting(calls, "host")
    connect(listener, client_ctx)
    host.sni_callback = None
    connect(listener, client_ctx)
    assert [who for who, *_ in calls] == ["host", "listener"]


def test_other_hosts_have_their_own_or_the_listener_s(listener, host, hosts, make_server_ctx, client_ctx, calls):
    other = make_server_ctx()
    host.sni_callback = noting(calls, "host")
    listener.sni_callback = noting(calls, "listener")
    hosts["b.test"] = other
    for name in ("a.test", "b.test", "localhost"):
        connect(listener, client_ctx, name=name)
    assert [(who, name) for who, _, name, _ in calls] == [
        ("host", "a.test"), ("listener", "b.test"), ("listener", "localhost")]


def test_an_exception_in_it_ends_the_handshake(listener, host, hosts, client_ctx, monkeypatch):
    told = []

    def fail(*arguments):
        raise LookupError("no such host")

    host.sni_callback = fail
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    assert alert(listener, client_ctx) == "HANDSHAKE_FAILURE"
    assert [(type(each.exc_value), each.object) for each in told] == [(LookupError, fail)]


def test_an_answer_that_is_no_alert_ends_the_handshake(listener, host, hosts, client_ctx, monkeypatch):
    told = []
    host.sni_callback = lambda *arguments: "no"
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    assert alert(listener, client_ctx) == "INTERNAL_ERROR"
    assert [(type(each.exc_value), each.object) for each in told] == [(TypeError, "no")]


def test_after_a_hello_retry_request_it_is_called_again(listener, host, hosts, make_client_ctx, calls):
    listener.set_ecdh_curve("secp384r1")
    host.sni_callback = noting(calls, "host")
    connect(listener, make_client_ctx(ssl.TLSVersion.TLSv1_3))
    assert [who for who, *_ in calls] == ["host", "host"]


def test_it_may_switch_to_another_context(listener, host, hosts, make_server_ctx, ca, client_ctx):
    other = make_server_ctx()
    ca.issue_cert("a.test", "other.test").configure_cert(other)

    def switch(connection, name, ctx):
        connection.context = other

    host.sni_callback = switch
    names = dict.fromkeys(name for _, name in connect(listener, client_ctx).client.getpeercert()["subjectAltName"])
    assert "other.test" in names


@pytest.mark.parametrize("routed_before", [True, False])
def test_connections_of_the_host_s_own_context_have_it(
    listener, host, hosts, make_client_ctx, calls, routed_before
):
    """CPython's callback on the host's SSL_CTX was replaced: connections without a map notice nothing."""
    client_ctx = make_client_ctx()
    host.sni_callback = noting(calls, "host")
    if routed_before:
        connect(listener, client_ctx)
        calls.clear()
    ends = connect(host, client_ctx)
    assert calls == [("host", ends.server, "a.test", host)]


def test_a_listener_may_be_its_own_host(listener, client_ctx, calls):
    listener.sni_callback = noting(calls, "listener", DENIED)
    HostMap({"a.test": Host(listener, b"own")}).install(listener)
    assert alert(listener, client_ctx) == "ACCESS_DENIED"
    assert alert(listener, client_ctx, name="b.test") == "ACCESS_DENIED"
    assert len(calls) == 2


def test_it_outlives_the_map_for_its_connections(listener, host, hosts, client_ctx, calls):
    host.sni_callback = noting(calls, "host", DENIED)
    ends = pair(listener, client_ctx)
    with pytest.raises(ssl.SSLWantReadError):
        ends.client.do_handshake()
    hosts.clear()
    hosts["a.test"] = host
    with pytest.raises(ssl.SSLError):
        shake(ends)
    assert len(calls) == 1


def test_it_may_drop_all_that_leads_to_its_context(listener, client_ctx, make_server_ctx, monkeypatch):
    """It may also raise an exception when the connection alone keeps the context alive."""
    told = []
    hosts = HostMap({"a.test": make_server_ctx()})
    hosts.install(listener)
    alive = weakref.ref(hosts["a.test"])

    def callback(connection, name, ctx):
        hosts.clear()
        connection.context = listener
        raise LookupError(name)

    hosts["a.test"].sni_callback = callback
    monkeypatch.setattr(sys, "unraisablehook", lambda each: told.append(each.exc_type))
    assert alert(listener, client_ctx) == "HANDSHAKE_FAILURE"
    assert told == [LookupError]
    gc.collect()
    assert alive() is None


def test_no_reference_is_kept_or_lost(listener, host, hosts, client_ctx, monkeypatch):
    no_alert = object()
    answers = itertools.cycle([DENIED, None, no_alert])

    def callback(connection, name, ctx):
        return next(answers)

    def counts():
        return [sys.getrefcount(each) for each in (callback, host, listener, no_alert)]

    monkeypatch.setattr(sys, "unraisablehook", lambda told: None)
    host.sni_callback = callback
    connect_or_fail(listener, client_ctx)
    before = counts()
    ends = [weakref.ref(connect_or_fail(listener, client_ctx).server) for _ in range(30)]
    assert not any(each() for each in ends)
    assert counts() == before


def connect_or_fail(listener, client_ctx):
    ends = pair(listener, client_ctx)
    try:
        shake(ends)
        close(ends)
    except ssl.SSLError:
        pass
    return ends


@pytest.mark.skipif(not getattr(sys, "_is_gil_enabled", lambda: True)(),
                    reason="without a GIL, CPython itself frees an sni_callback that it is calling")
def test_handshakes_survive_that_another_is_assigned_meanwhile(listener, host, hosts, make_client_ctx, calls):
    stop = threading.Event()

    def assign():
        while not stop.is_set():
            host.sni_callback = noting(calls, "one", DENIED)
            host.sni_callback = noting(calls, "two", DENIED)

    thread = threading.Thread(target=assign)
    thread.start()
    try:
        for version in VERSIONS:
            client_ctx = make_client_ctx(version)
            for _ in range(100):
                connect_or_fail(listener, client_ctx)
    finally:
        stop.set()
        thread.join()
    assert calls
    assert alert(listener, client_ctx) == "ACCESS_DENIED"
