"""A connection that is switched to another SSLContext after its id context was chosen yields no session."""

import ssl
import sys
import warnings

import pytest
from handshakes import VERSIONS, connect
from tickets import visit

from pysidctx import HostMap, TicketKeys, resumable, set_session_id_context


def switching_to(other, only=None):
    def switch(connection, name, ctx):
        if only is None or name == only:
            connection.context = other

    return switch


WARNS = pytest.warns(RuntimeWarning, match="sni_callback .* Use a HostMap to choose the SSLContext")


@pytest.mark.parametrize("install", [TicketKeys.install, lambda keys, ctx: resumable(ctx, keys)])
@pytest.mark.parametrize("with_keys", [False, True])
def test_a_switch_in_sni_callback_is_told_once(two, make_server_ctx, client_ctx, install, with_keys):
    other, keys = make_server_ctx(), TicketKeys()
    if with_keys:
        install(TicketKeys(), other)
    install(keys, two[0])
    two[0].sni_callback = switching_to(other)
    with WARNS as told:
        _, session = visit(two[0], client_ctx)
        for _ in range(3):
            resumed, session = visit(two[0], client_ctx, session)
            assert not resumed
    assert len(told) == 1


def test_without_tickets_too(make_server_ctx, make_client_ctx):
    listener, other = make_server_ctx(tickets=False), make_server_ctx()
    resumable_without_tickets(listener)
    listener.sni_callback = switching_to(other)
    client_ctx = make_client_ctx(VERSIONS[0])
    with WARNS:
        session = connect(listener, client_ctx).client.session
    assert not connect(listener, client_ctx, session=session).server.session_reused


def resumable_without_tickets(ctx):
    """OpenSSL's own cache serves clients that take no tickets."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        resumable(ctx, TicketKeys())


def test_from_then_on_no_session_of_its_own_gets_to_the_other(two, make_server_ctx, make_client_ctx, client_ctx):
    """The other demands a certificate. A client without one offers a session of a name that is not switched."""
    client_ctx = make_client_ctx(client_ctx.minimum_version, certificate=False)
    demanding = make_server_ctx(verify=ssl.CERT_REQUIRED)
    resumable(two[0], TicketKeys())
    two[0].sni_callback = switching_to(demanding, "b.test")
    session = connect(two[0], client_ctx, name="a.test").client.session
    with WARNS:
        connect(two[0], make_client_ctx(client_ctx.minimum_version), name="b.test")
    assert not connect(two[0], client_ctx, name="b.test", session=session).server.session_reused
    assert not connect(two[0], client_ctx, name="a.test", session=session).server.session_reused


@pytest.mark.parametrize("with_keys", [False, True])
def test_a_switch_before_the_handshake(two, make_server_ctx, client_ctx, with_keys):
    """The id context is that of the context which serves it, if it has one."""
    other = make_server_ctx()
    theirs = TicketKeys()
    if with_keys:
        theirs.install(other)
    else:
        set_session_id_context(other, b"other")
    keys = TicketKeys()
    keys.install(two[0])

    def switch(ends):
        ends.server.context = other

    _, session = visit(two[0], client_ctx, before=switch)
    for _ in range(3):
        resumed, session = visit(two[0], client_ctx, session, before=switch)
        assert resumed
    if with_keys:  # those of another context are not taken, though they are known in the process
        _, foreign = visit(other, client_ctx)
        assert not visit(two[0], client_ctx, foreign, before=switch)[0]
        assert theirs.stats().accepted == 0


def test_whoever_shows_the_warning_may_end_keys(two, make_server_ctx, client_ctx, monkeypatch):
    """And so wait for those who look keys up in a handshake: this one does not any more."""
    other = make_server_ctx()
    TicketKeys().install(two[0])
    _, session = visit(two[0], client_ctx)
    shown = []
    monkeypatch.setattr(warnings, "showwarning", lambda *told, **options: (shown.append(told), TicketKeys()))
    with warnings.catch_warnings():
        warnings.simplefilter("always", RuntimeWarning)
        assert not visit(two[0], client_ctx, session, before=lambda ends: setattr(ends.server, "context", other))[0]
    assert len(shown) == 1


@pytest.mark.filterwarnings("ignore:.*Use a HostMap to choose the SSLContext:RuntimeWarning")
def test_the_context_that_was_chosen_for_may_be_gone_by_then(two, make_server_ctx, client_ctx):
    """The connection keeps its SSL_CTX, when `sni_callback` has switched away from it."""
    resumable(two[0], TicketKeys())

    def passing_through(ends):
        middle = make_server_ctx()
        set_session_id_context(middle, b"middle")
        middle.sni_callback = switching_to(two[1])
        ends.server.context = middle

    for _ in range(20):
        assert connect(two[0], client_ctx, before=passing_through).server.context is not two[0]


def test_a_session_of_openssl_s_cache_is_not_resumed_either(make_server_ctx, make_client_ctx, version):
    listener, other = make_server_ctx(tickets=False), make_server_ctx()
    resumable_without_tickets(listener)
    listener.sni_callback = switching_to(other, "b.test")
    client_ctx = make_client_ctx(version)
    session = connect(listener, client_ctx, name="a.test").client.session
    with WARNS:
        connect(listener, client_ctx, name="b.test")
    for name in ("a.test", "b.test"):
        assert not connect(listener, client_ctx, name=name, session=session).server.session_reused


def test_a_switch_before_the_handshake_to_a_context_without_id_context(two, make_server_ctx, client_ctx):
    other = make_server_ctx()
    TicketKeys().install(two[0])

    def switch(ends):
        ends.server.context = other

    with WARNS:
        _, session = visit(two[0], client_ctx, before=switch)
    assert not visit(two[0], client_ctx, session, before=switch)[0]


def test_a_hello_retry_request(two, make_server_ctx, make_client_ctx):
    """The second ClientHello arrives after sni_callback has switched the connection."""
    two[0].set_ecdh_curve("secp384r1")
    two[0].sni_callback = switching_to(make_server_ctx())
    resumable(two[0], TicketKeys())
    client_ctx = make_client_ctx(VERSIONS[1])
    with WARNS:
        _, session = visit(two[0], client_ctx)
    assert not visit(two[0], client_ctx, session)[0]


def test_a_host_that_its_sni_callback_switches_loses_its_sessions_alone(two, make_server_ctx, client_ctx):
    listener, host = two
    TicketKeys().install(listener)
    HostMap({"a.test": host, "b.test": make_server_ctx()}).install(listener)
    kept = connect(listener, client_ctx, name="b.test").client.session
    host.sni_callback = switching_to(make_server_ctx())
    with WARNS:
        lost = connect(listener, client_ctx, name="a.test").client.session
    assert connect(listener, client_ctx, name="b.test", session=kept).server.session_reused
    assert not connect(listener, client_ctx, name="a.test", session=lost).server.session_reused


def test_where_warnings_are_errors_handshakes_go_on(two, make_server_ctx, client_ctx, monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda each: told.append(each.exc_type))
    resumable(two[0], TicketKeys())
    two[0].sni_callback = switching_to(make_server_ctx())
    connect(two[0], client_ctx)
    assert told == [RuntimeWarning]
