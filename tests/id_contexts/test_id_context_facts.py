"""What OpenSSL itself does with id contexts: the facts that pysidctx is built on."""

import ssl
import sys

import libssl
import pytest
from handshakes import close, connect, id_context, pair, resumes, shake

CPYTHON = b"Python\0"


def set_raw(connection, sid_ctx):
    assert libssl.SSL_set_session_id_context(libssl.pointer(connection), sid_ctx, len(sid_ctx))


def test_every_server_of_cpython_has_one_id_context(make_server_ctx, client_ctx):
    assert id_context(connect(make_server_ctx(), client_ctx)) == CPYTHON


@pytest.mark.parametrize("setter", ["SSL_CTX_set_session_id_context", "SSL_set_session_id_context"])
def test_too_long_is_refused_and_leaves_an_entry_in_the_error_queue(setter, server_ctx, client_ctx):
    target = server_ctx if "CTX" in setter else pair(server_ctx, client_ctx).server
    assert not getattr(libssl, setter)(libssl.pointer(target), b"x" * 33, 33)
    assert libssl.queued_reasons() == [libssl.SSL_R_SSL_SESSION_ID_CONTEXT_TOO_LONG]


def test_an_entry_left_in_the_error_queue_breaks_another_connection(server_ctx, client_ctx):
    ends = shake(pair(server_ctx, client_ctx))
    libssl.SSL_CTX_set_session_id_context(libssl.pointer(server_ctx), b"x" * 33, 33)
    with pytest.raises(ssl.SSLError) as error:
        ends.client.read()
    assert error.value.reason == "SSL_SESSION_ID_CONTEXT_TOO_LONG"
    libssl.queued_reasons()


def test_a_context_holds_any_bytes_and_nul_counts(server_ctx, client_ctx, version):
    client_ctx.minimum_version = client_ctx.maximum_version = version

    def sets(sid_ctx):
        return lambda ends: set_raw(ends.server, sid_ctx)

    session = connect(server_ctx, client_ctx, before=sets(b"a\0b")).client.session
    assert not resumes(server_ctx, client_ctx, session, before=sets(b"a"))
    assert not resumes(server_ctx, client_ctx, session, before=sets(b"a\0c"))
    assert resumes(server_ctx, client_ctx, session, before=sets(b"a\0b"))


def test_connections_inherit_it_up_to_cpython_3_12_only(server_ctx, client_ctx):
    libssl.SSL_CTX_set_session_id_context(libssl.pointer(server_ctx), b"shop", 4)
    inherited = sys.version_info < (3, 13)
    assert id_context(connect(server_ctx, client_ctx)) == (b"shop" if inherited else CPYTHON)


def test_a_mismatch_means_a_full_handshake(server_ctx, client_ctx, version, tickets):
    client_ctx.minimum_version = client_ctx.maximum_version = version
    if not tickets:
        server_ctx.options |= ssl.OP_NO_TICKET
    session = connect(server_ctx, client_ctx).client.session
    assert resumes(server_ctx, client_ctx, session)
    session = connect(server_ctx, client_ctx).client.session
    assert not resumes(server_ctx, client_ctx, session,
                       before=lambda ends: set_raw(ends.server, b"another"))


def test_set_per_connection_before_the_handshake(server_ctx, client_ctx):
    ends = connect(server_ctx, client_ctx, before=lambda ends: set_raw(ends.server, b"mine"))
    assert id_context(ends) == b"mine"


def test_set_in_sni_callback_is_too_late(server_ctx, client_ctx, version):
    client_ctx.minimum_version = client_ctx.maximum_version = version
    session = connect(server_ctx, client_ctx).client.session
    server_ctx.sni_callback = lambda server, name, ctx: set_raw(server, b"late")
    ends = connect(server_ctx, client_ctx, session=session)
    assert ends.server.session_reused
    assert id_context(ends) == CPYTHON


def test_empty_with_verified_clients_is_a_fatal_error_until_it_is_set(
    make_server_ctx, make_client_ctx, version
):
    server_ctx, client_ctx = make_server_ctx(verify=ssl.CERT_REQUIRED), make_client_ctx(version)

    def empty(ends):
        set_raw(ends.server, b"")

    session = connect(server_ctx, client_ctx, before=empty).client.session
    ends = pair(server_ctx, client_ctx, session=session)
    empty(ends)
    with pytest.raises(ssl.SSLError, match="(?i)session.id.context.uninitialized"):
        shake(ends)
    libssl.queued_reasons()
    assert not resumes(server_ctx, client_ctx, session,
                       before=lambda ends: set_raw(ends.server, b"set"))


def test_empty_with_verified_clients_is_not_cached(make_server_ctx, make_client_ctx, version):
    server_ctx = make_server_ctx(verify=ssl.CERT_REQUIRED, tickets=False)
    client_ctx = make_client_ctx(version)
    connect(server_ctx, client_ctx)
    cached = server_ctx.session_stats()["number"]
    assert cached
    connect(server_ctx, client_ctx, before=lambda ends: set_raw(ends.server, b""))
    assert server_ctx.session_stats()["number"] == cached


def test_clients_compare_it_too(server_ctx, make_client_ctx, version):
    client_ctx = make_client_ctx(version)
    session = connect(server_ctx, client_ctx).client.session
    ends = pair(server_ctx, client_ctx, session=session)
    set_raw(ends.client, b"another")
    with pytest.raises(ssl.SSLError, match="(?i)attempt.to.reuse.session.in.different.context"):
        shake(ends)


@pytest.fixture
def psk_contexts(version):
    """A server's and a client's context that authenticate by one external pre-shared key alone."""
    if not getattr(ssl, "HAS_PSK", False):
        pytest.skip("ssl takes external PSKs from CPython 3.13 on")
    server_ctx, client_ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_ctx.check_hostname, client_ctx.verify_mode = False, ssl.CERT_NONE
    client_ctx.minimum_version = client_ctx.maximum_version = version
    if version < ssl.TLSVersion.TLSv1_3:
        for ctx in (server_ctx, client_ctx):
            ctx.set_ciphers("PSK")
    server_ctx.set_psk_server_callback(lambda identity: b"k" * 32)
    client_ctx.set_psk_client_callback(lambda hint: ("client", b"k" * 32))
    return server_ctx, client_ctx


def test_an_external_psk_of_tls_1_3_fails_on_a_client_with_an_id_context(psk_contexts, version):
    connect(*psk_contexts)
    ends = pair(*psk_contexts)
    set_raw(ends.client, b"shop")
    if version < ssl.TLSVersion.TLSv1_3:
        shake(ends)
        return
    with pytest.raises(ssl.SSLError, match="(?i)attempt.to.reuse.session.in.different.context"):
        shake(ends)
    ends = pair(*psk_contexts)
    set_raw(ends.client, b"")
    shake(ends)


def test_the_session_carries_it(server_ctx, client_ctx):
    ends = pair(server_ctx, client_ctx)
    set_raw(ends.client, b"of the client")
    shake(ends)
    assert libssl.session_id_context(ends.client) == b"of the client"
    close(ends)
