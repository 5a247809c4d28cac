"""Sessions stay with their hosts, whatever way these are served: a matrix of real handshakes."""

import itertools
import ssl
from contextlib import ExitStack
from functools import lru_cache

import pytest
import trustme
from servers import WAYS

from pysidctx import HostMap, SessionCache

TLSv1_2, TLSv1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3

# Where the session is made, where it is offered, and the versions in which it is resumed there. Up
# to TLS 1.2 a session belongs to one name: RFC 6066, section 3.
PAIRS = {
    "same host": ("a.test", "a.test", {TLSv1_2, TLSv1_3}),
    "other host": ("a.test", "b.test", set()),
    "wildcard sibling": ("x.w.test", "y.w.test", {TLSv1_3}),
    "unknown name": ("a.test", "unknown.test", set()),
    "no name": ("a.test", None, set()),
}
LISTENER = "listener.test"
SERVED_BY = {
    "a.test": "a.test", "b.test": "b.test", "x.w.test": "*.w.test", "y.w.test": "*.w.test",
    "unknown.test": LISTENER, None: LISTENER,
}
CLIENT = ["client@a.test"]
KEPT = {True: "tickets", False: "no tickets"}
IGNORE_UNEXPECTED_EOF = 1 << 7  # SSL_OP_IGNORE_UNEXPECTED_EOF
# What a client without a certificate is told.
ALERTS = {TLSv1_2: "SSLV3_ALERT_HANDSHAKE_FAILURE", TLSv1_3: "TLSV13_ALERT_CERTIFICATE_REQUIRED"}

# What keeps the sessions: clients, OpenSSL's own cache, or a SessionCache, which is told what to keep.
PLAIN = list(itertools.product(WAYS, [True, False]))
SERVED = [*PLAIN, ("memory BIO", "always"), ("memory BIO", "client-certificates"), ("asyncio", "always")]


def name_of(served):
    way, kept = served
    return f"{way}-{KEPT.get(kept, kept)}"


each_pair = pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
without_cache = pytest.mark.parametrize("served", PLAIN, ids=name_of)
each_name = pytest.mark.parametrize("name", SERVED_BY, ids=str)


@pytest.fixture(params=SERVED, ids=name_of)
def served(request):
    return request.param


@pytest.fixture
def way(served):
    return served[0]


@pytest.fixture
def tickets(served):
    return served[1]


@pytest.fixture(params=[ssl.CERT_NONE, ssl.CERT_OPTIONAL, ssl.CERT_REQUIRED],
                ids=lambda verify: verify.name)
def verify(request):
    return request.param


@pytest.fixture(scope="module")
def make_contexts(ca):
    """SSLContexts by the name in the certificate of each; free.test asks for no certificate."""
    @lru_cache(None)
    def certificate(name):
        return ca.issue_cert(name, key_type=trustme.KeyType.ECDSA)

    def make(tickets, **verify_modes):
        contexts = {}
        for name, verify in verify_modes.items():
            ctx = contexts[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate(name).configure_cert(ctx)
            ca.configure_trust(ctx)
            ctx.verify_mode = verify
            if not tickets:
                ctx.options |= ssl.OP_NO_TICKET
        return contexts

    return make


def verify_modes(verify, for_listener):
    """`verify` for the listener or for its hosts, and for the others one that must not count."""
    other = ssl.CERT_REQUIRED if verify == ssl.CERT_NONE else ssl.CERT_NONE
    modes = {name: verify if (name == LISTENER) == for_listener else other
             for name in SERVED_BY.values()}
    return {**modes, "free.test": ssl.CERT_NONE}


@pytest.fixture(scope="module")
def serving(make_contexts):
    """Starts servers that differ in these, and gives the visits to each."""
    with ExitStack() as running:
        @lru_cache(None)
        def start(way, tickets, verify, for_listener):
            contexts = make_contexts(tickets, **verify_modes(verify, for_listener))
            listener = contexts[LISTENER]
            hosts = {name: ctx for name, ctx in contexts.items() if ctx is not listener}
            HostMap(hosts).install(listener)
            if isinstance(tickets, str):
                SessionCache(size=1 << 20).install(listener, when=tickets)
            return running.enter_context(WAYS[way](listener, contexts))

        yield start


@pytest.fixture
def serve(serving, way, tickets):
    """The visits to a server whose verify mode for a name is this one."""
    return lambda verify, name: serving(way, tickets, verify, is_unmatched(name))


def is_unmatched(name):
    return SERVED_BY[name] == LISTENER


def free_places(name):
    """Names under which no client certificate is asked for, where one is for `name`."""
    return "free.test", *(other for other in SERVED_BY if is_unmatched(other) != is_unmatched(name))


@pytest.fixture(scope="module")
def client_contexts(ca, client_certificate):
    """One for each version, with a certificate or without. It keeps no session: each visit says which it offers."""
    @lru_cache(None)
    def make(version, certificate):
        client_ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client_ctx.check_hostname = False
        ca.configure_trust(client_ctx)
        if certificate:
            client_certificate.configure_cert(client_ctx)
        client_ctx.minimum_version = client_ctx.maximum_version = version
        # CPython 3.9 sets it where OpenSSL 3 has it.
        client_ctx.options &= ~IGNORE_UNEXPECTED_EOF
        return client_ctx

    return make


@pytest.fixture
def make_client(client_contexts, version):
    return lambda *, certificate=True: client_contexts(version, certificate)


def is_refusal(error, way, version):
    # asyncio and uvloop lose the alert: they abort the transport with it unsent.
    if way in ("asyncio", "uvloop") and (isinstance(error, ssl.SSLEOFError)
                                         or error.reason == "UNEXPECTED_EOF_WHILE_READING"):
        return True
    return error.reason == ALERTS[version]


@each_pair
def test_resumed_exactly_where_the_id_contexts_are_equal(
    serve, make_client, pair, version, verify
):
    made_at, offered_at, resumed_in = pair
    visit = serve(verify, offered_at)
    client_ctx = make_client()
    first, fresh = visit(client_ctx, made_at), visit(client_ctx, offered_at)
    offered = visit(client_ctx, offered_at, first.session)
    assert not first.resumed and not fresh.resumed
    assert offered.resumed == (first.id_context == fresh.id_context) == (version in resumed_in)
    assert offered.id_context == fresh.id_context
    assert fresh.served_by == offered.served_by == SERVED_BY[offered_at]
    assert fresh.server_names == offered.server_names == [SERVED_BY[offered_at]]
    client_names = [] if verify == ssl.CERT_NONE else CLIENT
    assert fresh.client_names == offered.client_names == client_names


@pytest.mark.parametrize("name", ["unknown.test", None], ids=str)
def test_what_no_host_serves_is_resumed_for_itself(serve, make_client, verify, name):
    visit, client_ctx = serve(verify, name), make_client()
    first = visit(client_ctx, name)
    again = visit(client_ctx, name, first.session)
    assert again.resumed
    assert again.id_context == first.id_context
    assert again.client_names == ([] if verify == ssl.CERT_NONE else CLIENT)


@each_name
def test_no_path_leads_around_a_client_certificate(serve, make_client, way, version, name):
    visit, client_ctx = serve(ssl.CERT_REQUIRED, name), make_client(certificate=False)
    sessions = {place: visit(client_ctx, place).session for place in free_places(name)}
    for place, session in sessions.items():
        assert visit(client_ctx, place, session).resumed
    for session in (None, *sessions.values()):
        with pytest.raises(ssl.SSLError) as refused:
            visit(client_ctx, name, session)
        assert is_refusal(refused.value, way, version)
    assert visit(make_client(), name).client_names == CLIENT


@each_name
def test_an_optional_client_certificate_may_be_missing(serve, make_client, name):
    visit, client_ctx = serve(ssl.CERT_OPTIONAL, name), make_client(certificate=False)
    first = visit(client_ctx, name)
    again = visit(client_ctx, name, first.session)
    assert again.resumed
    assert first.client_names == again.client_names == []


@pytest.fixture(scope="module")
def start_switching(make_contexts):
    """Starts servers whose hosts Python's sni_callback switches to: plain ssl, without a HostMap."""
    with ExitStack() as running:
        @lru_cache(None)
        def start(way, tickets):
            contexts = make_contexts(tickets, **{LISTENER: ssl.CERT_NONE, "a.test": ssl.CERT_NONE,
                                                 "b.test": ssl.CERT_REQUIRED, "*.w.test": ssl.CERT_NONE})

            def switch(connection, name, ctx):
                connection.context = contexts[SERVED_BY[name]]

            contexts[LISTENER].sni_callback = switch
            return running.enter_context(WAYS[way](contexts[LISTENER], contexts))

        yield start


@pytest.fixture
def switching(start_switching, way, tickets):
    """The visits to such a server."""
    return start_switching(way, tickets)


@without_cache
@each_pair
def test_recorded_counter_example_sni_callback_has_sessions_cross(
    switching, make_client, version, pair
):
    made_at, offered_at, _ = pair
    client_ctx = make_client(certificate=False)
    first, fresh = switching(client_ctx, made_at), switching(client_ctx, offered_at)
    crossed = switching(client_ctx, offered_at, first.session)
    assert (first.served_by, fresh.served_by) == (SERVED_BY[made_at], SERVED_BY[offered_at])
    assert crossed.resumed
    assert crossed.id_context == first.id_context == fresh.id_context
    # Up to TLS 1.2 the callback is told the name that the session was made under, even by a client
    # that sends another or none.
    told = made_at if version == TLSv1_2 else offered_at
    assert crossed.served_by == SERVED_BY[told]


@without_cache
def test_recorded_counter_example_sni_callback_demands_no_client_certificate(
    switching, make_client
):
    for client_ctx in (make_client(certificate=False), make_client()):
        fresh = switching(client_ctx, "b.test")
        assert not fresh.resumed
        assert (fresh.served_by, fresh.server_names) == ("b.test", ["b.test"])
        assert fresh.client_names == []  # though b.test is for CERT_REQUIRED
