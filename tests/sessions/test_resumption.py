"""Session.resume_on(): which connections resume a session, and which are refused it."""

import socket
import ssl
from concurrent.futures import ThreadPoolExecutor

import libssl
import pytest
from handshakes import FIXED, close, connect, id_context, pair, shake

from pysidctx import Session, SessionError, set_session_id_context

TLS_1_2, TLS_1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.fixture
def listener(make_server_ctx, tickets):
    ctx = make_server_ctx(tickets=tickets)
    set_session_id_context(ctx, b"server")
    return ctx


def session_of(server_ctx, client_ctx, **options):
    return Session.of(connect(server_ctx, client_ctx, **options).client)


def visit(server_ctx, client_ctx, session, *, name="a.test", **options):
    """One connection that offers `session`."""
    return connect(server_ctx, client_ctx, name=name,
                   before=lambda ends: session.resume_on(ends.client, **options))


def written(session):
    return Session.from_der(session.to_der(), id_context=session.id_context)


@pytest.mark.parametrize("carry", [lambda session: session, written], ids=["kept", "written"])
def test_it_resumes_on_another_context(listener, make_client_ctx, version, carry):
    session = session_of(listener, make_client_ctx(version))
    for _ in range(2):
        ends = visit(listener, make_client_ctx(version), carry(session))
        assert ends.server.session_reused
        session = Session.of(ends.client)


def test_it_stays_as_it_is_whatever_becomes_of_the_connection(listener, make_client_ctx, version):
    session = session_of(listener, make_client_ctx(version))
    der = session.to_der()
    ends = pair(listener, make_client_ctx(version))
    session.resume_on(ends.client)
    shake(ends)
    libssl.mark_not_resumable(ends.client)
    assert session.resumable and session.to_der() == der


@pytest.mark.parametrize("client_sid_ctx", [b"", b"client", None], ids=["empty", "said", "CPython's"])
def test_a_session_of_another_id_context(listener, make_client_ctx, version, client_sid_ctx):
    """Clients compare, too: without resume_on() the handshake fails by OpenSSL's own check."""
    client_ctx = make_client_ctx(version)
    if client_sid_ctx is not None:
        set_session_id_context(client_ctx, client_sid_ctx)
    session = session_of(listener, client_ctx).with_id_context(b"foreign")

    ends = pair(listener, client_ctx)
    libssl.set_session(ends.client, session.to_der())
    with pytest.raises(ssl.SSLError, match="ATTEMPT_TO_REUSE_SESSION_IN_DIFFERENT_CONTEXT"):
        shake(ends)

    ends = visit(listener, client_ctx, session)
    assert ends.client.session_reused
    assert Session.of(ends.client).id_context == b"foreign"


def test_the_check_is_still_there_for_every_other_session(listener, make_client_ctx, version):
    session = session_of(listener, make_client_ctx(version))
    ends = pair(listener, make_client_ctx(version))
    session.with_id_context(b"shop").resume_on(ends.client)
    libssl.set_session(ends.client, session.with_id_context(b"bank").to_der())
    with pytest.raises(ssl.SSLError, match="ATTEMPT_TO_REUSE_SESSION_IN_DIFFERENT_CONTEXT"):
        shake(ends)


def test_where_the_server_does_not_take_it_the_next_session_is_in_its_id_context(
    make_server_ctx, make_client_ctx, version
):
    session = session_of(make_server_ctx(), make_client_ctx(version)).with_id_context(b"shop")
    ends = visit(make_server_ctx(), make_client_ctx(version), session)
    assert not ends.client.session_reused
    assert Session.of(ends.client).id_context == b"shop"
    assert ends.client.getpeercert()["subjectAltName"]


def test_the_last_of_several_counts(listener, make_client_ctx, version):
    first, last = (session_of(listener, make_client_ctx(version)) for _ in range(2))

    def before(ends):
        first.with_id_context(b"first").resume_on(ends.client)
        last.with_id_context(b"last").resume_on(ends.client)
    ends = connect(listener, make_client_ctx(version), before=before)
    assert ends.client.session_reused and Session.of(ends.client).id_context == b"last"


def refused(ends, session, message, error=SessionError, **options):
    """The session is refused, and the connection's handshake is what it would have been without it."""
    with pytest.raises(error, match=message):
        session.resume_on(ends.client, **options)
    assert libssl.ERR_peek_error() == 0
    shake(ends)
    assert not ends.client.session_reused
    assert Session.of(ends.client).id_context == b"own"


@pytest.fixture
def fresh(server_ctx, make_client_ctx):
    """Makes connections before their handshake, with an id context of the client's own."""
    def make(version=None, *, name="a.test", **attributes):
        client_ctx = make_client_ctx(version)
        for attribute, value in attributes.items():
            setattr(client_ctx, attribute, value)
        ends = pair(server_ctx, client_ctx, name=name)
        set_session_id_context(ends.client, b"own")
        return ends
    return make


def test_it_is_for_the_same_host(server_ctx, make_client_ctx, fresh, version):
    session = session_of(server_ctx, make_client_ctx(version))
    assert session.hostname == "a.test"
    for carried in (session, written(session)):
        refused(fresh(version, name="b.test"), carried, "established with a.test, but the connection is to b.test")
        refused(fresh(version, name=None, check_hostname=False), carried, "to a host without a name")
        ends = fresh(version, name="b.test")
        carried.resume_on(ends.client, any_host=True)
        assert shake(ends).client.session_reused


def test_the_host_stays_that_of_the_full_handshake(server_ctx, make_client_ctx, fresh, version):
    session = session_of(server_ctx, make_client_ctx(version))
    for _ in range(2):
        ends = visit(server_ctx, make_client_ctx(version), session, name="b.test", any_host=True)
        assert ends.client.session_reused
        session = Session.of(ends.client)
        assert session.hostname == "a.test"
    refused(fresh(version, name="b.test"), session, "established with a.test")


def test_a_session_that_ssl_resumed_on_another_host(server_ctx, make_client_ctx, fresh, version):
    """As `ssl` lets it: the name is that which the server acknowledged first, or none."""
    client_ctx = make_client_ctx(version)
    for acknowledged in (False, True):
        if acknowledged:
            server_ctx.sni_callback = lambda *arguments: None
        first = connect(server_ctx, client_ctx).client.session
        ends = connect(server_ctx, client_ctx, session=first, name="b.test")
        assert ends.client.session_reused
        session = Session.of(ends.client)
        assert session.hostname == ("a.test" if acknowledged else None)
        refused(fresh(version, name="b.test"), session,
                "established with a.test" if acknowledged else "does not record the host")


@pytest.mark.parametrize("made, used", [
    ("a.test", "A.Test"), ("A.TEST", "a.test"), ("127.0.0.1", "127.0.0.1"),
])
def test_spellings_of_one_host(server_ctx, make_client_ctx, made, used):
    session = session_of(server_ctx, make_client_ctx(), name=made)
    assert visit(server_ctx, make_client_ctx(), written(session), name=used).client.session_reused


def test_an_international_name(server_ctx, make_client_ctx):
    def client_ctx():
        return make_client_ctx(check_hostname=False)
    session = session_of(server_ctx, client_ctx(), name="b\u00fccher.test")
    assert session.hostname == "xn--bcher-kva.test"
    again = Session.from_der(session.to_der(), id_context=None, host="B\u00fccher.test")
    assert again.hostname == "xn--bcher-kva.test"
    assert visit(server_ctx, client_ctx(), again, name="b\u00fccher.test").client.session_reused


def nameless(session):
    """A session as another program writes it when the server has not acknowledged the name."""
    return libssl.changed(session.to_der(), libssl.SSL_SESSION_set1_hostname, None)


def test_what_has_no_host_asks_for_it(server_ctx, make_client_ctx, fresh, version):
    der = nameless(session_of(server_ctx, make_client_ctx(version)))
    session = Session.from_der(der, id_context=None)
    assert session.hostname is None
    refused(fresh(version), session, "does not record the host.*pass host")

    said = Session.from_der(der, id_context=None, host="a.test")
    assert said.hostname == "a.test"
    assert visit(server_ctx, make_client_ctx(version), said).client.session_reused
    assert written(said).hostname == "a.test"
    refused(fresh(version, name="b.test"), said, "established with a.test")

    ends = fresh(version, name="b.test")
    session.resume_on(ends.client, any_host=True)
    assert shake(ends).client.session_reused


@pytest.mark.parametrize("host, error, message", [
    ("b.test", SessionError, "established with a.test, not with b.test"),
    (b"a.test", TypeError, "a str, not bytes"),
    ("", ValueError, "not a host name"),
    ("a\0b", ValueError, "not a host name"),
    ("a..test", ValueError, None),
])
def test_a_host_that_cannot_be(server_ctx, client_ctx, host, error, message):
    ends = connect(server_ctx, client_ctx)
    der = Session.of(ends.client).to_der()
    with pytest.raises(error, match=message):
        Session.from_der(der, id_context=None, host=host)
    with pytest.raises(error, match=message):
        Session.of(ends.client, host=host)


def test_a_name_of_other_bytes_is_told_safely(server_ctx, client_ctx, fresh):
    der = libssl.changed(Session.of(connect(server_ctx, client_ctx).client).to_der(),
                         libssl.SSL_SESSION_set1_hostname, b"b\xfccher\n.test")
    session = Session.from_der(der, id_context=None)
    assert session.hostname == "b\\xfccher\n.test"
    assert "\n" not in repr(session)
    refused(fresh(), session, "established with")


def unchecked(ctx):
    ctx.check_hostname = False
    return ctx


def unverified(ctx):
    unchecked(ctx).verify_mode = ssl.CERT_NONE
    return ctx


@pytest.mark.parametrize("weaken", [unchecked, unverified])
def test_a_name_that_nobody_checked(server_ctx, make_client_ctx, fresh, version, weaken):
    for name in ("a.test", "127.0.0.1"):
        session = session_of(server_ctx, weaken(make_client_ctx(version)), name=name)
        assert session.hostname == name
        message = "nothing has checked that the peer"
        refused(fresh(version, name=name), session, message)
        # On its like it is resumed, and what comes of that is no better.
        ends = visit(server_ctx, weaken(make_client_ctx(version)), session, name=name)
        assert ends.client.session_reused
        refused(fresh(version, name=name), Session.of(ends.client), message)
        refused(fresh(version, name=name), Session.of(ends.client).with_id_context(b"x"), message)
        # What is written does not have the name, so that reading it asks for the host.
        again = written(session)
        assert again.hostname is None and session.hostname == name
        refused(fresh(version, name=name), again, "does not record the host")


@pytest.mark.skipif(ssl.OPENSSL_VERSION_INFO < (3,), reason="OpenSSL 1.1.1 does not tell")
def test_what_counts_is_how_the_connection_was_made(server_ctx, make_client_ctx, version):
    """The current check_hostname of its context does not matter."""
    client_ctx = unchecked(make_client_ctx(version))
    ends = shake(pair(server_ctx, client_ctx))
    client_ctx.check_hostname = True
    session = Session.of(ends.client)
    ends = pair(server_ctx, client_ctx)
    unchecked(client_ctx)
    with pytest.raises(SessionError, match="nothing has checked"):
        session.resume_on(ends.client)


def test_a_host_that_the_user_answers_for(server_ctx, make_client_ctx, version):
    """Such as one whose certificate is compared with a known one."""
    ends = connect(server_ctx, unchecked(make_client_ctx(version)))
    session = Session.of(ends.client, host="a.test")
    assert visit(server_ctx, make_client_ctx(version), session).client.session_reused
    assert written(session).hostname == "a.test"


def test_an_unchecked_session_that_ssl_resumed(server_ctx, make_client_ctx, fresh, version):
    """`ssl` copies sessions without what is noted on them; the name is that of the server."""
    server_ctx.sni_callback = lambda *arguments: None
    client_ctx = unchecked(make_client_ctx(version))
    ends = connect(server_ctx, client_ctx, session=connect(server_ctx, client_ctx).client.session)
    assert ends.client.session_reused
    for source in (ends.client, ends.client.session):
        session = Session.of(source)
        assert session.hostname == "a.test"
        refused(fresh(version), session, "nothing has checked")


def test_a_checked_session_stays_so_where_nobody_checks(
    server_ctx, make_client_ctx, fresh, version
):
    session = session_of(server_ctx, make_client_ctx(version))
    for _ in range(2):
        ends = visit(server_ctx, unchecked(make_client_ctx(version)), written(session))
        assert ends.client.session_reused
        session = Session.of(ends.client)
    assert visit(server_ctx, make_client_ctx(version), session).client.session_reused


def test_an_sslsession_has_the_host_that_the_server_acknowledged(
    server_ctx, make_client_ctx, fresh, version
):
    ends = connect(server_ctx, make_client_ctx(version))
    assert Session.of(ends.client.session).hostname is None
    said = Session.of(ends.client.session, host="a.test")
    assert visit(server_ctx, make_client_ctx(version), said).client.session_reused
    server_ctx.sni_callback = lambda *arguments: None
    session = Session.of(connect(server_ctx, make_client_ctx(version)).client.session)
    assert session.hostname == "a.test"
    assert visit(server_ctx, make_client_ctx(version), session).client.session_reused
    session = Session.of(connect(server_ctx, unchecked(make_client_ctx(version))).client.session)
    refused(fresh(version), session, "nothing has checked")


@pytest.fixture
def stranger_ctx(make_client_ctx):
    """Makes clients' contexts that trust no CA, and verify nothing."""
    def make(version):
        ctx = unverified(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        ctx.minimum_version = ctx.maximum_version = version
        return ctx
    return make


def test_a_peer_that_was_not_verified(server_ctx, stranger_ctx, fresh, version):
    session = session_of(server_ctx, stranger_ctx(version))
    assert visit(server_ctx, stranger_ctx(version), session).client.session_reused
    message = "certificate was not verified when this session"
    for carried in (session, written(session)):
        refused(fresh(version, check_hostname=False), carried, message, any_host=True)
        refused(fresh(version), carried, message, any_host=True)
        ends = fresh(version, check_hostname=False, verify_mode=ssl.CERT_NONE)
        carried.resume_on(ends.client, any_host=True)
        assert shake(ends).client.session_reused
    said = Session.of(connect(server_ctx, stranger_ctx(version)).client, host="a.test")
    refused(fresh(version), said, message)


def test_a_session_without_the_peer_s_certificate(server_ctx, make_client_ctx, fresh):
    """A server's, such as one that a client is lent."""
    ends = connect(server_ctx, make_client_ctx(TLS_1_3))
    session = Session.of(ends.server, host="a.test")
    assert session.peer_certificate is None
    refused(fresh(TLS_1_3), session, "was not verified")


def test_a_session_that_was_set_before_survives_a_refusal(
    server_ctx, make_client_ctx, stranger_ctx, version
):
    good = session_of(server_ctx, make_client_ctx(version)).with_id_context(b"good")
    bad = Session.of(connect(server_ctx, stranger_ctx(version)).client, host="a.test")

    def before(ends):
        good.resume_on(ends.client)
        with pytest.raises(SessionError, match="not verified"):
            bad.with_id_context(b"bad").resume_on(ends.client)
    ends = connect(server_ctx, make_client_ctx(version), before=before)
    assert ends.client.session_reused and Session.of(ends.client).id_context == b"good"


EXCLUDING = {
    "maximum_version": (TLS_1_3, {"maximum_version": TLS_1_2}),
    "minimum_version": (TLS_1_2, {"minimum_version": TLS_1_3}),
    "OP_NO_TLSv1_3": (TLS_1_3, {"options": ssl.OP_ALL | ssl.OP_NO_TLSv1_3}),
    # Without the versions before it, which CPython 3.9 still has.
    "OP_NO_TLSv1_2": (TLS_1_2, {"minimum_version": TLS_1_2,
                                "options": ssl.OP_ALL | ssl.OP_NO_TLSv1_2}),
}


@pytest.mark.parametrize("made_by, attributes", EXCLUDING.values(), ids=EXCLUDING)
@pytest.mark.filterwarnings("ignore:ssl.OP_NO_SSL")
def test_a_protocol_that_the_connection_excludes(
    server_ctx, make_client_ctx, fresh, made_by, attributes
):
    session = session_of(server_ctx, make_client_ctx(made_by))
    refused(fresh(**attributes), session, f"uses {session.protocol}, which this connection does not allow")


@pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3], ids=str)
@pytest.mark.parametrize("protocol", [ssl.PROTOCOL_TLS, *FIXED], ids=str)
@pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLS")
def test_contexts_of_every_method(server_ctx, make_client_ctx, ca, version, protocol):
    ctx = ssl.SSLContext(protocol)
    ca.configure_trust(ctx)
    ctx.verify_mode = ssl.CERT_REQUIRED
    session = session_of(server_ctx, make_client_ctx(version))
    if protocol == ssl.PROTOCOL_TLS:
        ctx.maximum_version = version
    if protocol == ssl.PROTOCOL_TLSv1_2 and version == TLS_1_3:
        with pytest.raises(SessionError, match="uses TLSv1.3"):
            session.resume_on(pair(server_ctx, ctx).client)
    else:
        assert visit(server_ctx, ctx, session).client.session_reused


def test_a_version_that_is_none(server_ctx, client_ctx, fresh):
    session = session_of(server_ctx, client_ctx)
    for version, shown in ((0xFEFD, "DTLSv1.2"), (0x0300, "SSLv3"), (0x03FF, r"unknown \(0x03ff\)")):
        der = libssl.changed(session.to_der(), libssl.SSL_SESSION_set_protocol_version, version)
        refused(fresh(), Session.from_der(der, id_context=None), f"uses {shown}")


def test_the_wrong_side_and_the_wrong_moment(server_ctx, make_client_ctx, version):
    session = session_of(server_ctx, make_client_ctx(version))
    ends = pair(server_ctx, make_client_ctx(version))
    with pytest.raises(SessionError, match="a server's connection"):
        session.resume_on(ends.server)
    with pytest.raises(ssl.SSLWantReadError):
        ends.client.do_handshake()
    with pytest.raises(SessionError, match="has begun.*do_handshake_on_connect=False"):
        session.resume_on(ends.client)
    shake(ends)
    for end, message in ((ends.client, "has begun"), (ends.server, "a server's connection")):
        with pytest.raises(SessionError, match=message):
            session.resume_on(end)
    assert id_context(ends) == b"Python\0"


@pytest.mark.parametrize("target", [None, b"", ssl.SSLSocket, object()], ids=lambda target: type(target).__name__)
def test_what_is_no_connection(server_ctx, client_ctx, target):
    session = session_of(server_ctx, client_ctx)
    with pytest.raises(TypeError, match="expected an ssl.SSLSocket or ssl.SSLObject, not"):
        session.resume_on(target)
    with pytest.raises(TypeError, match="not ssl.SSLContext"):
        session.resume_on(client_ctx)


def test_sockets(server_ctx, client_ctx):
    session = session_of(server_ctx, client_ctx)
    with client_ctx.wrap_socket(socket.socket(), server_hostname="a.test") as unconnected:
        with pytest.raises(ValueError, match="not yet connected"):
            session.resume_on(unconnected)
    left, right = socket.socketpair()
    with right, client_ctx.wrap_socket(left, server_hostname="a.test",
                                       do_handshake_on_connect=False) as wrapped:
        session.resume_on(wrapped)
        assert wrapped.session.id == session.id
        wrapped.close()
        with pytest.raises(ValueError, match="closed"):
            session.resume_on(wrapped)


def test_a_server_that_sends_neither_id_nor_ticket(make_server_ctx, make_client_ctx, fresh):
    server_ctx = make_server_ctx(tickets=False)
    libssl.set_session_cache_off(server_ctx)
    session = session_of(server_ctx, make_client_ctx(TLS_1_2))
    assert not session.resumable
    refused(fresh(TLS_1_2), session, "neither an id nor a ticket")


def test_one_session_for_many_connections_at_once(make_server_ctx, make_client_ctx):
    server_ctx = make_server_ctx()
    session = session_of(server_ctx, make_client_ctx(TLS_1_2))
    many = [pair(server_ctx, make_client_ctx(TLS_1_2)) for _ in range(10)]
    for ends in many:
        session.resume_on(ends.client)
    for ends in many:
        assert shake(ends).client.session_reused
        close(ends)


def test_threads_share_one_session(server_ctx, make_client_ctx):
    session = session_of(server_ctx, make_client_ctx(TLS_1_2))
    der = session.to_der()

    def work():
        client_ctx = make_client_ctx(TLS_1_2)
        for _ in range(100):
            assert visit(server_ctx, client_ctx, session).client.session_reused
            assert Session.from_der(session.to_der(), id_context=None) == session
        return session.to_der() == der

    with ThreadPoolExecutor(4) as threads:
        assert all(future.result() for future in [threads.submit(work) for _ in range(4)])
