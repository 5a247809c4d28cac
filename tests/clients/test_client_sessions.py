"""ClientSessions: clients resume by themselves, within its bounds."""

import gc
import pickle
import ssl

import handshakes
import pytest
import trustme

import pysidctx
from pysidctx.clients import ClientSessions


def test_clients_resume(version, tickets, make_server_ctx, make_client_ctx, sessions, resumed):
    client = make_client_ctx(version)
    assert sessions.install(client) is client
    assert resumed(make_server_ctx(tickets=tickets), client, 12) == [False] + 11 * [True]
    stats = sessions.stats()
    assert (stats.offered, stats.resumed, stats.declined, stats.hosts) == (11, 11, 0, 1)
    if version is ssl.TLSVersion.TLSv1_2:
        assert (stats.stored, stats.sessions) == (1, 1)


def test_without_it_they_do_not(server_ctx, make_client_ctx, resumed):
    assert resumed(server_ctx, make_client_ctx(), 4) == 4 * [False]


def test_connections_that_end_without_a_close_notify_resume(version, server_ctx, make_client_ctx, sessions):
    client = sessions.install(make_client_ctx(version))
    for number in range(4):
        ends = handshakes.shake(handshakes.pair(server_ctx, client))
        assert ends.client.session_reused == (number > 0)
        del ends
        gc.collect()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "2001:DB8::a:0:1"])
def test_an_address_is_a_host(address, version, ca, server_ctx, make_client_ctx, sessions, resumed):
    client = sessions.install(make_client_ctx(version))
    ca.issue_cert("a.test", address.lower(), key_type=trustme.KeyType.ECDSA).configure_cert(server_ctx)
    kept = ssl.OPENSSL_VERSION_INFO >= (3,)
    assert resumed(server_ctx, client, 3, name=address) == [False, kept, kept]
    assert not resumed(server_ctx, client)
    sessions.forget(address)
    assert not resumed(server_ctx, client, name=address)


def test_without_a_name_nothing_is_kept(server_ctx, unverified, sessions, resumed):
    client = sessions.install(unverified())
    for name in (None, "127.0.0.1"):  # an address that nobody checks is not known
        assert resumed(server_ctx, client, 2, name=name) == [False, False]
    assert sessions.stats().stored == 0


def test_case_does_not_matter(server_ctx, client, sessions, resumed):
    assert resumed(server_ctx, client, 2) == [False, True]
    assert resumed(server_ctx, client, name="A.TEST")
    sessions.forget("A.Test")
    assert not resumed(server_ctx, client)


def test_forgetting(server_ctx, client, sessions, resumed):
    resumed(server_ctx, client)
    resumed(server_ctx, client, name="b.test")
    assert sessions.stats().hosts == 2
    sessions.forget("a.test")
    sessions.forget("never.test")
    assert sessions.stats().hosts == 1
    assert not resumed(server_ctx, client)
    assert resumed(server_ctx, client, name="b.test")
    sessions.clear()
    assert sessions.stats()[-2:] == (0, 0)
    assert not resumed(server_ctx, client, name="b.test")


def test_a_ticket_of_tls_1_3_is_offered_once(server_ctx, make_client_ctx):
    for single_use, expected in ((True, 2), (False, 4)):
        sessions = ClientSessions(single_use=single_use)
        client = sessions.install(make_client_ctx(ssl.TLSVersion.TLSv1_3))
        handshakes.connect(server_ctx, client)
        assert sessions.stats().sessions == 2
        # All begin before any gets a new ticket.
        pairs = [handshakes.pair(server_ctx, client) for _ in range(4)]
        for ends in pairs:
            with pytest.raises(ssl.SSLWantReadError):
                ends.client.do_handshake()
        assert sessions.stats().offered == expected
        assert sum(handshakes.shake(ends).client.session_reused for ends in pairs) == expected


def test_of_many_sessions_the_newest_stay(make_server_ctx, make_client_ctx, resumed):
    sessions = ClientSessions(per_host=3)
    client = sessions.install(make_client_ctx(ssl.TLSVersion.TLSv1_3))
    server = make_server_ctx()
    server.num_tickets = 100
    resumed(server, client)
    stats = sessions.stats()
    assert (stats.stored, stats.dropped, stats.sessions) == (100, 97, 3)
    assert resumed(server, client)


def test_a_server_without_tickets(make_server_ctx, make_client_ctx, sessions, resumed):
    client = sessions.install(make_client_ctx(ssl.TLSVersion.TLSv1_3))
    server = make_server_ctx()
    server.num_tickets = 0
    assert resumed(server, client, 3) == 3 * [False]
    assert sessions.stats().stored == 0


def test_of_many_hosts_the_last_used_stay(server_ctx, unverified, resumed):
    sessions = ClientSessions(hosts=20)
    client = sessions.install(unverified())
    resumed(server_ctx, client, name="first.test")
    for number in range(60):
        resumed(server_ctx, client, name=f"host{number}.test")
        if number % 10 == 0:
            assert resumed(server_ctx, client, name="first.test")
    stats = sessions.stats()
    assert stats.hosts == 20 and stats.dropped > 40
    assert resumed(server_ctx, client, name="host59.test")
    assert not resumed(server_ctx, client, name="host0.test")


def test_a_thousand_hosts_and_a_thousand_more(server_ctx, unverified, sessions):
    client = sessions.install(unverified())
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    for number in range(2000):
        handshakes.shake(handshakes.pair(server_ctx, client, name=f"host{number}.test"))
    assert sessions.stats()[-2:] == (1000, 1000)


def test_uninstalled(server_ctx, client, sessions, resumed):
    assert resumed(server_ctx, client, 2) == [False, True]
    sessions.uninstall(client)
    assert sessions.stats().sessions == 0
    assert resumed(server_ctx, client, 2) == [False, False]
    with pytest.raises(ValueError, match="is not installed"):
        sessions.uninstall(client)
    sessions.install(client)
    assert resumed(server_ctx, client, 2) == [False, True]


def test_another_one_replaces_it(server_ctx, client, sessions, resumed):
    assert resumed(server_ctx, client, 2) == [False, True]
    other = ClientSessions()
    other.install(client)
    assert resumed(server_ctx, client, 2) == [False, True]
    assert sessions.stats().offered == other.stats().offered == 1
    with pytest.raises(ValueError):
        sessions.uninstall(client)


def test_contexts_keep_it_alive(server_ctx, make_client_ctx, resumed):
    client = ClientSessions().install(make_client_ctx())
    gc.collect()
    assert resumed(server_ctx, client, 2) == [False, True]


def test_a_context_that_is_gone_leaves_nothing(server_ctx, make_client_ctx, sessions, resumed):
    resumed(server_ctx, sessions.install(make_client_ctx()))
    gc.collect()
    assert sessions.stats()[-2:] == (0, 0)


def test_the_session_that_a_user_sets_is_left_alone(version, server_ctx, make_client_ctx, sessions):
    client = make_client_ctx(version)
    mine = handshakes.connect(server_ctx, client).client.session
    sessions.install(client)
    handshakes.connect(server_ctx, client)
    assert [handshakes.resumes(server_ctx, client, mine) for _ in range(3)] == [True, True, True]
    stats = sessions.stats()
    # Nor is what comes of it stored: who knows on what terms it was made.
    assert (stats.offered, stats.stored) == (0, 1 if version is ssl.TLSVersion.TLSv1_2 else 2)

    kept = pysidctx.Session.of(handshakes.shake(handshakes.pair(server_ctx, client)).client)
    offered = sessions.stats().offered
    assert handshakes.resumes(server_ctx, client, None, before=lambda ends: kept.resume_on(ends.client))
    assert sessions.stats().offered == offered


def test_a_resumed_connection_s_session_can_be_taken(version, server_ctx, make_client_ctx, sessions):
    client = sessions.install(make_client_ctx(version))
    for _ in range(2):
        ends = handshakes.shake(handshakes.pair(server_ctx, client))
    assert ends.client.session_reused
    session = pysidctx.Session.of(ends.client)
    assert session.hostname == "a.test" and session.resumable
    assert handshakes.resumes(server_ctx, make_client_ctx(version), None,
                              before=lambda ends: session.resume_on(ends.client))


def test_a_context_of_both_sides(server_ctx, both_sides, make_client_ctx, sessions, resumed):
    both = sessions.install(both_sides())
    both.check_hostname = True
    assert resumed(server_ctx, both, 2) == [False, True]
    stored = sessions.stats().stored
    both.check_hostname = False
    with pytest.raises(ssl.SSLError):  # as a server, it has no certificate
        resumed(both, make_client_ctx())
    assert sessions.stats().stored == stored


def test_servers_are_refused(server_ctx, both_sides, sessions):
    with pytest.raises(ValueError, match="PROTOCOL_TLS_SERVER"):
        sessions.install(server_ctx)
    both = both_sides()
    pysidctx.TicketKeys().install(both)
    with pytest.raises(ValueError, match="serves"):
        sessions.install(both)


@pytest.mark.parametrize("install", [
    lambda ctx: pysidctx.TicketKeys().install(ctx), lambda ctx: pysidctx.SessionCache().install(ctx, when="always"),
], ids=["TicketKeys", "SessionCache"])
def test_what_serves_is_refused_where_they_are_installed(install, server_ctx, both_sides, sessions, resumed):
    both = sessions.install(both_sides())
    both.check_hostname = True
    with pytest.raises(ValueError, match="ClientSessions"):
        install(both)
    assert resumed(server_ctx, both, 2) == [False, True]
    sessions.uninstall(both)
    install(both)


@pytest.mark.parametrize("arguments", [
    {"hosts": 0}, {"hosts": 1 << 21}, {"per_host": 0}, {"per_host": 1025},
])
def test_numbers_out_of_range(arguments):
    with pytest.raises(ValueError, match="must be 1 to"):
        ClientSessions(**arguments)


def test_wrong_types(sessions, client):
    for call in (lambda: ClientSessions(hosts="many"), lambda: ClientSessions(per_host=True),
                 lambda: ClientSessions(single_use=1), lambda: sessions.install(object()),
                 lambda: sessions.install(client, share=1), lambda: sessions.uninstall(None),
                 lambda: sessions.forget(b"a.test"), lambda: pickle.dumps(sessions),
                 lambda: pysidctx.clients.everywhere(client)):
        with pytest.raises(TypeError):
            call()
    for host in ("", "a\0b"):
        with pytest.raises(ValueError):
            sessions.forget(host)


def test_what_it_shows(sessions):
    assert (sessions.hosts, sessions.per_host, sessions.single_use) == (1000, 8, True)
    assert "hosts=1000" in repr(sessions) and "stored=0" in repr(sessions)
