"""What a server asks of its clients' certificates may change: no session gets around it in a HostMap."""

import ssl

import pytest
from handshakes import VERSIONS, connect, id_context, pair, resumes, shake

import pysidctx.id_contexts.fingerprint
from pysidctx import Host, HostMap, context_fingerprint, derive_session_id_context, set_session_id_context

TLSv1_3 = ssl.TLSVersion.TLSv1_3
REFUSED = "PEER_DID_NOT_RETURN_A_CERTIFICATE"

each_version = pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
each_name = pytest.mark.parametrize(
    "name", ["a.test", "said.test", "bytes.test", "listener.test", "unmatched.test", None])
# Those that the listener's own context serves.
each_name_of_the_listener = pytest.mark.parametrize(
    "name", ["bytes.test", "listener.test", "unmatched.test", None])


@pytest.fixture
def listener(make_server_ctx):
    return make_server_ctx()


@pytest.fixture
def host(make_server_ctx):
    return make_server_ctx()


@pytest.fixture(params=[None, b"own"], ids=["", "listener with an id context"])
def hosts(listener, host, request):
    if request.param is not None:
        set_session_id_context(listener, request.param)
    hosts = HostMap({"a.test": host, "said.test": Host(host, b"said"), "bytes.test": b"x",
                     "listener.test": listener})
    hosts.install(listener)
    return hosts


@pytest.fixture
def make_client(make_client_ctx):
    """A client that takes any server's certificate."""
    def make(version, *, certificate=False):
        return make_client_ctx(version, certificate=certificate, check_hostname=False)

    return make


def is_refused(listener, client_ctx, session, name):
    with pytest.raises(ssl.SSLError) as refused:
        connect(listener, client_ctx, session=session, name=name)
    return refused.value.reason == REFUSED


def ask_for_certificates(ctx):
    ctx.verify_mode = ssl.CERT_REQUIRED


def check_strictly(ctx):
    ctx.verify_flags |= ssl.VERIFY_X509_STRICT


@each_version
@each_name
@pytest.mark.parametrize("demand", [ask_for_certificates, check_strictly])
def test_a_later_demand_ends_the_sessions_from_before(
    listener, host, hosts, make_client, version, demand, name
):
    client_ctx = make_client(version, certificate=True)
    listener.verify_mode = host.verify_mode = ssl.CERT_OPTIONAL
    session = connect(listener, client_ctx, name=name).client.session
    assert resumes(listener, client_ctx, session, name=name)
    session = connect(listener, client_ctx, name=name).client.session
    demand(host)
    demand(listener)
    second = connect(listener, client_ctx, name=name, session=session)
    assert not second.server.session_reused
    assert resumes(listener, client_ctx, second.client.session, name=name)


@each_version
@each_name_of_the_listener
def test_a_connection_from_before_a_demand_makes_no_session_for_after_it(
    listener, hosts, make_client, version, name
):
    client_ctx = make_client(version)
    ends = pair(listener, client_ctx, name=name)
    ask_for_certificates(listener)
    session = shake(ends).client.session  # let in: CPython has copied the former demand
    assert is_refused(listener, client_ctx, session, name)


@each_name_of_the_listener
def test_a_certificate_asked_for_later_makes_no_session_for_where_it_is_asked_for_at_once(
    listener, make_client, name
):
    client_ctx = make_client(TLSv1_3)
    client_ctx.post_handshake_auth = listener.post_handshake_auth = True
    ask_for_certificates(listener)
    HostMap({"bytes.test": b"x", "listener.test": Host(listener, b"said")}).install(listener)
    session = connect(listener, client_ctx, name=name).client.session
    listener.post_handshake_auth = False
    if name == "listener.test":  # as with every SSLContext in a map, this counts when it is put in
        HostMap({name: Host(listener, b"other")}).install(listener)
    assert is_refused(listener, client_ctx, session, name)


@each_version
@pytest.mark.parametrize("place", ["host", "listener"])
def test_a_demand_made_while_a_fingerprint_is_taken_counts_as_made_later(
    listener, host, make_client, monkeypatch, version, place
):
    client_ctx = make_client(version)
    changed = host if place == "host" else listener
    hosts = HostMap()
    hosts.install(listener)

    def put_in():
        if place == "host":
            hosts["a.test"] = host
        else:
            hosts.install(listener)

    def derive_late(*parts):
        if parts[0] == b"pysidctx context fingerprint 1":  # and all others are there, too
            ask_for_certificates(changed)
        return derive_session_id_context(*parts)

    put_in()
    session = connect(listener, client_ctx).client.session
    hosts.clear()
    monkeypatch.setattr(pysidctx.id_contexts.fingerprint, "derive_session_id_context", derive_late)
    put_in()
    assert changed.verify_mode == ssl.CERT_REQUIRED
    assert is_refused(listener, client_ctx, session, "a.test")


@each_version
def test_unmatched_names_stay_apart_when_the_map_is_installed_again(
    listener, hosts, make_client, version
):
    client_ctx = make_client(version)
    session = connect(listener, client_ctx, name="unmatched.test").client.session
    ask_for_certificates(listener)
    hosts.install(listener)
    assert is_refused(listener, client_ctx, session, "unmatched.test")


def test_a_changed_context_that_is_put_in_again_has_another_id_context(
    listener, host, make_client
):
    client_ctx = make_client(TLSv1_3)
    hosts = HostMap({"a.test": host, "b.test": host})
    hosts.install(listener)
    before = id_context(connect(listener, client_ctx, name="a.test"))
    other_before = id_context(connect(listener, client_ctx, name="b.test"))
    host.verify_mode = ssl.CERT_OPTIONAL
    hosts["a.test"] = host
    assert id_context(connect(listener, client_ctx, name="a.test")) == (
        derive_session_id_context("pysidctx host", "a.test", context_fingerprint(host)))
    assert id_context(connect(listener, client_ctx, name="a.test")) != before
    assert id_context(connect(listener, client_ctx, name="b.test")) != other_before


def test_an_id_context_that_was_said_counts_as_it_is_for_the_demands_of_that_moment(
    listener, host, make_client
):
    client_ctx = make_client(TLSv1_3)
    hosts = HostMap({"a.test": Host(host, b"a"), "bytes.test": b"x"})
    hosts.install(listener)
    host.verify_mode = listener.verify_mode = ssl.CERT_OPTIONAL
    hosts["b.test"] = Host(host, b"b")

    def seen(name):
        return id_context(connect(listener, client_ctx, name=name))

    assert seen("b.test") == b"b"
    assert seen("a.test") != b"a"
    hosts["a.test"] = Host(host, b"a")
    assert seen("a.test") == b"a"
    assert seen("bytes.test") != b"x"
    hosts.install(listener)
    assert seen("bytes.test") == b"x"


def test_without_a_fingerprint_an_id_context_like_cpython_s_is_one_as_any_other(
    listener, make_client
):
    client_ctx = make_client(TLSv1_3)
    set_session_id_context(listener, b"own")
    HostMap().install(listener)
    seen = []
    for own in (b"own", b"Python\0", b"Python\1"):
        set_session_id_context(listener, own)
        seen.append(id_context(connect(listener, client_ctx)))
    assert len(set(seen)) == 3
    assert bytes(32) not in seen
