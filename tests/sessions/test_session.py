"""Session: its attributes, its encodings, and what it refuses."""

import copy
import gc
import pickle
import socket
import ssl
import weakref
from datetime import datetime, timedelta, timezone

import libssl
import pytest
from handshakes import Pair, close, connect, pair, shake
from session_fields import fields

import pysidctx
from pysidctx import Session, SessionError, WrongContextError, set_session_id_context


@pytest.fixture
def ends(make_server_ctx, make_client_ctx, version, tickets):
    return shake(pair(make_server_ctx(tickets=tickets), make_client_ctx(version)))


@pytest.fixture
def session(ends):
    return Session.of(ends.client)


# A socket or an SSLObject, its _ssl object, and the SSLSession that ssl makes of it.
SOURCES = {"SSLObject": lambda end: end, "_SSLSocket": lambda end: end._sslobj,
           "SSLSession": lambda end: end.session}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_the_fields_are_those_of_the_session(ends, tickets, source):
    session, theirs = Session.of(source(ends.client)), ends.client.session
    assert session.id == theirs.id and len(session.id) == 32
    assert session.id_context == libssl.session_id_context(ends.client)
    assert session.protocol == ends.client.version()
    assert session.cipher == ends.client.cipher()[0]
    assert session.time == datetime.fromtimestamp(theirs.time, timezone.utc)
    assert session.timeout == timedelta(seconds=theirs.timeout)
    # In TLS 1.3 there is always a ticket: without OP_NO_TICKET the session itself, else its id.
    assert session.has_ticket is theirs.has_ticket is (tickets or session.protocol == "TLSv1.3")
    assert session.ticket_lifetime_hint == theirs.ticket_lifetime_hint
    assert session.resumable is True
    assert session.peer_certificate == ends.client.getpeercert(binary_form=True)


def test_of_a_server(make_server_ctx, make_client_ctx, version):
    server_ctx = make_server_ctx(verify=ssl.CERT_REQUIRED, tickets=False)
    set_session_id_context(server_ctx, b"shop")
    ends = connect(server_ctx, make_client_ctx(version))
    session = Session.of(ends.server)
    assert session.id_context == b"shop"
    assert session.peer_certificate == ends.server.getpeercert(binary_form=True)
    assert session.hostname is None  # nothing has acknowledged the client's
    assert Session.of(connect(make_server_ctx(), make_client_ctx(version)).server
                      ).peer_certificate is None


def test_of_a_server_that_acknowledges_names(server_ctx, make_client_ctx, version):
    server_ctx.sni_callback = lambda *arguments: None
    ends = connect(server_ctx, make_client_ctx(version))
    session = Session.of(ends.server)
    assert session.hostname == "a.test"
    assert Session.from_der(session.to_der(), id_context=None).hostname == "a.test"


def test_in_tls_1_3_it_is_not_resumable_before_the_ticket(server_ctx, make_client_ctx):
    ends = pair(server_ctx, make_client_ctx(ssl.TLSVersion.TLSv1_3))
    for end in (ends.client, ends.server):
        with pytest.raises(ssl.SSLWantReadError):
            end.do_handshake()
    ends.client.do_handshake()
    early = Session.of(ends.client)
    assert not early.resumable and not early.has_ticket and early.id == b""
    assert early.hostname == "a.test"
    shake(ends)
    assert Session.of(ends.client).resumable
    assert not early.resumable, "a Session does not change"
    fresh = pair(server_ctx, make_client_ctx(ssl.TLSVersion.TLSv1_3))
    with pytest.raises(SessionError, match="no ticket.*Read from the connection before"):
        early.resume_on(fresh.client)


def test_it_outlives_its_connection_and_context(make_server_ctx, make_client_ctx, version):
    ends = shake(pair(make_server_ctx(), make_client_ctx(version)))
    session, der = Session.of(ends.client), Session.of(ends.client).to_der()
    del ends  # dropped, which makes OpenSSL mark the connection's own session
    gc.collect()
    assert session.resumable
    assert session.to_der() == der


@pytest.mark.parametrize("source, message", [
    (None, "expected an ssl.SSLSocket, ssl.SSLObject or ssl.SSLSession, not NoneType"),
    (ssl.SSLSession, "the class (SSL)?Session: pass an instance"),
    (b"der", "not bytes"),
])
def test_of_other_things(source, message):
    with pytest.raises(TypeError, match=message):
        Session.of(source)


def test_of_a_context(server_ctx):
    with pytest.raises(TypeError, match="not ssl.SSLContext"):
        Session.of(server_ctx)


def test_of_a_connection_without_one(server_ctx, client_ctx):
    ends = pair(server_ctx, client_ctx)
    for end in ends:
        with pytest.raises(SessionError, match="not finished"):
            Session.of(end)
    with pytest.raises(ssl.SSLWantReadError):
        ends.client.do_handshake()
    with pytest.raises(ssl.SSLWantReadError):
        ends.server.do_handshake()
    for end in ends:  # which have sessions by now, half made
        with pytest.raises(SessionError, match="not finished"):
            Session.of(end)


@pytest.mark.parametrize("failure", ["a broken record", "an end of file"])
def test_of_a_connection_that_has_failed_since_its_handshake(server_ctx, client_ctx, failure):
    if failure == "an end of file" and ssl.OPENSSL_VERSION_INFO < (3,):
        pytest.skip("OpenSSL 1.1.1 does not take it for a failure")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = shake(Pair(server_ctx.wrap_bio(outgoing, incoming, server_side=True),
                      client_ctx.wrap_bio(incoming, outgoing, server_hostname="a.test")))
    if failure == "an end of file":
        incoming.write_eof()
    else:
        incoming.write(b"\x17\x03\x03\x00\x20" + bytes(32))
    with pytest.raises(ssl.SSLError):
        ends.client.read()
    with pytest.raises(SessionError, match="has failed since its handshake"):
        Session.of(ends.client)


def test_of_a_connection_that_is_to_resume_one(server_ctx, client_ctx, session):
    ends = pair(server_ctx, client_ctx)
    session.resume_on(ends.client)
    with pytest.raises(SessionError, match="not finished"):
        Session.of(ends.client)


def test_of_a_closed_socket(client_ctx):
    left, right = socket.socketpair()
    with right, client_ctx.wrap_socket(left, server_hostname="a.test",
                                       do_handshake_on_connect=False) as wrapped:
        wrapped.close()
        with pytest.raises(ValueError, match="closed, unwrapped or not"):
            Session.of(wrapped)


def test_equality_is_by_id_and_id_context(server_ctx, client_ctx, session):
    again = Session.from_der(session.to_der(), id_context=None)
    assert again == session and hash(again) == hash(session) and again is not session
    moved = session.with_id_context(b"bank")
    assert moved != session and moved.with_id_context(session.id_context) == session
    assert session != Session.of(connect(server_ctx, client_ctx).client)
    assert session != session.id and session.__eq__(session.id) is NotImplemented
    assert len({session, again, moved}) == 2


def test_sessions_without_an_id_are_not_all_one(make_server_ctx, make_client_ctx):
    tls_1_2 = make_client_ctx(ssl.TLSVersion.TLSv1_2)
    first, second = (Session.of(connect(make_server_ctx(), tls_1_2).server) for _ in range(2))
    assert first.id == second.id == b""
    assert first == first and first != second


def test_repr_has_no_secret(session):
    shown = repr(session)
    secret = libssl.master_key(session.to_der())
    assert len(secret) >= 32
    for form in (secret.hex(), repr(secret)[2:-1], secret.hex().upper()):
        assert form not in shown
    assert session.protocol in shown and session.id.hex() in shown and "a.test" in shown


def test_there_is_no_pickling(session):
    for way in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match=r"to_der\(\)"):
            way(session)


def test_none_is_made_by_hand():
    for arguments in ((), (None,), (object(),), (1, 2)):
        with pytest.raises(TypeError):
            Session(*arguments)
        with pytest.raises(TypeError):
            Session.__new__(Session, *arguments)
    with pytest.raises(TypeError, match="not an acceptable base type"):
        type("Sub", (Session,), {})


def test_it_can_be_referred_to_weakly(ends):
    session = Session.of(ends.client)
    reference = weakref.ref(session)
    assert reference() is session
    del session
    assert reference() is None


READERS = {
    "DER": (Session.to_der, Session.from_der),
    "PEM": (Session.to_pem, Session.from_pem),
    "PEM in bytes": (lambda session: session.to_pem().encode(), Session.from_pem),
}
forms = pytest.mark.parametrize("write, read", READERS.values(), ids=READERS)


@forms
def test_a_round_trip_changes_nothing(session, write, read):
    again = read(write(session), id_context=session.id_context)
    assert fields(again) == fields(session)
    assert again.to_der() == session.to_der()


@forms
@pytest.mark.parametrize("sid_ctx", [b"", b"shop", b"a\0b\xff", bytes(32)])
def test_the_id_context_is_written_along_and_checked(session, write, read, sid_ctx):
    written = write(session.with_id_context(sid_ctx))
    assert read(written, id_context=sid_ctx).id_context == sid_ctx
    assert read(written, id_context=bytearray(sid_ctx)).id_context == sid_ctx
    assert read(written, id_context=None).id_context == sid_ctx
    for other in (b"bank", sid_ctx[:-1] or b"x", (sid_ctx + b"\0")[-32:-1] + b"\1"):
        with pytest.raises(WrongContextError) as raised:
            read(written, id_context=other)
        assert repr(sid_ctx) in str(raised.value) and repr(other) in str(raised.value)


def test_the_errors_share_a_base():
    assert issubclass(SessionError, pysidctx.Error) and issubclass(WrongContextError, pysidctx.Error)


@forms
def test_the_expected_id_context_has_to_be_said(session, write, read):
    with pytest.raises(TypeError, match="id_context"):
        read(write(session))
    with pytest.raises(TypeError, match=r"\.encode\(\)"):
        read(write(session), id_context="shop")
    with pytest.raises(ValueError, match="33 bytes long, at most 32"):
        read(write(session), id_context=bytes(33))


def test_what_is_not_one_session_in_der(session):
    der = session.to_der()
    certificate = session.peer_certificate
    for data in (b"", der[:-1], der[:10], der + b"\0", der + der, certificate, b"\0" * 100,
                 session.to_pem().encode(), bytes(der[:2]) + der[3:]):
        with pytest.raises(SessionError):
            Session.from_der(data, id_context=None)
        assert libssl.ERR_peek_error() == 0


def test_what_is_not_one_session_in_pem(session):
    pem = session.to_pem()
    certificate = ssl.DER_cert_to_PEM_cert(session.peer_certificate)
    lines = pem.splitlines(keepends=True)
    encrypted = lines[:1] + ["Proc-Type: 4,ENCRYPTED\n", "DEK-Info: AES-128-CBC,00\n", "\n"]
    for text in ("", "session", certificate, certificate + pem, pem + pem, pem + "x",
                 pem + certificate, "".join(lines[:-1]), "".join(lines[:1] + lines[2:]),
                 pem.replace("END SSL", "END"), "".join(encrypted + lines[1:]),
                 pem.replace("SSL SESSION PARAMETERS", "CERTIFICATE"), "\ud800" + pem[1:],
                 session.to_der(), pem.encode("utf-16")):
        with pytest.raises(SessionError):
            Session.from_pem(text, id_context=None)
        assert libssl.ERR_peek_error() == 0


def test_text_may_precede_a_block_and_blank_lines_follow_it(session):
    text = "SSL-Session:\n    Protocol  : TLSv1.3\n\u00fc\n" + session.to_pem() + "\r\n \t\n"
    assert Session.from_pem(text, id_context=None) == session


@pytest.mark.parametrize("read", [Session.from_der, Session.from_pem])
def test_what_is_not_bytes_like(read):
    for data in (None, 1, [1], memoryview(bytes(8))[::2]):
        with pytest.raises(TypeError, match="bytes-like"):
            read(data, id_context=None)
    with pytest.raises(TypeError):
        Session.from_der("text", id_context=None)


@pytest.mark.parametrize("setter", [libssl.SSL_SESSION_set_time, libssl.SSL_SESSION_set_timeout],
                         ids=["time", "timeout"])
@pytest.mark.parametrize("value", [-1, 1 << 46, (1 << 63) - 1, -(1 << 63)])
def test_a_time_out_of_range(session, setter, value):
    data = libssl.changed(session.to_der(), setter, value)
    try:
        read = Session.from_der(data, id_context=None)
    except SessionError:
        return
    # OpenSSL 3.3 and later keep times as 64 bits of nanoseconds, into which some values fall again.
    assert isinstance(read.time, datetime) and isinstance(read.timeout, timedelta)


def test_with_id_context_is_a_copy(session):
    moved = session.with_id_context(b"bank")
    assert moved.id_context == b"bank" != session.id_context
    assert {**fields(moved), "id_context": session.id_context} == fields(session)
    for wrong, error in (("bank", TypeError), (None, TypeError), (bytes(33), ValueError)):
        with pytest.raises(error):
            session.with_id_context(wrong)


def test_a_session_that_is_marked_is_not_written(server_ctx, make_client_ctx, version):
    """It would lose the mark when it is written."""
    ends = shake(pair(server_ctx, make_client_ctx(version)))
    libssl.mark_not_resumable(ends.client)
    session = Session.of(ends.client)
    assert not session.resumable and session.id
    for write in (session.to_der, session.to_pem, lambda: session.save("/dev/null/none")):
        with pytest.raises(SessionError, match="marked.*while the connection is open"):
            write()
    with pytest.raises(SessionError, match="marked"):
        session.resume_on(pair(server_ctx, make_client_ctx(version)).client)


def test_close_in_order_and_the_session_stays_resumable(server_ctx, make_client_ctx, version):
    ends = shake(pair(server_ctx, make_client_ctx(version)))
    close(ends)
    assert Session.of(ends.client).resumable
