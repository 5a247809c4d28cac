"""OpenSSL's callbacks: those of others that were there before, and the handshakes of one connection."""

import ssl

import handshakes
import libssl

DONE = 0x20  # SSL_CB_HANDSHAKE_DONE


def test_former_callbacks_are_called_as_before(version, server_ctx, make_client_ctx, sessions, resumed):
    client = make_client_ctx(version)
    calls = []
    info = libssl.INFO(lambda connection, where, value: calls.append(where))
    new = libssl.NEW_SESSION(lambda connection, session: calls.append("new") or 0)
    libssl.SSL_CTX_set_info_callback(libssl.pointer(client), info)
    libssl.SSL_CTX_sess_set_new_cb(libssl.pointer(client), new)
    sessions.install(client)
    assert resumed(server_ctx, client, 2) == [False, True]
    assert calls.count(DONE) == 2
    assert calls.count("new") == sessions.stats().stored
    sessions.uninstall(client)
    sessions.install(client)
    assert resumed(server_ctx, client, 2) == [False, True]
    assert calls.count(DONE) == 4


def renegotiate(ends):
    before = libssl.SSL_get_session(libssl.pointer(ends.client))
    assert libssl.SSL_renegotiate(libssl.pointer(ends.client))
    for _ in range(3):
        handshakes.read_nothing(ends.client)
        handshakes.read_nothing(ends.server)
    assert libssl.SSL_get_session(libssl.pointer(ends.client)) != before


def test_a_renegotiation_offers_nothing_and_keeps_its_session(make_server_ctx, make_client_ctx, sessions, resumed):
    server = make_server_ctx()
    if ssl.OPENSSL_VERSION_INFO >= (3,):
        server.options |= libssl.SSL_OP_ALLOW_CLIENT_RENEGOTIATION
    client = sessions.install(make_client_ctx(ssl.TLSVersion.TLSv1_2))
    ends = handshakes.shake(handshakes.pair(server, client))
    renegotiate(ends)
    stats = sessions.stats()
    assert (stats.stored, stats.offered, stats.sessions) == (2, 0, 2)
    ends = handshakes.shake(handshakes.pair(server, client))
    assert ends.client.session_reused
    renegotiate(ends)
    assert sessions.stats().dropped == 0
    assert resumed(server, client)


def test_a_renegotiation_under_another_name_keeps_nothing(make_server_ctx, make_client_ctx, sessions):
    server = make_server_ctx()
    if ssl.OPENSSL_VERSION_INFO >= (3,):
        server.options |= libssl.SSL_OP_ALLOW_CLIENT_RENEGOTIATION
    client = sessions.install(make_client_ctx(ssl.TLSVersion.TLSv1_2))
    ends = handshakes.shake(handshakes.pair(server, client))
    libssl.set_server_name(ends.client, b"b.test")
    renegotiate(ends)
    # The certificate was checked for the first name, as OpenSSL tells from 3.0 on.
    assert sessions.stats().stored == (1 if ssl.OPENSSL_VERSION_INFO >= (3,) else 2)


def test_a_copy_of_a_connection(server_ctx, make_client_ctx, sessions, resumed):
    """SSL_dup() copies ex_data, but not the server's name: nothing is offered."""
    client = sessions.install(make_client_ctx())
    assert not resumed(server_ctx, client)
    ends = handshakes.pair(server_ctx, client)
    libssl.duplicate(ends.client)
    assert not handshakes.shake(ends).client.session_reused
    assert resumed(server_ctx, client)
