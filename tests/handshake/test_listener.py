"""The ClientHello callback: which id context applies, from when on, and under threads and fork."""

import os
import ssl
import sys
import threading
import warnings

import libssl
import pytest
from handshakes import connect, id_context, pair, read_nothing, resumes, shake

from pysidctx import set_session_id_context

CPYTHON = b"Python\0"
SERVING = [ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS]


def own(sid_ctx):
    return lambda ends: set_session_id_context(ends.server, sid_ctx)


def context_of(protocol, certificate, ca=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        ctx = ssl.SSLContext(protocol)
    certificate.configure_cert(ctx)
    if ca is not None:
        ca.configure_trust(ctx)
    return ctx


def test_on_a_context_it_separates_sessions(make_server_ctx, make_client_ctx, version, tickets):
    server_ctx, client_ctx = make_server_ctx(tickets=tickets), make_client_ctx(version)
    set_session_id_context(server_ctx, b"shop")
    first = connect(server_ctx, client_ctx)
    assert id_context(first) == b"shop"
    assert resumes(server_ctx, client_ctx, first.client.session)

    session = connect(server_ctx, client_ctx).client.session
    set_session_id_context(server_ctx, b"bank")
    second = connect(server_ctx, client_ctx, session=session)
    assert not second.server.session_reused
    assert id_context(second) == b"bank"
    assert resumes(server_ctx, client_ctx, second.client.session)


def test_on_a_connection_it_separates_sessions(make_server_ctx, make_client_ctx, version, tickets):
    server_ctx, client_ctx = make_server_ctx(tickets=tickets), make_client_ctx(version)
    session = connect(server_ctx, client_ctx, before=own(b"shop")).client.session
    assert resumes(server_ctx, client_ctx, session, before=own(b"shop"))
    session = connect(server_ctx, client_ctx, before=own(b"shop")).client.session
    assert not resumes(server_ctx, client_ctx, session, before=own(b"bank"))
    session = connect(server_ctx, client_ctx, before=own(b"shop")).client.session
    assert not resumes(server_ctx, client_ctx, session)


@pytest.mark.parametrize("context_first", [True, False])
def test_a_connection_wins_over_its_context(server_ctx, client_ctx, version, context_first):
    client_ctx.minimum_version = client_ctx.maximum_version = version
    if context_first:
        set_session_id_context(server_ctx, b"context")
    ends = pair(server_ctx, client_ctx)
    set_session_id_context(ends.server, b"connection")
    set_session_id_context(server_ctx, b"context")
    assert id_context(shake(ends)) == b"connection"
    assert id_context(connect(server_ctx, client_ctx)) == b"context"


def test_a_change_counts_for_connections_made_before_it(server_ctx, client_ctx):
    set_session_id_context(server_ctx, b"before")
    ends = pair(server_ctx, client_ctx)
    set_session_id_context(server_ctx, b"after")
    assert id_context(shake(ends)) == b"after"


def test_a_connection_takes_its_last_one(server_ctx, client_ctx):
    ends = pair(server_ctx, client_ctx)
    for sid_ctx in (b"x" * 32, b"", b"last"):
        set_session_id_context(ends.server, sid_ctx)
    assert id_context(shake(ends)) == b"last"


@pytest.mark.parametrize("length", range(33))
def test_every_length_arrives_whole(server_ctx, client_ctx, length, rng):
    sid_ctx = bytes(rng.randrange(256) for _ in range(length))
    set_session_id_context(server_ctx, b"\xff" * 32)
    set_session_id_context(server_ctx, sid_ctx)
    assert id_context(connect(server_ctx, client_ctx)) == sid_ctx
    other = bytes(reversed(sid_ctx))
    assert id_context(connect(server_ctx, client_ctx, before=own(other))) == other


def test_a_verifying_server_resumes_with_the_client_certificate(
    make_server_ctx, make_client_ctx, version, tickets
):
    server_ctx = make_server_ctx(verify=ssl.CERT_REQUIRED, tickets=tickets)
    client_ctx = make_client_ctx(version)
    set_session_id_context(server_ctx, b"shop")
    session = connect(server_ctx, client_ctx).client.session
    ends = connect(server_ctx, client_ctx, session=session)
    assert ends.server.session_reused
    assert ends.server.getpeercert()["subjectAltName"] == (("email", "client@a.test"),)


def test_a_client_takes_that_of_its_context_and_its_own(server_ctx, client_ctx):
    set_session_id_context(client_ctx, b"context")
    ends = shake(pair(server_ctx, client_ctx))
    assert libssl.session_id_context(ends.client) == b"context"
    ends = pair(server_ctx, client_ctx)
    set_session_id_context(ends.client, b"own")
    assert libssl.session_id_context(shake(ends).client) == b"own"


def test_a_client_with_a_session_may_still_be_set(server_ctx, client_ctx, version):
    client_ctx.minimum_version = client_ctx.maximum_version = version

    def both(ends):
        set_session_id_context(ends.client, b"of clients")

    session = connect(server_ctx, client_ctx, before=both).client.session
    assert resumes(server_ctx, client_ctx, session, before=both)


def test_a_context_switched_before_the_handshake_counts(
    make_server_ctx, make_client_ctx, version, tickets
):
    listener, client_ctx = make_server_ctx(tickets=tickets), make_client_ctx(version)
    shop, bank = make_server_ctx(tickets=tickets), make_server_ctx(tickets=tickets)
    set_session_id_context(shop, b"shop")
    set_session_id_context(bank, b"bank")

    def switch(ctx):
        def before(ends):
            ends.server.context = ctx
        return before

    session = connect(listener, client_ctx, before=switch(shop)).client.session
    assert resumes(listener, client_ctx, session, before=switch(shop))
    session = connect(listener, client_ctx, before=switch(shop)).client.session
    assert not resumes(listener, client_ctx, session, before=switch(bank))


def test_a_connection_keeps_its_own_when_its_context_is_switched(make_server_ctx, client_ctx):
    listener, other = make_server_ctx(), make_server_ctx()
    for ctx, sid_ctx in ((listener, b"same"), (other, b"other")):
        set_session_id_context(ctx, sid_ctx)

    def before(ends):
        # Equal to the listener's: OpenSSL takes it for inherited when it switches.
        set_session_id_context(ends.server, b"same")
        ends.server.context = other

    assert id_context(connect(listener, client_ctx, before=before)) == b"same"


def test_a_context_switched_in_sni_callback_comes_too_late_and_changes_nothing(
    make_server_ctx, client_ctx, version
):
    listener, other = make_server_ctx(), make_server_ctx()
    client_ctx.minimum_version = client_ctx.maximum_version = version
    set_session_id_context(listener, b"listener")
    set_session_id_context(other, b"other")

    def switch(server, name, ctx):
        server.context = other

    listener.sni_callback = switch
    assert id_context(connect(listener, client_ctx)) == b"listener"


@pytest.fixture
def retrying(make_server_ctx, make_client_ctx):
    """A server's context that asks every client of TLS 1.3 for a second ClientHello."""
    listener = make_server_ctx()
    listener.set_ecdh_curve("secp384r1")  # for which no client sends a key share unasked
    return listener, make_client_ctx(ssl.TLSVersion.TLSv1_3)


def count_hellos(*contexts):
    """A list for the ClientHellos that connections read whose context is one of these."""
    hellos = []

    def note(connection, direction, version, content_type, message_type, data):
        if (direction, message_type) == ("read", ssl._TLSMessageType.CLIENT_HELLO):
            hellos.append(data)

    for ctx in contexts:
        ctx._msg_callback = note
    return hellos


@pytest.mark.parametrize("changed", [True, False])
@pytest.mark.parametrize("own", [True, False])
def test_hello_retry_request_keeps_the_first_choice(retrying, make_server_ctx, changed, own):
    listener, client_ctx = retrying
    other = make_server_ctx()
    set_session_id_context(listener, b"first")
    set_session_id_context(other, b"other")
    hellos = count_hellos(listener, other)

    def switch(server, name, ctx):
        if changed:
            set_session_id_context(listener, b"changed")
        server.context = other

    def before(ends):
        if own:
            set_session_id_context(ends.server, b"first")

    listener.sni_callback = switch
    assert id_context(connect(listener, client_ctx, before=before)) == b"first"
    assert len(hellos) == 2


@pytest.mark.parametrize("protocol", SERVING)
def test_hello_retry_request_and_a_switch_to_a_plain_context(
    certificate, make_server_ctx, make_client_ctx, protocol
):
    listener = context_of(protocol, certificate)
    listener.set_ecdh_curve("secp384r1")
    client_ctx = make_client_ctx(ssl.TLSVersion.TLSv1_3)
    plain = make_server_ctx()

    def switch(server, name, ctx):
        server.context = plain

    listener.sni_callback = switch
    set_session_id_context(listener, b"v1")
    first = connect(listener, client_ctx)
    assert id_context(first) == b"v1"
    assert resumes(listener, client_ctx, first.client.session)
    session = connect(listener, client_ctx).client.session
    set_session_id_context(listener, b"v2")
    assert not resumes(listener, client_ctx, session)


@pytest.mark.parametrize("protocol", SERVING)
def test_a_connection_keeps_its_own_when_it_is_switched_to_a_plain_context(
    certificate, make_server_ctx, client_ctx, protocol
):
    listener, plain = context_of(protocol, certificate), make_server_ctx()
    set_session_id_context(listener, b"same")

    def before(ends):
        set_session_id_context(ends.server, b"same")
        ends.server.context = plain

    assert id_context(connect(listener, client_ctx, before=before)) == b"same"


def test_a_switch_to_a_plain_context_before_the_handshake_leaves_cpython_s(
    make_server_ctx, client_ctx
):
    listener, plain = make_server_ctx(), make_server_ctx()
    set_session_id_context(listener, b"v1")

    def before(ends):
        set_session_id_context(listener, b"v2")
        ends.server.context = plain

    assert id_context(connect(listener, client_ctx, before=before)) == CPYTHON


def test_hello_retry_request_before_a_switch_to_a_context_with_one(retrying, make_server_ctx):
    listener, client_ctx = retrying
    other = make_server_ctx()
    set_session_id_context(other, b"other")

    def switch(server, name, ctx):
        server.context = other

    listener.sni_callback = switch
    found = id_context(connect(listener, client_ctx))
    if sys.version_info >= (3, 13):
        assert found == CPYTHON
    else:
        # OpenSSL itself takes CPython's for inherited from the listener, and replaces it in the
        # switch: with the random one of the other context, under which nobody else resumes.
        assert found not in (CPYTHON, b"other")


@pytest.mark.parametrize("on_context", [True, False])
def test_between_hello_retry_request_and_its_answer_it_is_too_late(retrying, on_context):
    listener, client_ctx = retrying
    if on_context:
        set_session_id_context(listener, b"first")
    ends = pair(listener, client_ctx)
    for end in (ends.client, ends.server):
        with pytest.raises(ssl.SSLWantReadError):
            end.do_handshake()
    assert not libssl.SSL_get_session(libssl.pointer(ends.server))
    with pytest.raises(ValueError, match="handshake has begun"):
        set_session_id_context(ends.server, b"late")
    assert id_context(shake(ends)) == (b"first" if on_context else CPYTHON)


def test_renegotiation_keeps_the_first_choice(server_ctx, make_client_ctx):
    if ssl.OPENSSL_VERSION_INFO >= (3,):  # before, they are allowed unless told otherwise
        server_ctx.options |= libssl.SSL_OP_ALLOW_CLIENT_RENEGOTIATION
    set_session_id_context(server_ctx, b"first")
    ends = shake(pair(server_ctx, make_client_ctx(ssl.TLSVersion.TLSv1_2)))
    before = libssl.SSL_get_session(libssl.pointer(ends.server))
    set_session_id_context(server_ctx, b"changed")
    assert libssl.SSL_renegotiate(libssl.pointer(ends.client))
    for _ in range(3):
        read_nothing(ends.client)
        read_nothing(ends.server)
    assert libssl.SSL_get_session(libssl.pointer(ends.server)) != before
    assert id_context(ends) == b"first"


def test_python_s_own_sni_callback_still_runs(server_ctx, client_ctx):
    names = []
    server_ctx.sni_callback = lambda server, name, ctx: names.append(name)
    set_session_id_context(server_ctx, b"shop")
    assert id_context(connect(server_ctx, client_ctx, name="b.test")) == b"shop"
    assert names == ["b.test"]


def test_a_connection_lives_on_without_its_context(make_server_ctx, client_ctx):
    server_ctx = make_server_ctx()
    set_session_id_context(server_ctx, b"shop")
    ends = pair(server_ctx, client_ctx)
    set_session_id_context(ends.server, b"own")
    del server_ctx
    assert id_context(shake(ends)) == b"own"


def test_a_context_at_the_address_of_one_that_died_starts_anew(make_server_ctx, client_ctx):
    addresses = set()
    for number in range(50):
        server_ctx = make_server_ctx()
        addresses.add(libssl.pointer(server_ctx))
        assert id_context(connect(server_ctx, client_ctx)) == CPYTHON
        for sid_ctx in (b"first", b"second %d" % number):
            set_session_id_context(server_ctx, sid_ctx)
        assert id_context(connect(server_ctx, client_ctx)) == sid_ctx
        del server_ctx
    assert len(addresses) < 50


def test_a_context_for_both_sides_serves_and_connects(certificate, ca, client_ctx, version):
    ctx = context_of(ssl.PROTOCOL_TLS, certificate, ca)
    ctx.minimum_version = ctx.maximum_version = version
    set_session_id_context(ctx, b"v1")
    as_client = connect(ctx, ctx)
    assert id_context(as_client) == b"v1"
    assert id_context(connect(ctx, client_ctx)) == b"v1"
    # Serving, and setting it again, have left its clients as they were.
    set_session_id_context(ctx, b"v1")
    assert resumes(ctx, ctx, as_client.client.session)


def test_a_duplicate_has_an_id_context_of_its_own_to_free(server_ctx, client_ctx):
    ends = pair(server_ctx, client_ctx)
    set_session_id_context(ends.server, b"own")
    copies = [libssl.SSL_dup(libssl.pointer(ends.server)) for _ in range(3)]
    assert all(copies)
    for copy in copies:
        libssl.SSL_free(copy)
    assert id_context(shake(ends)) == b"own"


def test_eight_threads_shake_hands_while_the_context_changes(make_server_ctx, make_client_ctx):
    server_ctx = make_server_ctx()
    choices = {b"a" * 32, b"b" * 17, b"", b"c" * 8}
    set_session_id_context(server_ctx, b"")
    seen, wrong, stop = set(), [], threading.Event()

    def work():
        client_ctx = make_client_ctx()
        try:
            for _ in range(60):
                found = id_context(connect(server_ctx, client_ctx))
                if found not in choices:
                    wrong.append(found)
                seen.add(found)
        except Exception as error:
            wrong.append(error)

    def change():
        while not stop.is_set():
            for sid_ctx in choices:
                set_session_id_context(server_ctx, sid_ctx)

    workers = [threading.Thread(target=work) for _ in range(8)]
    changers = [threading.Thread(target=change) for _ in range(2)]
    for thread in workers + changers:
        thread.start()
    for thread in workers:
        thread.join()
    stop.set()
    for thread in changers:
        thread.join()
    assert wrong == []
    assert len(seen) > 1


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_both_sides_of_a_fork_go_on(server_ctx, client_ctx):
    set_session_id_context(server_ctx, b"shop")
    session = connect(server_ctx, client_ctx).client.session
    child = os.fork()
    if child == 0:
        status = 1
        try:
            good = resumes(server_ctx, client_ctx, session)
            set_session_id_context(server_ctx, b"child")
            good = good and id_context(connect(server_ctx, client_ctx)) == b"child"
            status = 0 if good else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert id_context(connect(server_ctx, client_ctx)) == b"shop"
