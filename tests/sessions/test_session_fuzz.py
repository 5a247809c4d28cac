"""Sessions of random and of mutated bytes: the documented errors, or sessions like others."""

import ssl

import libssl
import pytest
from handshakes import VERSIONS, close, connect, pair, shake
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from session_fields import fields
from tries import tries

from pysidctx import Session, SessionError, WrongContextError

few = settings(max_examples=tries(150),
               suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.fixture(scope="module")
def contexts(ca, certificate, client_certificate):
    server_ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(server_ctx)
    server_ctx.sni_callback = lambda *arguments: None  # acknowledges names
    client_ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ca.configure_trust(client_ctx)
    return server_ctx, client_ctx


@pytest.fixture(scope="module")
def real(contexts):
    """Sessions of both protocols and of both sides, in DER."""
    server_ctx, client_ctx = contexts
    found = []
    for client_ctx.minimum_version in VERSIONS:
        client_ctx.maximum_version = client_ctx.minimum_version
        ends = connect(server_ctx, client_ctx)
        found += [Session.of(end).to_der() for end in ends]
        client_ctx.maximum_version = ssl.TLSVersion.MAXIMUM_SUPPORTED
    client_ctx.minimum_version = ssl.TLSVersion.TLSv1_2
    return found


def changes(longest):
    """(where, what to put in, how many bytes more than that to take out)."""
    return st.lists(st.tuples(st.integers(0, longest - 1), st.binary(max_size=4),
                              st.sampled_from([0, 0, 0, 1, -1])), min_size=1, max_size=4)


def mutated(data, made):
    for place, put, more in made:
        data = data[:place] + put + data[place + max(len(put) + more, 0):]
    return data


def read(reader, data):
    """The session in `data`, or None; no other error, and nothing queued."""
    try:
        session = reader(data, id_context=None)
    except SessionError:
        session = None
    assert libssl.ERR_peek_error() == 0
    return session


@few
@given(data=st.binary(max_size=2000))
def test_random_bytes(data):
    assert read(Session.from_der, data) is None
    assert read(Session.from_pem, data) is None


@few
@given(text=st.text())
def test_random_text(text):
    assert read(Session.from_pem, text) is None
    block = "-----BEGIN SSL SESSION PARAMETERS-----\n{}-----END SSL SESSION PARAMETERS-----\n"
    assert read(Session.from_pem, block.format(text)) is None


@settings(few, max_examples=tries(500))
@given(data=st.data())
def test_mutated_sessions(contexts, real, data):
    original = data.draw(st.sampled_from(real))
    der = mutated(original, data.draw(changes(len(original))))
    session = read(Session.from_der, der)
    if session is None:
        return
    again = Session.from_der(session.to_der(), id_context=session.id_context)
    assert fields(again) == fields(session)
    assert fields(Session.from_pem(session.to_pem(), id_context=None)) == fields(session)
    assert session.protocol in repr(session) and hash(again) == hash(session)
    with pytest.raises(WrongContextError):
        Session.from_der(der, id_context=session.id_context[:-1] + b"other")
    offer(contexts, session)


def offer(contexts, session):
    """A handshake with it: resumed, full or failed, and the next one is not disturbed."""
    ends = pair(*contexts)
    try:
        session.resume_on(ends.client, any_host=True)
        shake(ends)
    except (SessionError, ssl.SSLError):
        pass
    assert libssl.ERR_peek_error() == 0
    close(shake(pair(*contexts)))


@few
@given(data=st.data())
def test_mutated_pem(real, data):
    pem = Session.from_der(data.draw(st.sampled_from(real)), id_context=None).to_pem().encode()
    session = read(Session.from_pem, mutated(pem, data.draw(changes(len(pem)))))
    if session is not None:
        assert Session.from_der(session.to_der(), id_context=session.id_context).id == session.id


@few
@given(sid_ctx=st.binary(max_size=32), other=st.binary(max_size=32), data=st.data())
def test_id_contexts(real, sid_ctx, other, data):
    session = Session.from_der(data.draw(st.sampled_from(real)), id_context=None)
    der = session.with_id_context(sid_ctx).to_der()
    assert Session.from_der(der, id_context=sid_ctx).id_context == sid_ctx
    if other != sid_ctx:
        with pytest.raises(WrongContextError) as raised:
            Session.from_der(der, id_context=other)
        assert repr(other) in str(raised.value) and repr(sid_ctx) in str(raised.value)


@few
@given(host=st.text())
def test_hosts(real, host):
    for der in real:
        try:
            session = Session.from_der(der, id_context=None, host=host)
        except (SessionError, ValueError):
            continue
        assert session.hostname.isascii() and session.hostname
