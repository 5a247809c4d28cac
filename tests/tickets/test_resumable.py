"""resumable(): which contexts resume each other's sessions, and what it refuses."""

import ssl

import libssl
import pytest
from handshakes import VERSIONS, connect
from tickets import visit

from pysidctx import TicketKeys, resumable


def test_resumable(two, client_ctx, make_server_ctx):
    keys = TicketKeys()
    for ctx in two:
        assert resumable(ctx, keys) is ctx
    others = [resumable(make_server_ctx(verify=mode), keys)
              for mode in (ssl.CERT_OPTIONAL, ssl.CERT_REQUIRED)]
    apart = resumable(make_server_ctx(), keys, id_context=b"shop")
    resumed, session = visit(two[0], client_ctx)
    assert visit(two[1], client_ctx, session)[0]
    for verifying in others:
        assert not visit(verifying, client_ctx, session)[0]
    assert not visit(apart, client_ctx, session)[0]
    _, session = visit(apart, client_ctx)
    assert not visit(two[0], client_ctx, session)[0]
    assert visit(resumable(two[0], keys, id_context=bytearray(b"shop")), client_ctx, session)[0]
    assert not visit(resumable(others[0], keys, id_context=b"shop"), client_ctx, session)[0]


def test_an_id_context_that_stands_alone(two, client_ctx, make_server_ctx, tmp_path):
    """For contexts that differ, and for one whose CAs cannot be listed."""
    keys = TicketKeys()
    two[1].load_verify_locations(capath=tmp_path)
    with pytest.raises(ValueError, match="as exact_id_context"):
        resumable(two[1], keys, id_context=b"shop")
    differing = make_server_ctx(verify=ssl.CERT_OPTIONAL)
    _, session = visit(resumable(two[0], keys, exact_id_context=b"shop"), client_ctx)
    for ctx in two[1], differing:
        assert visit(resumable(ctx, keys, exact_id_context=bytearray(b"shop")), client_ctx, session)[0]


def test_a_certificate_that_is_demanded_later(two, make_client_ctx, version):
    """Also where the id context stays, because it was derived before or given."""
    keys = TicketKeys()
    with_certificate, without = make_client_ctx(version), make_client_ctx(version, certificate=False)
    for ctx in two:
        resumable(ctx, keys, exact_id_context=b"shop")
    _, session = visit(two[0], without)
    two[1].verify_mode = ssl.CERT_REQUIRED
    assert visit(two[0], without, session)[0]
    resumed, made = visit(two[1], with_certificate, session)
    assert not resumed
    assert visit(two[1], with_certificate, made)[0]
    two[1].verify_mode = ssl.CERT_OPTIONAL
    assert visit(two[1], without, session)[0]


def test_a_certificate_that_is_asked_for_after_the_handshake(two, make_client_ctx):
    client_ctx = make_client_ctx(VERSIONS[1])
    keys = TicketKeys()
    for ctx in two:
        ctx.verify_mode, ctx.post_handshake_auth = ssl.CERT_REQUIRED, True
        resumable(ctx, keys)
    _, session = visit(two[0], client_ctx)
    assert visit(two[1], client_ctx, session)[0]


@pytest.mark.parametrize("arguments, options, error, message", [
    ((object(), TicketKeys()), {}, TypeError, "expected an ssl.SSLContext"),
    ((ssl.PROTOCOL_TLS_SERVER, b"secret"), {}, TypeError, "needs TicketKeys, not bytes"),
    ((ssl.PROTOCOL_TLS_CLIENT, TicketKeys()), {}, ValueError, "for clients"),
    ((ssl.PROTOCOL_TLS_SERVER, TicketKeys()), {"id_context": b""}, ValueError, "not be empty"),
    ((ssl.PROTOCOL_TLS_SERVER, TicketKeys()), {"id_context": b"x" * 33}, ValueError, "33 bytes"),
    ((ssl.PROTOCOL_TLS_SERVER, TicketKeys()), {"id_context": "shop"}, TypeError, "encode"),
    ((ssl.PROTOCOL_TLS_SERVER, TicketKeys()), {"exact_id_context": b""}, ValueError, "not be empty"),
    ((ssl.PROTOCOL_TLS_SERVER, TicketKeys()), {"id_context": b"a", "exact_id_context": b"a"}, ValueError,
     "exclude each other"),
], ids=lambda value: "")
def test_resumable_refuses(arguments, options, error, message, certificate):
    target, keys = arguments
    if isinstance(target, int):
        target = ssl.SSLContext(target)
    with pytest.raises(error, match=message):
        resumable(target, keys, **options)
    if isinstance(target, ssl.SSLContext):
        assert libssl.SSL_CTX_get_timeout(libssl.pointer(target)) != TicketKeys().lifetime


def test_a_refused_context_keeps_its_id_context(two, client_ctx):
    former = libssl.session_id_context(connect(two[0], client_ctx).client)
    with pytest.raises(ValueError, match="for clients"):
        resumable(client_ctx, TicketKeys())
    assert libssl.session_id_context(connect(two[0], client_ctx).client) == former
