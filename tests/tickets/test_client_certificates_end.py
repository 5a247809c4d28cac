"""A session ends with the certificates, and the revocation lists, that its client was verified by."""

import datetime
import secrets
import ssl
import time

import libssl
import pytest
from authorities import LONG_AGO, Authority
from handshakes import VERSIONS, connect, pair, read_nothing, shake
from tickets import opened, visit

from pysidctx import HostMap, Session, SessionError, TicketKeys

DAY = 86400
FOR_EVER = 2 ** 64 - 1


@pytest.fixture
def data():
    """A ticket key, as a file of nginx's has it: name, for HMAC, for AES."""
    return secrets.token_bytes(80)


@pytest.fixture
def keys(tmp_path, data):
    path = tmp_path / "key"
    path.touch(0o600)
    path.write_bytes(data)
    return TicketKeys.from_files([path], lifetime=DAY)


@pytest.fixture
def in_seconds():
    """A moment so many seconds from now, the same one for equal numbers."""
    start = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    return lambda seconds: start + datetime.timedelta(seconds=seconds)


@pytest.fixture
def servers(certificate, keys, tmp_path):
    """Makes contexts that demand certificates of an authority, as several workers have them."""
    def make(authority, *, crls=(), flags=0):
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(ctx)
        trusted = tmp_path / "trusted.pem"
        trusted.write_text(authority.pem + "".join(crls))
        ctx.load_verify_locations(trusted)
        ctx.verify_mode = ssl.CERT_REQUIRED
        ctx.verify_flags |= flags
        keys.install(ctx)
        return ctx

    return make


@pytest.fixture
def client_ctx(make_client_ctx, version):
    return make_client_ctx(version, certificate=False)


def until(session, data):
    """When a client's ticket says that its certificates end, in seconds of the Unix epoch."""
    content = opened(libssl.ticket(session.to_der()), data[:16], data[16:48], data[48:])
    return int.from_bytes(libssl.ticket_appdata(content)[9:], "big")


def load(client_ctx, tmp_path, *certificates):
    path = tmp_path / "client.pem"
    path.write_text("".join(each.pem for each in certificates) + certificates[0].key_pem)
    client_ctx.load_cert_chain(path)


@pytest.mark.parametrize("ends", [(100, 300, 400), (200, 100, 400), (200, 300, 100)],
                         ids=["its own", "the intermediate", "the root"])
def test_the_first_that_ends(servers, client_ctx, tmp_path, data, in_seconds, ends):
    root = Authority(ends=in_seconds(ends[2]))
    middle = root.authority(ends=in_seconds(ends[1]))
    load(client_ctx, tmp_path, middle.client(ends=in_seconds(ends[0])), middle)
    ctx = servers(root)
    _, session = visit(ctx, client_ctx)
    assert until(session, data) == in_seconds(100).timestamp()
    assert 90 <= session.ticket_lifetime_hint <= 100
    resumed, session = visit(ctx, client_ctx, session)
    assert resumed
    assert until(session, data) == in_seconds(100).timestamp()  # renewed, as in TLS 1.3, and not made longer
    assert session.ticket_lifetime_hint <= 100


def test_without_one_nothing_ends_it_but_the_lifetime(server_ctx, client_ctx, keys, data):
    keys.install(server_ctx)
    _, session = visit(server_ctx, client_ctx)
    assert until(session, data) == FOR_EVER
    assert session.ticket_lifetime_hint == DAY


def test_a_slow_client_is_told_no_longer_lifetime(server_ctx, client_ctx, keys):
    keys.install(server_ctx)
    ends = pair(server_ctx, client_ctx)
    for end in ends.client, ends.server:
        with pytest.raises(ssl.SSLWantReadError):
            end.do_handshake()
    time.sleep(1.1)
    assert Session.of(shake(ends).client).ticket_lifetime_hint == DAY


def test_one_that_was_asked_for_and_not_shown(servers, client_ctx, data, in_seconds):
    ctx = servers(Authority(ends=in_seconds(100)))
    ctx.verify_mode = ssl.CERT_OPTIONAL
    _, session = visit(ctx, client_ctx)
    assert until(session, data) == FOR_EVER


def test_where_it_is_verified_without_regard_to_time(servers, client_ctx, tmp_path, data, in_seconds):
    root = Authority(ends=in_seconds(-100))
    load(client_ctx, tmp_path, root.client(ends=in_seconds(-100)))
    ctx = servers(root, flags=libssl.X509_V_FLAG_NO_CHECK_TIME)
    _, session = visit(ctx, client_ctx)
    assert until(session, data) == FOR_EVER
    assert visit(ctx, client_ctx, session)[0]


@pytest.mark.parametrize("flags, expected", [
    (0, 1000), (ssl.VERIFY_CRL_CHECK_LEAF, 200), (ssl.VERIFY_CRL_CHECK_CHAIN, 100)])
def test_revocation_lists_that_are_looked_at(servers, client_ctx, tmp_path, data, in_seconds, flags, expected):
    root = Authority(ends=in_seconds(2000))
    middle = root.authority(ends=in_seconds(2000))
    load(client_ctx, tmp_path, middle.client(ends=in_seconds(1000)), middle)
    # Of several lists of an authority one is enough that is current.
    crls = [root.crl(ends=in_seconds(100)), middle.crl(ends=in_seconds(200)), middle.crl(ends=in_seconds(50))]
    _, session = visit(servers(root, crls=crls, flags=flags), client_ctx)
    assert until(session, data) == in_seconds(expected).timestamp()


def test_lists_that_openssl_does_not_take(servers, client_ctx, tmp_path, data, in_seconds):
    """By the name they are the authority's, by the key another's; or not valid yet; or for a part alone."""
    root, namesake = Authority(ends=in_seconds(2000)), Authority(ends=in_seconds(2000))
    load(client_ctx, tmp_path, root.client(ends=in_seconds(1000)))
    crls = [root.crl(ends=in_seconds(200)), root.crl(ends=in_seconds(900), begins=in_seconds(800)),
            root.crl(ends=in_seconds(100), part=True), root.crl(ends=in_seconds(700), part=True),
            namesake.crl(ends=in_seconds(900), begins=LONG_AGO - datetime.timedelta(days=1))]
    for count, expected in ((2, 200), (4, 100)):
        chosen = [crls[-1], *crls[:count]]
        _, session = visit(servers(root, crls=chosen, flags=ssl.VERIFY_CRL_CHECK_LEAF), client_ctx)
        assert until(session, data) == in_seconds(expected).timestamp()


def test_a_client_that_is_verified_after_the_handshake(servers, make_client_ctx, tmp_path, data, in_seconds):
    root = Authority(ends=in_seconds(2000))
    client_ctx = make_client_ctx(VERSIONS[1], certificate=False)
    load(client_ctx, tmp_path, root.client(ends=in_seconds(100)))
    client_ctx.post_handshake_auth = True
    ctx = servers(root)
    ctx.post_handshake_auth = True
    ends = shake(pair(ctx, client_ctx))
    assert until(Session.of(ends.client), data) == FOR_EVER
    ends.server.verify_client_post_handshake()
    ends.server.write(b"sent with the request")
    assert ends.client.read() == b"sent with the request"
    read_nothing(ends.server)
    read_nothing(ends.client)
    assert until(Session.of(ends.client), data) == in_seconds(100).timestamp()


def test_on_a_host_of_a_map(servers, server_ctx, client_ctx, tmp_path, keys, data, in_seconds):
    root = Authority(ends=in_seconds(2000))
    load(client_ctx, tmp_path, root.client(ends=in_seconds(500)))
    crl = root.crl(ends=in_seconds(100))
    host = servers(root, crls=[crl], flags=ssl.VERIFY_CRL_CHECK_LEAF)
    keys.install(server_ctx)
    HostMap({"a.test": host}).install(server_ctx)
    _, session = visit(server_ctx, client_ctx)
    assert until(session, data) == in_seconds(100).timestamp()


def test_it_is_over_for_every_worker(servers, client_ctx, tmp_path, in_seconds):
    root = Authority(ends=in_seconds(2000))
    load(client_ctx, tmp_path, root.client(ends=in_seconds(3)))
    workers = [servers(root) for _ in range(3)]
    _, session = visit(workers[0], client_ctx)
    resumed = [visit(ctx, client_ctx, session)[0] for ctx in workers]
    # Since OpenSSL 4.0 a certificate is valid in its last second, too; a session is over by then.
    time.sleep(max(0.0, in_seconds(3).timestamp() + 1.1 - time.time()))
    for ctx in workers:
        # On a slow machine the client knows before it asks.
        with pytest.raises((ssl.SSLError, SessionError), match="has expired|s old"):
            visit(ctx, client_ctx, session)
    assert all(resumed)


def test_openssl_s_own_cache_serves_clients_without_tickets_no_longer(
    servers, make_client_ctx, tmp_path, in_seconds
):
    root = Authority(ends=in_seconds(2000))
    client_ctx = make_client_ctx(VERSIONS[0], certificate=False)
    client_ctx.options |= ssl.OP_NO_TICKET
    load(client_ctx, tmp_path, root.client(ends=in_seconds(100)))
    session = connect(servers(root), client_ctx).server.session
    assert 90 <= session.timeout <= 100
    assert not session.has_ticket
