"""SessionCache with TicketKeys and HostMap on one listener, in any order, and the connections that it serves."""

import itertools
import ssl
import threading

import libssl
import pytest
import trustme
from handshakes import VERSIONS, close, connect, pair, read_nothing, shake
from tickets import visit

from pysidctx import Host, HostMap, SessionCache, TicketKeys, set_session_id_context

SIZE = 1 << 20
GET_SESS_CACHE_MODE = 45  # SSL_CTRL_GET_SESS_CACHE_MODE
TLSv1_2, TLSv1_3 = VERSIONS
HANDSHAKE, NEWSESSION_TICKET, FINISHED = 22, 4, 20  # RFC 8446, appendix B


@pytest.fixture
def cache():
    return SessionCache(size=SIZE)


def install_all(order, listener, installs):
    for name in order:
        installs[name].install(listener)


@pytest.mark.filterwarnings("ignore:the session cache has almost no effect")  # as yet, before the hosts are there
@pytest.mark.parametrize("order", list(itertools.permutations(["keys", "hosts", "cache"])), ids=" ".join)
def test_in_any_order(make_server_ctx, make_client_ctx, cache, order, version):
    """A host that asks for certificates has stored sessions, the other one tickets, and all workers resume both."""
    keys, workers = TicketKeys(), []
    for each in (order, ["keys", "hosts", "cache"]):
        hosts = HostMap({"a.test": Host(make_server_ctx(verify=ssl.CERT_REQUIRED), b"a"),
                         "b.test": Host(make_server_ctx(), b"b")})
        listener = make_server_ctx()
        install_all(each, listener, {"keys": keys, "hosts": hosts, "cache": cache})
        workers.append(listener)
    client_ctx = make_client_ctx(version)
    stored = 0
    for name, is_stored in (("a.test", True), ("b.test", False)):
        first = connect(workers[0], client_ctx, name=name)
        again = connect(workers[1], client_ctx, name=name, session=first.client.session)
        assert again.server.session_reused
        assert bool(again.server.getpeercert()) == is_stored
        assert (cache.stats().stored > stored) == is_stored
        stored = cache.stats().stored
    # Without the cache, tickets serve both; without the keys, they are OpenSSL's own.
    cache.uninstall(workers[0])
    counts = cache.stats()
    for name in ("a.test", "b.test"):
        first = connect(workers[0], client_ctx, name=name)
        assert connect(workers[0], client_ctx, name=name, session=first.client.session).server.session_reused
    keys.uninstall(workers[0])
    first = connect(workers[0], client_ctx)
    assert connect(workers[0], client_ctx, session=first.client.session).server.session_reused
    assert cache.stats() == counts


@pytest.mark.parametrize("verify", [ssl.CERT_NONE, ssl.CERT_REQUIRED])
def test_stored_before_the_client_can_come_back(make_server_ctx, make_client_ctx, cache, version, verify):
    """A session is stored when the message is made after which, or by which, the client has it."""
    server_ctx = make_server_ctx(verify=verify)
    set_session_id_context(server_ctx, b"shop")
    cache.install(server_ctx, when="always")
    last = FINISHED if version == ssl.TLSVersion.TLSv1_2 else NEWSESSION_TICKET
    stored = []

    def watch(connection, direction, version, content, message, data):
        if (direction, content, message) == ("write", HANDSHAKE, last):
            stored.append(cache.stats().stored)

    server_ctx._msg_callback = watch
    close(connect(server_ctx, make_client_ctx(version)))
    assert stored and 0 not in stored
    assert cache.stats().stored == len(stored)


def cache_mode(ctx):
    return libssl.SSL_CTX_ctrl(libssl.pointer(ctx), GET_SESS_CACHE_MODE, 0, None)


def test_one_cache_after_another(server_ctx, client_ctx):
    former = cache_mode(server_ctx)
    first, second = SessionCache(size=SIZE), SessionCache(size=SIZE)
    first.install(server_ctx, when="always")
    _, session = visit(server_ctx, client_ctx)
    second.install(server_ctx, when="always")
    assert not visit(server_ctx, client_ctx, session)[0]
    _, session = visit(server_ctx, client_ctx)
    assert visit(server_ctx, client_ctx, session)[0]
    with pytest.raises(ValueError, match="not installed"):
        first.uninstall(server_ctx)
    second.uninstall(server_ctx)
    assert cache_mode(server_ctx) == former
    assert not visit(server_ctx, client_ctx, session)[0]
    _, session = visit(server_ctx, client_ctx)
    assert visit(server_ctx, client_ctx, session)[0]
    with pytest.raises(ValueError, match="not installed"):
        second.uninstall(server_ctx)
    first.install(server_ctx, when="always")
    first.install(server_ctx, when="always")  # once more
    del first, second
    assert visit(server_ctx, client_ctx, visit(server_ctx, client_ctx)[1])[0]


def test_one_cache_on_two_listeners(two, client_ctx, cache):
    """They share what has the same id context, and nothing else."""
    for ctx in two:
        cache.install(ctx, when="always")
        set_session_id_context(ctx, b"shop")
    _, session = visit(two[0], client_ctx)
    assert visit(two[1], client_ctx, session)[0]
    set_session_id_context(two[1], b"bank")
    _, session = visit(two[0], client_ctx)
    assert not visit(two[1], client_ctx, session)[0]
    assert visit(two[0], client_ctx, session)[0]
    cache.uninstall(two[0])
    assert visit(two[1], client_ctx, visit(two[1], client_ctx)[1])[0]


def test_uninstalled_and_installed_under_load(make_server_ctx, make_client_ctx):
    """No handshake fails, and each client has its certificate."""
    ctx, done, failed, resumed = make_server_ctx(verify=ssl.CERT_REQUIRED), threading.Event(), [], []
    caches = [SessionCache(size=SIZE) for _ in range(2)]

    def serve(client_ctx):
        session = None
        try:
            while not done.is_set():
                ends = []
                again, session = visit(ctx, client_ctx, session, before=ends.append)
                resumed.append(again)
                assert ends[0].server.getpeercert()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=serve, args=[make_client_ctx(version)]) for version in VERSIONS]
    for thread in threads:
        thread.start()
    for number in range(300):
        caches[number % 2].install(ctx)
        if number % 3 == 0:
            caches[number % 2].uninstall(ctx)
        if number % 10 == 0:
            caches[number % 2] = SessionCache(size=SIZE)
    done.set()
    for thread in threads:
        thread.join()
    assert not failed
    assert any(resumed)


@pytest.mark.parametrize("when", ["always", "client-certificates"])
@pytest.mark.parametrize("count", range(5))
def test_with_so_many_tickets(make_server_ctx, make_client_ctx, cache, count, when):
    ctx = make_server_ctx(verify=ssl.CERT_REQUIRED)
    ctx.num_tickets = count
    cache.install(ctx, when=when)
    client_ctx = make_client_ctx(TLSv1_3)
    first = connect(ctx, client_ctx)
    assert cache.stats().stored == len(cache) == count
    if count:
        again = connect(ctx, client_ctx, session=first.client.session)
        assert again.server.session_reused and again.server.getpeercert()
        assert cache.stats().peers_decoded == 1


@pytest.mark.parametrize("verify", [ssl.CERT_NONE, ssl.CERT_REQUIRED])
@pytest.mark.parametrize("when", ["always", "client-certificates"])
def test_without_tickets_by_the_user(make_server_ctx, make_client_ctx, cache, version, when, verify, recwarn):
    ctx = make_server_ctx(verify=verify, tickets=False)
    cache.install(ctx, when=when)
    client_ctx = make_client_ctx(version)
    assert visit(ctx, client_ctx, visit(ctx, client_ctx)[1])[0]
    assert cache.stats().hits == 1


def test_a_client_without_tickets(make_server_ctx, make_client_ctx, cache, recwarn):
    """In TLS 1.2 its sessions are stored on every host."""
    ctx = make_server_ctx()
    cache.install(ctx)
    client_ctx = make_client_ctx(TLSv1_2)
    client_ctx.options |= ssl.OP_NO_TICKET
    assert visit(ctx, client_ctx, visit(ctx, client_ctx)[1])[0]
    assert cache.stats().hits == 1


def test_tickets_from_before_are_not_accepted_any_more(make_server_ctx, make_client_ctx, cache, version):
    ctx, keys = make_server_ctx(verify=ssl.CERT_REQUIRED), TicketKeys()
    keys.install(ctx)
    client_ctx = make_client_ctx(version)
    _, ticket = visit(ctx, client_ctx)
    cache.install(ctx)
    assert not visit(ctx, client_ctx, ticket)[0]
    _, stored = visit(ctx, client_ctx)
    assert visit(ctx, client_ctx, stored)[0]
    cache.uninstall(ctx)
    assert not visit(ctx, client_ctx, stored)[0]
    assert visit(ctx, client_ctx, ticket)[0]


@pytest.mark.parametrize("curves", [("secp384r1", "prime256v1"), ("secp384r1", "X25519")], ids=str)
def test_hello_retry_request(make_server_ctx, make_client_ctx, cache, curves):
    """The session is looked up twice, resumed, and ends once."""
    ctx = make_server_ctx(verify=ssl.CERT_REQUIRED)
    ctx.set_ecdh_curve(curves[0])
    cache.install(ctx)
    client_ctx = make_client_ctx(TLSv1_3)
    _, session = visit(ctx, client_ctx)
    before = cache.stats().hits
    resumed, session = visit(ctx, client_ctx, session)
    assert resumed and cache.stats().hits == before + 2
    assert visit(ctx, client_ctx, session)[0]


@pytest.mark.parametrize("offers", [False, True], ids=["full", "resumed"])
def test_renegotiation(make_server_ctx, make_client_ctx, cache, offers):
    """Both sessions of the connection are stored, and resumed."""
    ctx = make_server_ctx(verify=ssl.CERT_REQUIRED)
    if ssl.OPENSSL_VERSION_INFO >= (3,):
        ctx.options |= libssl.SSL_OP_ALLOW_CLIENT_RENEGOTIATION
    cache.install(ctx)
    client_ctx = make_client_ctx(TLSv1_2)
    first = connect(ctx, client_ctx).client.session if offers else None
    ends = shake(pair(ctx, client_ctx, session=first))
    assert ends.server.session_reused == offers
    sessions = [ends.client.session]
    assert libssl.SSL_renegotiate(libssl.pointer(ends.client))
    for _ in range(3):
        read_nothing(ends.client)
        read_nothing(ends.server)
    assert ends.server.getpeercert()
    sessions.append(ends.client.session)
    close(ends)
    assert sessions[0].id != sessions[1].id
    for session in sessions:
        again = connect(ctx, client_ctx, session=session)
        assert again.server.session_reused and again.server.getpeercert()


@pytest.mark.parametrize("end", ["server", "client", "both", "neither"])
def test_whoever_closes_with_close_notify(make_server_ctx, make_client_ctx, cache, version, end):
    """It is resumed whether the connection was closed in order or not."""
    ctx = make_server_ctx(verify=ssl.CERT_REQUIRED)
    cache.install(ctx)
    client_ctx = make_client_ctx(version)
    session = connect(ctx, client_ctx).client.session
    for _ in range(3):
        ends = shake(pair(ctx, client_ctx, session=session))
        assert ends.server.session_reused
        session = ends.client.session
        for name in ("server", "client"):
            if end in (name, "both"):
                with pytest.raises(ssl.SSLWantReadError):
                    getattr(ends, name).unwrap()
                break
        del ends
    assert connect(ctx, client_ctx, session=session).server.session_reused


def test_a_connection_that_fails_takes_no_session_away(make_server_ctx, make_client_ctx, cache, version):
    """By an alert of either side, in a connection that resumed it."""
    ctx = make_server_ctx(verify=ssl.CERT_REQUIRED)
    cache.install(ctx)
    client_ctx = make_client_ctx(version)
    first = connect(ctx, client_ctx).client.session
    ends = shake(pair(ctx, client_ctx, session=first))
    libssl.mark_not_resumable(ends.server)
    del ends
    assert connect(ctx, client_ctx, session=first).server.session_reused


def test_a_duplicate_of_a_connection(make_server_ctx, make_client_ctx, cache, version):
    """SSL_dup() before its ClientHello: it is served as any other one."""
    ctx = make_server_ctx(verify=ssl.CERT_REQUIRED)
    cache.install(ctx)
    client_ctx = make_client_ctx(version)
    first = connect(ctx, client_ctx, before=lambda ends: libssl.duplicate(ends.server))
    again = connect(ctx, client_ctx, session=first.client.session, before=lambda ends: libssl.duplicate(ends.server))
    assert again.server.session_reused and again.server.getpeercert()


def test_tickets_and_stored_sessions_in_one_client(make_server_ctx, make_client_ctx, cache, version):
    keys = TicketKeys()
    contexts = make_server_ctx(verify=ssl.CERT_REQUIRED), make_server_ctx()
    for ctx in contexts:
        set_session_id_context(ctx, b"same")
        keys.install(ctx)
        if ctx.verify_mode:
            cache.install(ctx)
    client_ctx = make_client_ctx(version)
    sessions = [visit(ctx, client_ctx)[1] for ctx in contexts]
    assert [visit(ctx, client_ctx, session)[0] for ctx, session in zip(contexts, sessions)] == [True, True]
    assert [visit(ctx, client_ctx, session)[0] for ctx, session in zip(contexts, sessions[::-1])] == [False, False]


@pytest.fixture
def large(ca, tmp_path):
    """Makes a client's certificate with many names, and a chain if asked."""
    def make(names, depth=0):
        authority = ca
        for _ in range(depth):
            authority = authority.create_child_ca(key_type=trustme.KeyType.ECDSA)
        return authority.issue_cert("client@a.test", *(f"{number}.{'x' * 40}.test" for number in range(names)),
                                    key_type=trustme.KeyType.ECDSA)

    return make


@pytest.mark.parametrize("names, depth", [(100, 0), (400, 0), (900, 0), (0, 6), (200, 3)], ids=str)
def test_large_certificates_are_stored_in_pieces(
    tmp_path, make_server_ctx, make_client_ctx, large, version, names, depth
):
    """Another process resumes them, and decodes them once."""
    caches = [SessionCache.from_secret(bytes(32), memory=tmp_path / "memory", size=SIZE) for _ in range(2)]
    workers = [make_server_ctx(verify=ssl.CERT_REQUIRED) for _ in caches]
    for ctx, cache in zip(workers, caches):
        set_session_id_context(ctx, b"shop")
        cache.install(ctx)
    client_ctx = make_client_ctx(version, certificate=False)
    large(names, depth).configure_cert(client_ctx)
    session = connect(workers[0], client_ctx).client.session
    for _ in range(3):
        again = connect(workers[1], client_ctx, session=session)
        assert again.server.session_reused
        session = again.client.session
        assert len(again.server.getpeercert()["subjectAltName"]) == names + 1
    assert caches[1].stats().peers_decoded == 1 and not caches[1].stats().peers_missing


def test_what_is_too_large_is_counted_and_not_stored(make_server_ctx, make_client_ctx, large, cache):
    ctx = make_server_ctx(verify=ssl.CERT_REQUIRED)
    cache.install(ctx)
    client_ctx = make_client_ctx(TLSv1_2, certificate=False)
    large(1300).configure_cert(client_ctx)
    ends = connect(ctx, client_ctx)
    assert not connect(ctx, client_ctx, session=ends.client.session).server.session_reused
    assert cache.stats().stored == 0 and cache.stats().too_large == 2
