"""A session is offered only by a connection that would have accepted the peer itself."""

import ssl

import handshakes
import pytest
import trustme
from authorities import revocation_list
from checked_names import TELLS_NAME, tells_name

import pysidctx


@pytest.fixture(params=[False, True], ids=["own", "shared"])
def share(request):
    return request.param


@pytest.fixture
def other_ca():
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@pytest.fixture
def install(sessions, share):
    return lambda ctx: sessions.install(ctx, share=share)


def test_equal_contexts_share(version, server_ctx, make_client_ctx, sessions, resumed):
    first, second = (sessions.install(make_client_ctx(version), share=True) for _ in range(2))
    assert resumed(server_ctx, first, 2) == [False, True]
    assert resumed(server_ctx, second)
    assert sessions.stats().hosts == 1


def test_only_if_both_are_told_to(version, server_ctx, make_client_ctx, sessions, never):
    shared = sessions.install(make_client_ctx(version), share=True)
    own = sessions.install(make_client_ctx(version))
    never(server_ctx, shared, own, sessions)
    never(server_ctx, sessions.install(make_client_ctx(version)), shared, sessions, name="b.test")


def test_never_to_another_name(version, server_ctx, make_client_ctx, install, sessions, never):
    """Node's CVE-2026-48934: the certificate of the server is valid for both names."""
    client = install(make_client_ctx(version))
    never(server_ctx, client, client, sessions, name="b.test")


def test_never_from_one_set_of_cas_to_another(version, server_ctx, make_client_ctx, install, sessions, other_ca):
    """Go's CVE-2025-68121: another context trusts other CAs, and shares the sessions."""
    client = install(make_client_ctx(version))
    other = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    other_ca.configure_trust(other)
    other.minimum_version = other.maximum_version = version
    install(other)
    assert [handshakes.resumes(server_ctx, client, None) for _ in range(2)] == [False, True]
    with pytest.raises(ssl.SSLError, match="(?i)certificate.verify.failed"):
        handshakes.connect(server_ctx, other)
    assert sessions.stats().offered == 1


def test_never_from_more_cas_to_fewer_nor_back(version, server_ctx, make_client_ctx, install, sessions, other_ca,
                                               never):
    client, other = (install(make_client_ctx(version)) for _ in range(2))
    other_ca.configure_trust(other)
    never(server_ctx, client, other, sessions)
    sessions.clear()
    never(server_ctx, other, install(make_client_ctx(version)), sessions)


def test_never_from_a_context_that_does_not_verify(version, server_ctx, unverified, make_client_ctx, install, sessions,
                                                   ca, never):
    client = unverified()
    ca.configure_trust(client)
    client.maximum_version = version
    never(server_ctx, install(client), install(make_client_ctx(version, certificate=False)), sessions)


def test_never_from_a_name_that_nobody_checked(version, server_ctx, make_client_ctx, install, sessions, never, resumed):
    client, other = install(make_client_ctx(version, check_hostname=False)), install(make_client_ctx(version))
    if TELLS_NAME:
        never(server_ctx, client, other, sessions)
    else:
        assert [resumed(server_ctx, ctx) for ctx in (client, client, other)] == [False, False, False]


@pytest.mark.parametrize("first, second", [(True, False), (False, True)], ids=["to none", "from none"])
def test_never_from_one_client_certificate(first, second, version, make_server_ctx, make_client_ctx, install, sessions,
                                           never):
    server = make_server_ctx(verify=ssl.CERT_OPTIONAL)
    pysidctx.set_session_id_context(server, b"shop")
    never(server, install(make_client_ctx(version, certificate=first)),
          install(make_client_ctx(version, certificate=second)), sessions)


def test_never_to_another_client_certificate(version, ca, make_server_ctx, make_client_ctx, install, sessions, never):
    server = make_server_ctx(verify=ssl.CERT_REQUIRED)
    pysidctx.set_session_id_context(server, b"shop")
    other = make_client_ctx(version, certificate=False)
    ca.issue_cert("another@a.test", key_type=trustme.KeyType.ECDSA).configure_cert(other)
    never(server, install(make_client_ctx(version)), install(other), sessions)


def test_other_settings(version, server_ctx, make_client_ctx, install, sessions, never):
    for change in (lambda ctx: setattr(ctx, "verify_flags", ctx.verify_flags | ssl.VERIFY_X509_STRICT),
                   lambda ctx: ctx.set_ciphers("DEFAULT:@SECLEVEL=0"),
                   lambda ctx: setattr(ctx, "hostname_checks_common_name", False),
                   lambda ctx: pysidctx.set_session_id_context(ctx, b"another")):
        other = make_client_ctx(version)
        change(other)
        sessions.clear()
        try:
            handshakes.connect(server_ctx, other)
        except ssl.SSLError:  # some certificates are not strict enough
            continue
        never(server_ctx, install(make_client_ctx(version)), install(other), sessions)


CHANGES = {
    "more CAs": lambda ctx, ca, certificate, crl: ca.configure_trust(ctx),
    "a certificate": lambda ctx, ca, certificate, crl: certificate.configure_cert(ctx),
    "a revocation list": lambda ctx, ca, certificate, crl: ctx.load_verify_locations(cadata=crl),
    "flags": lambda ctx, ca, certificate, crl: setattr(ctx, "verify_flags", ctx.verify_flags
                                                       | ssl.VERIFY_X509_PARTIAL_CHAIN
                                                       if hasattr(ssl, "VERIFY_X509_PARTIAL_CHAIN")
                                                       else ctx.verify_flags | 0x80000),
    **({"the name": lambda ctx, ca, certificate, crl: setattr(ctx, "check_hostname", False)} if TELLS_NAME else {}),
    "an id context": lambda ctx, ca, certificate, crl: pysidctx.set_session_id_context(ctx, b"x"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_noticed(change, version, ca, other_ca, client_certificate, server_ctx, make_client_ctx, install,
                             resumed, tmp_path):
    client = install(make_client_ctx(version, certificate=False))
    assert resumed(server_ctx, client, 2) == [False, True]
    crl = revocation_list(ca)
    if change == "a revocation list":
        (tmp_path / "crl.pem").write_bytes(crl)
        client.load_verify_locations(tmp_path / "crl.pem")
    else:
        CHANGES[change](client, other_ca, client_certificate, crl)
    assert resumed(server_ctx, client, 2) == [False, True]


def test_a_change_between_the_handshake_and_a_ticket_is_noticed(other_ca, server_ctx, make_client_ctx, install,
                                                                sessions):
    client = install(make_client_ctx(ssl.TLSVersion.TLSv1_3))
    ends = handshakes.pair(server_ctx, client)
    for end in (ends.client, ends.server, ends.client, ends.server):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            pass
    other_ca.configure_trust(client)
    handshakes.read_nothing(ends.client)
    stats = sessions.stats()
    assert (stats.stored, stats.dropped) == (0, 2)


def test_a_connection_that_was_made_before_a_change(server_ctx, client_certificate, make_client_ctx, install, resumed):
    """It authenticates itself by the certificate, or none, that the context had then."""
    client = install(make_client_ctx(certificate=False))
    ends = handshakes.pair(server_ctx, client)
    client_certificate.configure_cert(client)
    handshakes.shake(ends)
    assert resumed(server_ctx, client, 2) == [False, True]


def test_trust_that_cannot_be_listed(version, server_ctx, make_client_ctx, sessions, resumed, tmp_path):
    contexts = []
    for _ in range(2):
        ctx = make_client_ctx(version)
        ctx.load_verify_locations(capath=tmp_path)
        contexts.append(sessions.install(ctx, share=True))
    assert resumed(server_ctx, contexts[0], 2) == [False, True]
    assert resumed(server_ctx, contexts[1], 2) == [False, True]
    assert sessions.stats().unlisted == 2


def test_a_directory_of_cas_that_is_added_is_noticed(server_ctx, client, sessions, resumed, tmp_path):
    assert resumed(server_ctx, client, 2) == [False, True]
    client.load_verify_locations(capath=tmp_path)
    assert resumed(server_ctx, client, 2) == [False, True]
    assert sessions.stats().unlisted == 1


@tells_name
def test_the_context_of_a_connection_that_is_moved(server_ctx, make_client_ctx, sessions, resumed):
    """Python sets another SSL_CTX, but the demands stay those of the first one."""
    client = sessions.install(make_client_ctx(certificate=False, check_hostname=False))
    other = sessions.install(make_client_ctx(certificate=False))
    assert resumed(server_ctx, other, 2) == [False, True]

    def move(ends):
        ends.client.context = other

    assert not resumed(server_ctx, client, before=move)
    sessions.uninstall(client)
    assert not resumed(server_ctx, other, before=lambda ends: setattr(ends.client, "context", client))


def test_a_protocol_that_is_excluded_now(server_ctx, client, sessions, resumed):
    assert resumed(server_ctx, client, 2) == [False, True]
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    assert resumed(server_ctx, client, 2) == [False, True]
    client.maximum_version, client.minimum_version = ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3
    assert resumed(server_ctx, client)


def test_a_cipher_that_is_not_offered_now(server_ctx, make_client_ctx, sessions, resumed):
    client = sessions.install(make_client_ctx(ssl.TLSVersion.TLSv1_2))
    client.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    assert resumed(server_ctx, client, 2) == [False, True]
    client.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")
    assert resumed(server_ctx, client, 2) == [False, True]
