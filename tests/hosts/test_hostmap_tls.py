"""HostMap where TLS has rules of its own: tickets, names, second ClientHellos and renegotiation."""

import itertools
import ssl

import libssl
import pytest
import trustme
from client_hello import ClientHello
from handshakes import Pair, close, connect, id_context, pair, read_nothing, resumes, shake

from pysidctx import HostMap, context_fingerprint, derive_session_id_context, set_session_id_context

# One name for each kind that a ClientHello may send.
KINDS = {"none": None, "unknown": "unknown.test", "exact": "a.test", "wildcard": "x.w.test"}
NAMES = ["a.test", "b.test", "x.w.test", "unknown.test", None]

SAME_NAME = ["a.test", "A.Test", "a.test."]
RENAMINGS = [
    ("a.test", "b.test"), ("a.test", "unknown.test"), ("a.test", None), ("x.w.test", "y.w.test"),
    ("unknown.test", "other.test"), ("unknown.test", "a.test"), (None, "a.test"),
    (None, "unknown.test"),
]


@pytest.fixture(scope="module")
def certificates(ca):
    return {name: ca.issue_cert(name, key_type=trustme.KeyType.ECDSA)
            for name in ("listener.test", "a.test", "b.test", "*.w.test")}


@pytest.fixture
def contexts(certificates, ca):
    """An SSLContext for the listener and for each host, with a certificate of its own."""
    made = {}
    for name, certificate in certificates.items():
        ctx = made[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(ctx)
        ca.configure_trust(ctx)
    return made


@pytest.fixture
def listener(contexts):
    return contexts["listener.test"]


@pytest.fixture
def hosts(contexts, listener):
    return HostMap({name: ctx for name, ctx in contexts.items() if ctx is not listener})


@pytest.fixture
def client_ctx(make_client_ctx, version):
    return make_client_ctx(version, check_hostname=False)


def served_by(ends):
    """The name in the certificate that the client has received."""
    ((_, name),) = ends.client.getpeercert()["subjectAltName"]
    return name


# Tickets.

def test_a_host_without_tickets_gives_none_and_resumes_for_itself_alone(
    contexts, listener, hosts, client_ctx, version
):
    contexts["a.test"].options |= ssl.OP_NO_TICKET
    hosts.install(listener)
    first = connect(listener, client_ctx)
    # A session of TLS 1.3 that the server keeps comes as a ticket all the same: RFC 8446, 4.6.1.
    assert first.client.session.has_ticket == (version == ssl.TLSVersion.TLSv1_3)
    assert connect(listener, client_ctx, name="b.test").client.session.has_ticket
    assert resumes(listener, client_ctx, first.client.session)
    for name in NAMES[1:]:
        session = connect(listener, client_ctx).client.session
        assert not resumes(listener, client_ctx, session, name=name)
        session = connect(listener, client_ctx, name=name).client.session
        assert not resumes(listener, client_ctx, session)


def test_the_sessions_of_a_host_without_tickets_are_in_the_listener_s_cache(
    contexts, listener, hosts, client_ctx
):
    contexts["a.test"].options |= ssl.OP_NO_TICKET
    hosts.install(listener)
    connect(listener, client_ctx, name="b.test")
    assert listener.session_stats()["number"] == 0
    session = connect(listener, client_ctx).client.session
    assert listener.session_stats()["number"] > 0
    assert resumes(listener, client_ctx, session)
    assert listener.session_stats()["hits"] == 1
    assert contexts["a.test"].session_stats()["number"] == 0


def test_a_host_with_tickets_gives_them_on_a_listener_without(listener, hosts, client_ctx):
    listener.options |= ssl.OP_NO_TICKET
    hosts.install(listener)
    session = connect(listener, client_ctx).client.session
    assert session.has_ticket
    assert listener.session_stats()["number"] == 0
    assert resumes(listener, client_ctx, session)


@pytest.mark.parametrize("host, given", [("a.test", False), ("b.test", True)])
def test_a_host_of_no_tickets_in_number_gives_none(
    contexts, listener, hosts, make_client_ctx, host, given
):
    contexts["a.test"].num_tickets = 0
    hosts.install(listener)
    client_ctx = make_client_ctx(ssl.TLSVersion.TLSv1_3, check_hostname=False)
    session = connect(listener, client_ctx, name=host).client.session
    assert session.has_ticket == given
    assert resumes(listener, client_ctx, session, name=host) == given


# Names.

@pytest.mark.parametrize("made_at, offered_at", list(itertools.product(KINDS, repeat=2)))
def test_a_session_without_a_name_is_apart_from_those_with_one(
    listener, hosts, client_ctx, made_at, offered_at
):
    hosts.install(listener)
    first = connect(listener, client_ctx, name=KINDS[made_at])
    fresh = connect(listener, client_ctx, name=KINDS[offered_at])
    resumed = resumes(listener, client_ctx, first.client.session, name=KINDS[offered_at])
    assert resumed == (id_context(first) == id_context(fresh)) == (made_at == offered_at)


@pytest.mark.parametrize("assigned_first", [True, False])
@pytest.mark.parametrize("made_at, offered_at", list(itertools.product(
    ["x.w.test", "y.w.test", "unknown.test", "other.test", "a.test", None], repeat=2)))
def test_sni_callback_is_told_the_name_of_this_client_hello(
    listener, hosts, client_ctx, assigned_first, made_at, offered_at
):
    names = []

    def note(server, name, ctx):
        names.append(name)

    if assigned_first:
        listener.sni_callback = note
    hosts.install(listener)
    listener.sni_callback = note
    session = connect(listener, client_ctx, name=made_at).client.session
    connect(listener, client_ctx, name=offered_at, session=session)
    assert names == [made_at, offered_at]


# SSLContexts that share ticket keys, one for each host, chosen before the connection is made.

def connect_to_peeking_server(contexts, client_ctx, name, session=None):
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_ctx.wrap_bio(to_client, to_server, server_hostname=name, session=session)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    client_hello = to_server.read()
    to_server.write(client_hello)
    ctx = contexts[ClientHello.parse(client_hello).server_name()]
    ends = shake(Pair(ctx.wrap_bio(to_server, to_client, server_side=True), client))
    close(ends)
    return ends


def share_ticket_keys(contexts, rng):
    pointers = [libssl.pointer(ctx) for ctx in contexts]
    length = libssl.SSL_CTX_ctrl(pointers[0], libssl.SSL_CTRL_GET_TLSEXT_TICKET_KEYS, 0, None)
    keys = bytes(rng.randrange(256) for _ in range(length))
    for ctx in pointers:
        assert libssl.SSL_CTX_ctrl(ctx, libssl.SSL_CTRL_SET_TLSEXT_TICKET_KEYS, length, keys)


@pytest.mark.parametrize("kept_apart", [True, False])
def test_contexts_that_share_ticket_keys_are_kept_apart_by_their_id_contexts(
    contexts, client_ctx, kept_apart, rng
):
    share_ticket_keys(contexts.values(), rng)
    if kept_apart:
        for name, ctx in contexts.items():
            set_session_id_context(ctx, name.encode())
    first = connect_to_peeking_server(contexts, client_ctx, "a.test")
    for name in ("a.test", "b.test"):
        fresh = connect_to_peeking_server(contexts, client_ctx, name)
        assert served_by(fresh) == name
        offered = connect_to_peeking_server(contexts, client_ctx, name, first.client.session)
        resumed = name == "a.test" or not kept_apart
        assert offered.server.session_reused == resumed
        assert (id_context(first) == id_context(fresh)) == resumed


# A second ClientHello in the same connection.

def rename(client, name):
    libssl.set_server_name(client, name and name.encode())


def assert_ended_by_illegal_parameter(ends):
    """The server ends the connection when it reads what the client has sent."""
    with pytest.raises(ssl.SSLError) as error:
        ends.server.read()
    assert type(error.value) is ssl.SSLError
    with pytest.raises(ssl.SSLError) as error:
        ends.client.read()
    assert error.value.reason == "SSLV3_ALERT_ILLEGAL_PARAMETER"


def assert_serves(ends, contexts, name):
    """The connection has the SSLContext of a host, and its session the id context of that."""
    ctx = contexts[name]
    assert libssl.SSL_get_SSL_CTX(libssl.pointer(ends.server)) == libssl.pointer(ctx)
    assert id_context(ends) == derive_session_id_context(
        "pysidctx host", name, context_fingerprint(ctx))
    assert served_by(ends) == name


@pytest.fixture
def retried(listener, hosts, make_client_ctx):
    """Ends that wait for the second ClientHello, after a HelloRetryRequest to one for a name."""
    def make(name):
        listener.set_ecdh_curve("secp384r1")  # for which no client sends a key share unasked
        hosts.install(listener)
        client_ctx = make_client_ctx(ssl.TLSVersion.TLSv1_3, check_hostname=False)
        ends = pair(listener, client_ctx, name=name)
        for end in (ends.client, ends.server):
            with pytest.raises(ssl.SSLWantReadError):
                end.do_handshake()
        return ends

    return make


@pytest.mark.parametrize("first, second", RENAMINGS)
def test_hello_retry_request_answered_for_another_host_ends_the_handshake(retried, first, second):
    ends = retried(first)
    rename(ends.client, second)
    with pytest.raises(ssl.SSLWantReadError):
        ends.client.do_handshake()
    assert_ended_by_illegal_parameter(ends)


@pytest.mark.parametrize("name", SAME_NAME)
def test_hello_retry_request_answered_for_the_same_host_keeps_the_first_choice(
    contexts, hosts, retried, name
):
    ends = retried("a.test")
    rename(ends.client, name)
    hosts.clear()  # now it would be the listener's
    assert_serves(shake(ends), contexts, "a.test")


@pytest.fixture
def renegotiating(contexts, listener, hosts, make_client_ctx):
    """Ends of a TLS 1.2 connection whose client is about to renegotiate."""
    def make(name):
        if ssl.OPENSSL_VERSION_INFO >= (3,):  # before, they are allowed unless told otherwise
            for ctx in contexts.values():
                ctx.options |= libssl.SSL_OP_ALLOW_CLIENT_RENEGOTIATION
        hosts.install(listener)
        client_ctx = make_client_ctx(ssl.TLSVersion.TLSv1_2, check_hostname=False)
        ends = shake(pair(listener, client_ctx, name=name))
        assert libssl.SSL_renegotiate(libssl.pointer(ends.client))
        return ends

    return make


@pytest.mark.parametrize("first, second", RENAMINGS)
def test_renegotiation_for_another_host_ends_the_connection(renegotiating, first, second):
    ends = renegotiating(first)
    rename(ends.client, second)
    read_nothing(ends.client)
    assert_ended_by_illegal_parameter(ends)


@pytest.mark.parametrize("name", SAME_NAME)
def test_renegotiation_for_the_same_host_keeps_the_first_choice(
    contexts, hosts, renegotiating, name
):
    ends = renegotiating("a.test")
    before = libssl.SSL_get_session(libssl.pointer(ends.server))
    rename(ends.client, name)
    hosts.clear()  # now it would be the listener's
    for _ in range(3):
        read_nothing(ends.client)
        read_nothing(ends.server)
    assert libssl.SSL_get_session(libssl.pointer(ends.server)) != before
    assert_serves(ends, contexts, "a.test")
