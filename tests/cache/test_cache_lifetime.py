"""No stored session outlives its lifetime, its client's certificates, or the revocation lists that were looked at."""

import datetime
import ssl
import time

import libssl
import pytest
from authorities import Authority
from handshakes import VERSIONS, pair, read_nothing, shake
from tickets import visit

from pysidctx import Session, SessionCache, TicketKeys, resumable, set_session_id_context

SIZE = 1 << 20


@pytest.fixture
def in_seconds():
    start = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    return lambda seconds: start + datetime.timedelta(seconds=seconds)


@pytest.fixture
def client_ctx(make_client_ctx, version):
    return make_client_ctx(version, certificate=False)


@pytest.fixture
def servers(certificate, tmp_path):
    """Makes contexts that demand certificates of an authority, as several workers have them."""
    def make(cache, authority, *, crls=(), flags=0):
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(ctx)
        trusted = tmp_path / "trusted.pem"
        trusted.write_text(authority.pem + "".join(crls))
        ctx.load_verify_locations(trusted)
        ctx.verify_mode = ssl.CERT_REQUIRED
        ctx.verify_flags |= flags
        set_session_id_context(ctx, b"shop")
        cache.install(ctx)
        return ctx

    return make


def load(client_ctx, tmp_path, *certificates):
    path = tmp_path / "client.pem"
    path.write_text("".join(each.pem for each in certificates) + certificates[0].key_pem)
    client_ctx.load_cert_chain(path)


def unaging(session):
    """The session as a client offers it that ignores its age."""
    der = libssl.changed(session.to_der(), libssl.SSL_SESSION_set_timeout, 100_000)
    return Session.from_der(der, id_context=session.id_context, host="a.test")


def test_renewals_do_not_lengthen_it(make_server_ctx, client_ctx):
    cache = SessionCache(lifetime=3, period=1, size=SIZE)
    ctx = make_server_ctx()
    cache.install(ctx, when="always")
    begun = time.time()
    _, session = visit(ctx, client_ctx)
    resumptions = 0
    while True:
        now = time.time()
        resumed, session = visit(ctx, client_ctx, unaging(session))
        if not resumed:
            break
        assert now - begun < 3.1
        resumptions += 1
        time.sleep(0.5)
    assert time.time() - begun > 2 and resumptions > 1
    assert cache.stats().expired == 1


# What else ends with the third second: lifetimes of an authority, an intermediate and a client; and of lists.
ENDS = {
    "client's": ((1000, 1000, 3), (1000, 1000), 0),
    "intermediate's": ((1000, 3, 1000), (1000, 1000), 0),
    "list's": ((1000, 1000, 1000), (1000, 3), ssl.VERIFY_CRL_CHECK_LEAF),
    "root's list's": ((1000, 1000, 1000), (3, 1000), ssl.VERIFY_CRL_CHECK_CHAIN),
}


def test_what_ends_first(servers, make_client_ctx, tmp_path, version, in_seconds):
    cache, made = SessionCache(size=SIZE), []
    for name, (ends, lists, flags) in ENDS.items():
        client_ctx = make_client_ctx(version, certificate=False)
        root = Authority(ends=in_seconds(ends[0]))
        middle = root.authority(ends=in_seconds(ends[1]))
        load(client_ctx, tmp_path, middle.client(ends=in_seconds(ends[2])), middle)
        crls = [issuer.crl(ends=in_seconds(end)) for issuer, end in zip((root, middle), lists)]
        workers = [servers(cache, root, crls=crls, flags=flags) for _ in range(2)]
        _, session = visit(workers[0], client_ctx)
        resumed, renewed = visit(workers[1], client_ctx, session)
        made.append((name, workers[0], client_ctx, resumed, session, renewed))
    time.sleep(max(0.0, in_seconds(3).timestamp() + 1.1 - time.time()))
    for name, ctx, client_ctx, _, *sessions in made:
        for session in sessions:
            # The full handshake finds out what has ended.
            with pytest.raises(ssl.SSLError, match="has expired|EXPIRED"):
                visit(ctx, client_ctx, unaging(session))
                raise AssertionError(f"{name}: it was resumed")
    assert all(resumed for _, _, _, resumed, *_ in made)


def test_a_client_that_is_verified_after_the_handshake(servers, make_client_ctx, tmp_path, in_seconds):
    """Its sessions before are without the certificate, and those after it with it, for as long as it lasts."""
    root = Authority(ends=in_seconds(1000))
    client_ctx = make_client_ctx(VERSIONS[1], certificate=False)
    load(client_ctx, tmp_path, root.client(ends=in_seconds(4)))
    client_ctx.post_handshake_auth = True
    cache = SessionCache(size=SIZE)
    ctx = servers(cache, root)
    ctx.post_handshake_auth = True
    ends = shake(pair(ctx, client_ctx))
    before = Session.of(ends.client)
    ends.server.verify_client_post_handshake()
    ends.server.write(b"sent with the request")
    assert ends.client.read() == b"sent with the request"
    read_nothing(ends.server)
    read_nothing(ends.client)
    after = Session.of(ends.client)
    assert ends.server.getpeercert(binary_form=True)

    def certificate_of(session):
        found = []
        resumed, _ = visit(ctx, client_ctx, unaging(session), before=found.append)
        return resumed, found[0].server.getpeercert(binary_form=True)

    assert certificate_of(before) == (True, None)
    assert certificate_of(after) == (True, ends.server.getpeercert(binary_form=True))
    time.sleep(max(0.0, in_seconds(4).timestamp() + 1.1 - time.time()))
    assert certificate_of(after) == (False, None)
    assert certificate_of(before)[1] is None
    # One that demands it at once resumes neither.
    ctx.post_handshake_auth = False
    with pytest.raises(ssl.SSLError, match="expired"):
        visit(ctx, client_ctx, unaging(before))


def test_a_shorter_lifetime_of_another_process_counts_there(two, client_ctx, tmp_path):
    caches = [SessionCache.from_secret(bytes(32), memory=tmp_path / "memory", size=SIZE, lifetime=lifetime, period=1)
              for lifetime in (100, 2)]
    for ctx, cache in zip(two, caches):
        cache.install(ctx, when="always")
    _, session = visit(two[0], client_ctx)
    first, _ = visit(two[1], client_ctx, session)
    time.sleep(2.5)
    assert first
    assert not visit(two[1], client_ctx, session)[0]
    assert visit(two[0], client_ctx, session)[0]


def test_an_authority_that_resumable_asks_for(servers, client_ctx, tmp_path, in_seconds):
    """The sessions of one authority's clients are not resumed where another one's are asked for."""
    authorities = [Authority(name, ends=in_seconds(1000)) for name in ("one", "other")]
    load(client_ctx, tmp_path, authorities[0].client(ends=in_seconds(1000)))
    cache, keys = SessionCache(size=SIZE), TicketKeys()
    contexts = [servers(cache, authority) for authority in authorities]
    for ctx in contexts:
        resumable(ctx, keys, cache=cache)
    _, session = visit(contexts[0], client_ctx)
    with pytest.raises(ssl.SSLError):
        visit(contexts[1], client_ctx, session)
    assert visit(contexts[0], client_ctx, session)[0]
