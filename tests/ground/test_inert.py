"""A setting that has no effect is refused, or causes a RuntimeWarning that says what to do."""

import os
import ssl
import subprocess
import sys
import time
import warnings

import libssl
import pytest
from handshakes import VERSIONS, connect, pair, resumes, shake

from pysidctx import Host, HostMap, Session, SessionError, TicketKeys, resumable, set_session_id_context


def bare():
    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)


def with_keys(ctx):
    TicketKeys().install(ctx)


WAYS = [with_keys, lambda ctx: resumable(ctx, TicketKeys()),
        lambda ctx: resumable(ctx, TicketKeys(), id_context=b"shop")]


@pytest.mark.parametrize("install", WAYS)
def test_keys_without_tickets(install, make_server_ctx):
    with pytest.warns(RuntimeWarning, match=r"ctx\.options &= ~ssl\.OP_NO_TICKET.*openssl\.cnf") as caught:
        install(make_server_ctx(tickets=False))
    (warning,) = caught
    assert warning.filename == __file__


@pytest.mark.parametrize("install", WAYS)
def test_keys_where_num_tickets_is_0(install, server_ctx):
    server_ctx.num_tickets = 0
    with pytest.warns(RuntimeWarning, match="num_tickets is 0.*Set num_tickets to 1 or more"):
        install(server_ctx)
    server_ctx.maximum_version = ssl.TLSVersion.TLSv1_2  # where it does not matter
    install(server_ctx)


def test_a_host_without_tickets_on_a_listener_with_keys(make_server_ctx):
    listener = make_server_ctx()
    with_keys(listener)
    with pytest.warns(RuntimeWarning, match="OP_NO_TICKET"):
        HostMap({"a.test": make_server_ctx(tickets=False)}).install(listener)


def test_keys_on_a_listener_with_a_host_without_tickets(make_server_ctx):
    listener = make_server_ctx()
    HostMap({"a.test": make_server_ctx(tickets=False)}).install(listener)
    with pytest.warns(RuntimeWarning, match="OP_NO_TICKET"):
        with_keys(listener)


def test_a_host_without_tickets_that_comes_later(make_server_ctx):
    listener, hosts = make_server_ctx(), HostMap()
    hosts.install(listener)
    with_keys(listener)
    with pytest.warns(RuntimeWarning, match="OP_NO_TICKET"):
        hosts["a.test"] = make_server_ctx(tickets=False)
    hosts.uninstall(listener)
    hosts["b.test"] = make_server_ctx(tickets=False)


def test_a_listener_without_tickets_is_not_told_of_where_hosts_serve(make_server_ctx):
    listener, hosts = make_server_ctx(tickets=False), HostMap({"a.test": make_server_ctx()})
    hosts.install(listener)
    with pytest.warns(RuntimeWarning, match="OP_NO_TICKET"):
        with_keys(listener)  # which serves clients that name no host
    hosts.unmatched = "reject"
    with_keys(listener)
    hosts["b.test"] = b"b"
    with pytest.warns(RuntimeWarning, match="OP_NO_TICKET"):
        with_keys(listener)


def test_settings_of_a_host_that_comes_later(make_server_ctx, tmp_path):
    listener, hosts = make_server_ctx(), HostMap()
    hosts.install(listener)
    with pytest.warns(RuntimeWarning, match=r"keys\.install\(listener\)"):
        hosts["a.test"] = resumable(make_server_ctx(), TicketKeys())
    host = make_server_ctx()
    host.keylog_filename = tmp_path / "keys"
    with pytest.warns(RuntimeWarning, match="set keylog_filename on the listener before"):
        hosts.update({"b.test": host})


def test_an_openssl_cnf_without_tickets(tmp_path):
    cnf = tmp_path / "openssl.cnf"
    cnf.write_text("openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = defaults\n"
                   "[defaults]\nOptions = -SessionTicket\n")
    code = """
import ssl, pysidctx
ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
assert ctx.options & ssl.OP_NO_TICKET
pysidctx.TicketKeys().install(ctx)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60,
                         env=dict(os.environ, OPENSSL_CONF=str(cnf)))
    assert ran.returncode == 0 and "openssl.cnf" in ran.stderr, ran.stderr


def test_keys_need_no_session_cache(make_server_ctx, make_client_ctx, version):
    keys = TicketKeys()
    two = [make_server_ctx() for _ in range(2)]
    for ctx in two:
        libssl.set_session_cache_off(ctx)
        resumable(ctx, keys)
    client_ctx = make_client_ctx(version)
    assert resumes(two[1], client_ctx, connect(two[0], client_ctx).client.session)


@pytest.mark.parametrize("install", WAYS[1:])
def test_resumable_without_a_certificate(install):
    with pytest.warns(RuntimeWarning, match=r"no certificate.*load_cert_chain\(\) before resumable\(\)"):
        install(bare())


def test_resumable_on_a_listener_that_serves_by_its_hosts_alone(server_ctx):
    listener, hosts = bare(), HostMap({"a.test": server_ctx})
    hosts.unmatched = "reject"
    hosts.install(listener)
    resumable(listener, TicketKeys())
    hosts.unmatched = "serve"
    with pytest.warns(RuntimeWarning, match="no certificate"):
        resumable(listener, TicketKeys())


@pytest.mark.parametrize("value", [lambda ctx: ctx, lambda ctx: Host(ctx, b"a")])
def test_a_host_without_a_certificate(value):
    ctx = bare()
    with pytest.warns(RuntimeWarning, match="no certificate.*before it goes into the map") as caught:
        HostMap({"a.test": value(ctx), "b.test": value(ctx)})
    assert len(caught) == 1 and caught[0].filename == __file__


def callback(*arguments):
    return None


@pytest.mark.parametrize("prepare", [
    lambda ctx: ctx.set_ciphers("PSK"), lambda ctx: ctx.set_ciphers("aNULL:@SECLEVEL=0"),
    lambda ctx: setattr(ctx, "sni_callback", callback),
])
def test_contexts_that_may_serve_without_one(prepare, make_client_ctx):
    ctx = bare()
    prepare(ctx)
    resumable(ctx, TicketKeys())
    HostMap({"a.test": ctx}).install(ctx)


def test_an_anonymous_server_is_resumed():
    two, keys = [bare() for _ in range(2)], TicketKeys()
    client_ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_ctx.check_hostname, client_ctx.verify_mode = False, ssl.CERT_NONE
    for ctx in (*two, client_ctx):
        ctx.maximum_version = ssl.TLSVersion.TLSv1_2
        ctx.set_ciphers("aNULL:@SECLEVEL=0")
    for ctx in two:
        resumable(ctx, keys)
    assert resumes(two[1], client_ctx, connect(two[0], client_ctx).client.session)


def test_a_listener_without_a_certificate(server_ctx):
    by_context, by_id = HostMap({"a.test": server_ctx}), HostMap({"a.test": server_ctx, "b.test": b"b"})
    with pytest.warns(RuntimeWarning, match='name no host of the map .set unmatched = "reject" to reject these'):
        by_context.install(bare())
    with pytest.warns(RuntimeWarning, match="have only an id context and with clients that name no host"):
        by_id.install(bare())
    by_context.unmatched = by_id.unmatched = "reject"
    with pytest.warns(RuntimeWarning, match="fail with hosts that have only an id context: call"):
        by_id.install(bare())
    by_context.install(bare())  # which is all that it needs


def test_a_map_that_rejects_all(server_ctx):
    hosts = HostMap()
    hosts.unmatched = "reject"
    with pytest.warns(RuntimeWarning, match="empty.*add hosts before install"):
        hosts.install(server_ctx)
    hosts["a.test"] = b"a"
    hosts.install(server_ctx)


def test_keys_on_a_host_s_context(make_server_ctx, make_client_ctx, version):
    keys, host = TicketKeys(), make_server_ctx()
    listeners = [make_server_ctx() for _ in range(2)]
    hosts = HostMap({"a.test": resumable(host, keys)})
    for listener in listeners:
        with pytest.warns(RuntimeWarning, match=r"keys\.install\(listener\)"):
            hosts.install(listener)
    client_ctx = make_client_ctx(version)
    assert not resumes(listeners[1], client_ctx, connect(listeners[0], client_ctx).client.session)
    for listener in listeners:
        keys.install(listener)
        hosts.install(listener)
    assert resumes(listeners[1], client_ctx, connect(listeners[0], client_ctx).client.session)
    keys.uninstall(host)
    keys.uninstall(listeners[0])
    hosts.install(listeners[0])
    HostMap({"a.test": listeners[1]}).install(listeners[1])


def test_a_keylog_of_a_host_alone(make_server_ctx, tmp_path):
    host = make_server_ctx()
    host.keylog_filename = tmp_path / "keys"
    hosts, listener = HostMap({"a.test": host}), make_server_ctx()
    with pytest.warns(RuntimeWarning, match="set keylog_filename on the listener before"):
        hosts.install(listener)
    listener.keylog_filename = tmp_path / "keys"
    hosts.install(listener)


@pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLS:DeprecationWarning")
@pytest.mark.parametrize("checks", [True, False])
def test_an_id_context_for_clients_of_a_context_for_both_sides(checks):
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS)
    ctx.verify_mode = ssl.CERT_REQUIRED
    ctx.check_hostname = checks
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        set_session_id_context(ctx, b"shop")
    assert ["PROTOCOL_TLS_CLIENT" in str(warning.message) for warning in caught] == [True] * checks


def test_a_ticket_that_a_client_does_not_send(server_ctx, make_client_ctx, version):
    client_ctx = make_client_ctx(version)
    session = Session.of(shake(pair(server_ctx, client_ctx)).client)
    client_ctx.options |= ssl.OP_NO_TICKET
    ends = pair(server_ctx, client_ctx)
    if version == VERSIONS[0]:
        with pytest.raises(SessionError, match=r"ctx\.options &= ~ssl\.OP_NO_TICKET"):
            session.resume_on(ends.client)
    else:  # where it does
        session.resume_on(ends.client)
        assert shake(ends).client.session_reused


@pytest.mark.parametrize("late", [-60, 60])
def test_a_ticket_that_is_too_old_to_be_sent(server_ctx, make_client_ctx, version, late):
    client_ctx = make_client_ctx(version)
    session = Session.of(shake(pair(server_ctx, client_ctx)).client)
    made = int(time.time()) - session.ticket_lifetime_hint - late
    der = libssl.changed(session.to_der(), libssl.SSL_SESSION_set_time, made)
    session = Session.from_der(der, id_context=session.id_context, host="a.test")
    ends = pair(server_ctx, client_ctx)
    if version == VERSIONS[1] and late > 0:
        with pytest.raises(SessionError, match=r"\d+ seconds old, but its lifetime was 7200 seconds"):
            session.resume_on(ends.client)
    else:
        session.resume_on(ends.client)
        assert shake(ends).client.session_reused


@pytest.mark.parametrize("call", [
    with_keys, lambda ctx: resumable(ctx, TicketKeys()), lambda ctx: HostMap({"a.test": ctx}),
    lambda ctx: HostMap({"a.test": b"a"}).install(ctx),
])
def test_where_warnings_are_errors_nothing_is_changed(call):
    """As they are under `pytest` and `python -W error`."""
    ctx = bare()
    ctx.options |= ssl.OP_NO_TICKET
    with pytest.raises(RuntimeWarning):
        call(ctx)
    assert not vars(ctx)
    assert libssl.SSL_CTX_get_timeout(libssl.pointer(ctx)) != TicketKeys().lifetime
