"""What a host's context brings along: each attribute of ssl.SSLContext, as the table in docs/hosts.md has it."""

import re
import socket
import ssl
import warnings

import libssl
import pytest
import trustme
from handshakes import FIXED, VERSIONS, connect, pair, read_nothing, shake
from readme import PAGES
from switched_servers import Servers

from pysidctx import HostMap

CARRIED, LISTENER, CANNOT, NONE = "carried over", "the listener's", "not possible", "no effect"
TABLE = dict(re.findall(r"^\| `(\w+)[()]*` \| (carried over|the listener's|not possible|no effect)\b",
                        PAGES["docs/hosts.md"], re.MULTILINE))
PUBLIC = {name for name in dir(ssl.SSLContext) if not name.startswith("_")}
ROWS = {}

DH_PARAMETERS = """\
-----BEGIN DH PARAMETERS-----
MIIBCAKCAQEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz
+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1H18GbtCFY2VVPe0a
87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7
YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN9K5W7edjcrsZCwenyO4KbXCeAvzhzffi
7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaD
ssbzSibBsu/6iGtCOGEoXJf//////////wIBAg==
-----END DH PARAMETERS-----
"""


def row(verdict, *names):
    """Mark the test of a row; several rows may have one."""
    def mark(function):
        for name in names:
            assert name not in ROWS, name
            ROWS[name] = verdict, function
        return function

    return mark


@pytest.fixture
def servers(make_server_ctx, make_client_ctx, ca, tmp_path):
    return Servers(make_server_ctx, make_client_ctx, ca, tmp_path)


def names_served(ends):
    return {name for _, name in ends.client.getpeercert()["subjectAltName"]}


@row(CARRIED, "load_cert_chain")
def certificates(servers):
    assert names_served(servers.connect()) == {"host.test"}


@row(CARRIED, "load_verify_locations")
def trusted_authorities(servers):
    other = trustme.CA(key_type=trustme.KeyType.ECDSA)
    host = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    servers.ca.issue_cert("host.test").configure_cert(host)
    other.configure_trust(host)
    host.verify_mode = ssl.CERT_REQUIRED
    servers.host = host
    assert servers.refuses()
    known = servers.client(certificate=False)
    other.issue_cert("client@other.test").configure_cert(known)
    names = servers.connect(known).server.getpeercert()["subjectAltName"]
    assert names == (("email", "client@other.test"),)


@row(CARRIED, "load_default_certs", "set_default_verify_paths")
def default_authorities(servers, monkeypatch, name):
    path = servers.folder / "defaults.pem"
    servers.ca.cert_pem.write_to_path(path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    host = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    servers.ca.issue_cert("host.test").configure_cert(host)
    host.verify_mode = ssl.CERT_REQUIRED
    servers.host = host
    assert servers.refuses()
    if name == "load_default_certs":
        host.load_default_certs(ssl.Purpose.CLIENT_AUTH)
    else:
        host.set_default_verify_paths()
    assert servers.connect().server.getpeercert()


@row(CARRIED, "verify_mode")
def verify_mode(servers, version):
    servers.host.verify_mode = ssl.CERT_REQUIRED
    assert servers.refuses(servers.client(version, certificate=False))
    assert servers.connect(servers.client(version)).server.getpeercert()
    servers.host.verify_mode = ssl.CERT_NONE
    servers.listener.verify_mode = ssl.CERT_REQUIRED
    anonymous = servers.connect(servers.client(version, certificate=False))
    assert anonymous.server.getpeercert() is None


@row(CARRIED, "verify_flags")
def verify_flags(servers):
    for ctx in (servers.host, servers.listener):
        ctx.verify_mode = ssl.CERT_REQUIRED
    servers.listener.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF  # and there is no list
    assert servers.connect().server.getpeercert()
    servers.listener.verify_flags &= ~ssl.VERIFY_CRL_CHECK_LEAF
    servers.host.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    assert servers.refuses()


@row(CARRIED, "options")
def options(servers):
    def without_tickets(ctx):
        ctx.options |= ssl.OP_NO_TICKET

    client_ctx = servers.client(ssl.TLSVersion.TLSv1_2)
    tickets = [ends.client.session.has_ticket
               for ends in servers.both_ways(without_tickets, client_ctx)]
    assert tickets == [False, True]


@row(CARRIED, "minimum_version", "maximum_version")
def versions(servers, name):
    client_ctx = servers.client()

    def limit(ctx):
        if name == "maximum_version":
            ctx.maximum_version = ssl.TLSVersion.TLSv1_2
        else:
            ctx.minimum_version = ssl.TLSVersion.TLSv1_3

    if name == "maximum_version":
        versions = [ends.server.version() for ends in servers.both_ways(limit, client_ctx)]
        assert versions == ["TLSv1.2", "TLSv1.3"]
    else:
        client_ctx.maximum_version = ssl.TLSVersion.TLSv1_2
        limit(servers.listener)
        assert servers.connect(client_ctx).server.version() == "TLSv1.2"
        servers.listener.minimum_version = ssl.TLSVersion.TLSv1_2
        limit(servers.host)
        assert servers.refuses(client_ctx)


@row(CARRIED, "set_ciphers")
def ciphers(servers):
    chosen = "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"
    servers.host.set_ciphers(chosen[0])
    servers.listener.set_ciphers(chosen[1])
    ends = servers.connect(servers.client(ssl.TLSVersion.TLSv1_2))
    assert ends.server.cipher()[0] == chosen[0]


@row(CARRIED, "security_level")
def security_level(servers):
    servers.host.set_ciphers("DEFAULT:@SECLEVEL=3")
    servers.listener.set_ciphers("DEFAULT:@SECLEVEL=1")
    assert libssl.SSL_get_security_level(libssl.pointer(servers.connect().server)) == 3


@row(CARRIED, "set_alpn_protocols")
def application_protocols(servers):
    client_ctx = servers.client()
    client_ctx.set_alpn_protocols(["first", "second"])
    servers.listener.set_alpn_protocols(["first"])
    assert servers.connect(client_ctx).server.selected_alpn_protocol() is None
    servers.host.set_alpn_protocols(["second"])
    assert servers.connect(client_ctx).server.selected_alpn_protocol() == "second"


@row(CARRIED, "num_tickets")
def number_of_tickets(servers):
    def none(ctx):
        ctx.num_tickets = 0

    client_ctx = servers.client(ssl.TLSVersion.TLSv1_3)
    tickets = [ends.client.session.has_ticket for ends in servers.both_ways(none, client_ctx)]
    assert tickets == [False, True]


@row(CARRIED, "post_handshake_auth")
def post_handshake_authentication(servers):
    client_ctx = servers.client(ssl.TLSVersion.TLSv1_3)
    client_ctx.post_handshake_auth = True
    servers.host.verify_mode = ssl.CERT_REQUIRED
    servers.listener.post_handshake_auth = True
    assert servers.connect(client_ctx).server.getpeercert()  # asked for in the handshake
    servers.listener.post_handshake_auth = False
    servers.host.post_handshake_auth = True
    ends = servers.connect(client_ctx)
    assert ends.server.getpeercert() is None
    ends.server.verify_client_post_handshake()
    ends.server.write(b"x")
    assert ends.client.read() == b"x"
    ends.client.write(b"y")
    assert ends.server.read() == b"y"
    assert ends.server.getpeercert()


@row(CARRIED, "load_dh_params")
def dh_parameters(servers):
    path = servers.folder / "dh.pem"
    path.write_text(DH_PARAMETERS)
    servers.host = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    servers.ca.issue_cert("host.test", key_type=trustme.KeyType.RSA).configure_cert(servers.host)
    client_ctx = servers.client(ssl.TLSVersion.TLSv1_2)
    client_ctx.set_ciphers("DHE-RSA-AES256-GCM-SHA384")
    servers.host.set_ciphers("DHE-RSA-AES256-GCM-SHA384")
    servers.listener.load_dh_params(path)
    if ssl.OPENSSL_VERSION_INFO < (4,):  # from then on it takes a group that the client names
        assert servers.refuses(client_ctx)
    servers.host.load_dh_params(path)
    assert servers.connect(client_ctx).server.cipher()[0] == "DHE-RSA-AES256-GCM-SHA384"


@row(CARRIED, "sni_callback", "set_servername_callback")
def server_name_callbacks(servers, name):
    called = []
    servers.listener.sni_callback = lambda server, name, ctx: called.append(("listener", ctx))
    servers.connect()
    assert called == [("listener", servers.listener)]
    called.clear()
    if name == "sni_callback":
        servers.host.sni_callback = lambda server, name, ctx: called.append(("host", ctx))
    else:
        servers.host.set_servername_callback(lambda server, name, ctx: called.append(("host", ctx)))
    servers.connect()
    assert called == [("host", servers.host)]


@row(CANNOT, "set_ecdh_curve")
def curves(servers):
    hellos = []
    servers.listener.sni_callback = lambda server, name, ctx: hellos.append(name)
    client_ctx = servers.client(ssl.TLSVersion.TLSv1_3)
    servers.host.set_ecdh_curve("secp384r1")  # for which clients are asked a second time
    servers.connect(client_ctx)
    assert len(hellos) == 1
    servers.listener.set_ecdh_curve("secp384r1")
    servers.connect(client_ctx)
    assert len(hellos) == 3


@row(CANNOT, "set_groups")
def groups(servers):
    client_ctx = servers.client(ssl.TLSVersion.TLSv1_3)
    client_ctx.set_groups("secp384r1")
    servers.host.set_groups("x25519")
    servers.connect(client_ctx)
    servers.listener.set_groups("x25519")
    assert servers.refuses(client_ctx)


@row(CARRIED, "set_ciphersuites")
def cipher_suites(servers):
    def one(ctx):
        ctx.set_ciphersuites("TLS_CHACHA20_POLY1305_SHA256")

    of_host, of_listener = servers.both_ways(one, servers.client(ssl.TLSVersion.TLSv1_3))
    assert of_host.server.cipher()[0] == "TLS_CHACHA20_POLY1305_SHA256"
    assert of_listener.server.cipher()[0] != "TLS_CHACHA20_POLY1305_SHA256"


@row(CARRIED, "set_server_sigalgs")
def signature_algorithms(servers):
    """The host's certificate cannot sign with the one that its context has."""
    servers.host.set_server_sigalgs("rsa_pss_rsae_sha256")
    assert servers.refuses()
    servers.listener, servers.host = servers.host, servers.make_server_ctx()
    servers.connect()


@row(CARRIED, "set_client_sigalgs")
def signature_algorithms_of_clients(servers):
    """The client's certificate cannot sign with the one that is asked for."""
    for ctx in (servers.host, servers.listener):
        ctx.verify_mode = ssl.CERT_REQUIRED
    servers.host.set_client_sigalgs("rsa_pss_rsae_sha256")
    assert servers.refuses()
    servers.listener, servers.host = servers.host, servers.make_server_ctx(verify=ssl.CERT_REQUIRED)
    assert servers.connect().server.getpeercert()


@row(CANNOT, "keylog_filename")
def key_log(servers):
    """OpenSSL asks the host's context whether to log, and CPython logs to the listener's file."""
    of_host, of_listener = servers.folder / "host", servers.folder / "listener"
    servers.host.keylog_filename = of_host
    with pytest.warns(RuntimeWarning, match="keylog_filename"):
        assert servers.refuses()  # CPython would never give back the GIL
    servers.listener.keylog_filename = of_listener
    servers.connect()
    assert "CLIENT" not in of_host.read_text()
    assert "CLIENT" in of_listener.read_text()
    before = of_listener.read_text()
    servers.host = servers.make_server_ctx()
    servers.connect()
    assert of_listener.read_text() == before


@row(CANNOT, "protocol")
def protocol(servers):
    for other in (ssl.PROTOCOL_TLS_CLIENT, *FIXED):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            ctx = ssl.SSLContext(other)
        with pytest.raises(ValueError, match="PROTOCOL_TLS_SERVER"):
            HostMap({"host.test": ctx})


@row(CANNOT, "set_psk_server_callback")
def pre_shared_keys(servers):
    """Not even a key that both have: CPython would ask the listener's context."""
    for version in VERSIONS:
        client_ctx = servers.client(version, certificate=False)
        client_ctx.verify_mode = ssl.CERT_NONE
        client_ctx.set_psk_client_callback(lambda hint: ("client", b"secret"))
        servers.host.verify_mode = ssl.CERT_REQUIRED
        for ctx in (client_ctx, servers.host, servers.listener):
            ctx.set_ciphers("PSK:DEFAULT")
            # A key of CPython's goes with this one's hash alone.
            assert libssl.SSL_CTX_set_ciphersuites(libssl.pointer(ctx), b"TLS_AES_128_GCM_SHA256")
        for ctx in (servers.host, servers.listener):
            ctx.set_psk_server_callback(lambda identity: b"secret")
        assert servers.refuses(client_ctx)
        for ctx in (servers.host, servers.listener):  # while these two let it in
            assert not connect(ctx, client_ctx).client.getpeercert(True)


@row(NONE, "set_psk_client_callback")
def pre_shared_keys_of_clients(servers):
    with pytest.raises(ssl.SSLError, match="PROTOCOL_TLS_SERVER"):
        servers.host.set_psk_client_callback(lambda hint: ("client", b"key"))


@row(LISTENER, "sslobject_class", "sslsocket_class")
def classes(servers, name):
    class Object(ssl.SSLObject):
        pass

    class Socket(ssl.SSLSocket):
        pass

    for ctx, kinds in ((servers.listener, (Object, Socket)),):
        ctx.sslobject_class, ctx.sslsocket_class = kinds
    if name == "sslobject_class":
        assert type(servers.connect().server) is Object
        return
    servers.pair()
    left, right = socket.socketpair()
    with left, right, servers.listener.wrap_socket(
        left, server_side=True, do_handshake_on_connect=False
    ) as connection:
        assert type(connection) is Socket


@row(LISTENER, "wrap_bio", "wrap_socket")
def makers(servers, name):
    """The listener makes the connections: its map applies to them, and not to those of the host's context."""
    ends = servers.pair()
    own = pair(servers.host, servers.client(), name="listener.test")
    if name == "wrap_bio":
        assert names_served(shake(own)) == {"host.test"}
    assert ends.server.context is servers.listener
    shake(ends)
    assert ends.server.context is servers.listener  # though another one serves it by now


@row(LISTENER, "session_stats")
def session_statistics(servers):
    client_ctx = servers.client(ssl.TLSVersion.TLSv1_2)
    HostMap({"host.test": servers.host}).install(servers.listener)
    session = connect(servers.listener, client_ctx, name="host.test").client.session
    connect(servers.listener, client_ctx, name="host.test", session=session)
    assert servers.listener.session_stats()["hits"] == 1
    assert servers.host.session_stats()["hits"] == 0


@row(NONE, "cert_store_stats", "get_ca_certs", "get_ciphers", "get_groups")
def inspection(servers, name):
    before = getattr(servers.host, name)()
    assert before
    servers.connect()
    assert getattr(servers.host, name)() == before


@row(NONE, "check_hostname", "hostname_checks_common_name")
def host_name_checks(servers, name):
    for ctx in (servers.host, servers.listener):
        ctx.verify_mode = ssl.CERT_REQUIRED
        setattr(ctx, name, not getattr(ctx, name))
        if ctx is servers.listener and refuses_to_serve(ctx):
            with pytest.raises(ValueError, match="check_hostname"):
                servers.pair()
            continue
        assert servers.connect().server.getpeercert()


def refuses_to_serve(ctx):
    """Whether CPython refuses to make server connections with `ctx`, as newer versions do where it checks names."""
    try:
        ctx.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)
    except ValueError:
        return True
    return False


@row(NONE, "set_npn_protocols")
def next_protocol_negotiation(servers):
    assert not ssl.HAS_NPN
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with pytest.raises((AttributeError, NotImplementedError)):
            servers.host.set_npn_protocols(["http/1.1"])


def test_the_table_has_every_attribute_and_every_row_a_test():
    assert TABLE.keys() == ROWS.keys()
    assert PUBLIC <= TABLE.keys()


@pytest.mark.parametrize("name", sorted(PUBLIC & ROWS.keys()))
def test_row(name, request):
    verdict, function = ROWS[name]
    assert TABLE[name] == verdict
    wanted = function.__code__.co_varnames[:function.__code__.co_argcount]
    if "version" in wanted:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            function(request.getfixturevalue("servers"), version)
        return
    fixtures = {asked: name if asked == "name" else request.getfixturevalue(asked) for asked in wanted}
    function(**fixtures)


def test_a_client_certificate_asked_for_later_is_asked_for_when_it_resumes(servers):
    """With post-handshake authentication, the id context keeps out sessions made without."""
    client_ctx = servers.client(ssl.TLSVersion.TLSv1_3)
    client_ctx.post_handshake_auth = True
    servers.host.verify_mode = ssl.CERT_REQUIRED
    HostMap({"host.test": servers.host}).install(servers.listener)
    session = connect(servers.listener, client_ctx, name="host.test").client.session
    servers.host.post_handshake_auth = True
    HostMap({"host.test": servers.host}).install(servers.listener)
    assert not connect(servers.listener, client_ctx, name="host.test",
                       session=session).server.session_reused


def test_verify_depth_and_callback_are_carried_over(servers):
    """Python cannot set them; C can."""
    servers.host.verify_mode = servers.listener.verify_mode = ssl.CERT_REQUIRED
    calls = []
    callback = libssl.verify_callback(lambda ok: calls.append(ok) or ok)
    libssl.SSL_CTX_set_verify(libssl.pointer(servers.host), 3, callback)
    libssl.SSL_CTX_set_verify_depth(libssl.pointer(servers.host), 7)
    libssl.SSL_CTX_set_verify_depth(libssl.pointer(servers.listener), 3)
    ends = servers.connect()
    assert calls
    assert libssl.SSL_get_verify_depth(libssl.pointer(ends.server)) == 7
    calls.clear()
    libssl.SSL_CTX_set_verify(libssl.pointer(servers.listener), 3, callback)
    servers.host = servers.make_server_ctx(verify=ssl.CERT_REQUIRED)
    ends = servers.connect()
    assert not calls
    assert libssl.SSL_get_verify_depth(libssl.pointer(ends.server)) == -1
    assert read_nothing(ends.server) is None
