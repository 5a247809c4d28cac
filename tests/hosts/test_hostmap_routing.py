"""What a HostMap does with the connections of its listeners."""

import gc
import ssl
import struct
import threading
import weakref

import libssl
import pytest
import trustme
from handshakes import connect, id_context, pair, shake

from pysidctx import Host, HostMap, context_fingerprint, derive_session_id_context, set_session_id_context

CPYTHON = b"Python\0"


@pytest.fixture
def client_ctx(make_client_ctx):
    """Accepts any certificate; tests look at the one that was served."""
    return make_client_ctx(check_hostname=False)


@pytest.fixture
def make_host_ctx(ca, make_server_ctx):
    """A server's context with a certificate for one name."""
    def make(name, **options):
        ctx = make_server_ctx(**options)
        ca.issue_cert(name, key_type=trustme.KeyType.ECDSA).configure_cert(ctx)
        return ctx

    return make


@pytest.fixture
def listener(make_server_ctx):
    return make_server_ctx()


def served_names(ends):
    return {name for _, name in ends.client.getpeercert()["subjectAltName"]}


def demands(ctx):
    """What is asked of its clients' certificates, as id contexts are derived from it."""
    return struct.pack("@LL", ctx.verify_mode, ctx.verify_flags)


def begin(ends):
    """Send the ClientHello, and let the server answer it."""
    for act in (ends.client.do_handshake, ends.server.do_handshake):
        with pytest.raises(ssl.SSLWantReadError):
            act()


def is_marked_context(thing):
    return type(thing) is ssl.SSLContext and "mark" in vars(thing)


def marked_contexts():
    """Those alive; their weak references are of no use once the garbage collector has seen them."""
    gc.collect()
    return sum(map(is_marked_context, gc.get_objects()))


class TestRouting:
    def test_a_host_is_served_by_its_context_under_its_id_context(
        self, listener, make_host_ctx, client_ctx, version
    ):
        client_ctx.minimum_version = client_ctx.maximum_version = version
        ctx = make_host_ctx("own.test")
        hosts = HostMap({"own.test": ctx, "said.test": Host(ctx, b"said"), "bytes.test": b"bytes"})
        hosts.install(listener)
        fingerprint = context_fingerprint(ctx)
        ends = connect(listener, client_ctx, name="OWN.test")
        assert id_context(ends) == derive_session_id_context("pysidctx host", "own.test", fingerprint)
        assert served_names(ends) == {"own.test"}
        assert id_context(connect(listener, client_ctx, name="said.test")) == b"said"

    def test_bytes_leave_the_listener_s_context(self, listener, client_ctx):
        HostMap({"bytes.test": b"bytes"}).install(listener)
        ends = connect(listener, client_ctx, name="bytes.test")
        assert id_context(ends) == b"bytes"
        assert "a.test" in served_names(ends)

    @pytest.mark.parametrize("own", [None, b"own", CPYTHON])
    def test_unmatched_names_and_none_have_id_contexts_of_their_own(
        self, listener, make_client_ctx, own
    ):
        client_ctx = make_client_ctx(ssl.TLSVersion.TLSv1_3, check_hostname=False)
        if own is not None:
            set_session_id_context(listener, own)
        HostMap({"a.test": own or b"x"}).install(listener)
        base = own if own == b"own" else context_fingerprint(listener)
        for name, kind in (("b.test", "unmatched name"), ("c.test", "unmatched name"), (None, "no name")):
            assert id_context(connect(listener, client_ctx, name=name)) == (
                derive_session_id_context(f"pysidctx {kind}", base, demands(listener)))

    def test_up_to_tls_1_2_what_is_not_exact_is_bound_to_its_name(self, listener, make_client_ctx):
        client_ctx = make_client_ctx(ssl.TLSVersion.TLSv1_2, check_hostname=False)
        set_session_id_context(listener, b"own")
        HostMap({"*.w.test": b"wild", "a.test": b"exact"}).install(listener)
        asked = demands(listener)
        unmatched = derive_session_id_context("pysidctx unmatched name", b"own", asked)
        for name, expected in (
            ("a.test", b"exact"),
            ("X.w.test.", derive_session_id_context("pysidctx name", b"wild", "x.w.test")),
            ("nope.test", derive_session_id_context("pysidctx name", unmatched, "nope.test")),
            (None, derive_session_id_context("pysidctx no name", b"own", asked)),
        ):
            assert id_context(connect(listener, client_ctx, name=name)) == expected

    @pytest.mark.filterwarnings("ignore:ssl.OP_NO_SSL")
    @pytest.mark.parametrize("limit", [
        lambda ctx: setattr(ctx, "maximum_version", ssl.TLSVersion.TLSv1_2),
        lambda ctx: setattr(ctx, "options", ctx.options | ssl.OP_NO_TLSv1_3),
    ])
    @pytest.mark.parametrize("limited", ["listener", "host"])
    def test_the_version_is_that_which_will_be_spoken(
        self, listener, make_server_ctx, client_ctx, limit, limited
    ):
        ctx = make_server_ctx()
        limit(listener if limited == "listener" else ctx)
        HostMap({"*.w.test": Host(ctx, b"wild")}).install(listener)
        ends = connect(listener, client_ctx, name="x.w.test")
        if limited == "host":
            assert ends.server.version() == "TLSv1.2"
            assert id_context(ends) == derive_session_id_context("pysidctx name", b"wild", "x.w.test")
        else:
            assert ends.server.version() == "TLSv1.3"  # as the host's context says
            assert id_context(ends) == b"wild"

    def test_a_connection_s_own_id_context_wins_and_its_host_serves(
        self, listener, make_host_ctx, client_ctx
    ):
        client_ctx.maximum_version = ssl.TLSVersion.TLSv1_2
        HostMap({"own.test": make_host_ctx("own.test")}).install(listener)
        for name in ("own.test", "unmatched.test"):
            ends = pair(listener, client_ctx, name=name)
            set_session_id_context(ends.server, b"connection")
            if name == "own.test":
                assert id_context(shake(ends)) == b"connection"
                assert served_names(ends) == {"own.test"}

    def test_reject(self, listener, client_ctx, version):
        client_ctx.minimum_version = client_ctx.maximum_version = version
        hosts = HostMap({"a.test": b"x"})
        hosts.install(listener)
        hosts.unmatched = "reject"
        for name in ("b.test", "x.a.test", None):
            ends = pair(listener, client_ctx, name=name)
            with pytest.raises(ssl.SSLError):
                shake(ends)
            with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
                ends.client.do_handshake()
        connect(listener, client_ctx, name="a.test")
        assert hosts.stats() == (1, 0, 3, 0)
        hosts.unmatched = "serve"
        connect(listener, client_ctx, name="b.test")
        assert hosts.stats()._asdict() == dict(matched=1, unmatched=1, rejected=3, malformed=0)

    def test_a_session_is_no_way_past_reject(self, listener, client_ctx, version):
        client_ctx.minimum_version = client_ctx.maximum_version = version
        hosts = HostMap({"a.test": b"x"})
        hosts.install(listener)
        session = connect(listener, client_ctx, name="b.test").client.session
        hosts.unmatched = "reject"
        with pytest.raises(ssl.SSLError):
            connect(listener, client_ctx, name="b.test", session=session)

    def test_one_map_on_several_listeners(self, make_server_ctx, client_ctx):
        listeners = [make_server_ctx() for _ in range(3)]
        hosts = HostMap({"a.test": b"x"})
        for ctx in listeners:
            hosts.install(ctx)
            hosts.install(ctx)
        for ctx in listeners:
            assert id_context(connect(ctx, client_ctx)) == b"x"
        hosts["a.test"] = b"y"
        for ctx in listeners:
            assert id_context(connect(ctx, client_ctx)) == b"y"
        hosts.uninstall(listeners[0])
        assert id_context(connect(listeners[0], client_ctx)) == CPYTHON
        assert id_context(connect(listeners[1], client_ctx)) == b"y"
        assert hosts.stats().matched == 7

    def test_another_map_takes_the_place_of_the_first(self, listener, client_ctx):
        first, second = HostMap({"a.test": b"first"}), HostMap({"a.test": b"second"})
        first.install(listener)
        second.install(listener)
        assert id_context(connect(listener, client_ctx)) == b"second"
        with pytest.raises(ValueError, match="not installed"):
            first.uninstall(listener)
        second.uninstall(listener)
        assert id_context(connect(listener, client_ctx)) == CPYTHON
        with pytest.raises(ValueError, match="not installed"):
            second.uninstall(listener)

    def test_uninstall_gives_way_to_the_listener_s_id_context(self, listener, client_ctx):
        hosts = HostMap({"a.test": b"x"})
        hosts.install(listener)
        set_session_id_context(listener, b"own")
        assert id_context(connect(listener, client_ctx)) == b"x"
        hosts.uninstall(listener)
        assert id_context(connect(listener, client_ctx)) == b"own"

    @pytest.mark.parametrize("target", [None, b"x", object(), ssl.SSLContext])
    def test_only_contexts_are_listeners(self, target):
        with pytest.raises(TypeError, match="expected an ssl.SSLContext"):
            HostMap().install(target)
        with pytest.raises(TypeError, match="expected an ssl.SSLContext"):
            HostMap().uninstall(target)

    def test_a_bare_context_cannot_keep_a_map(self):
        import _ssl

        bare = _ssl._SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with pytest.raises(TypeError, match="base class"):
            HostMap().install(bare)
        with pytest.raises(ValueError, match="not installed"):
            HostMap().uninstall(bare)

    def test_a_listener_without_a_fingerprint_needs_an_id_context(
        self, listener, client_ctx, tmp_path
    ):
        listener.load_verify_locations(capath=tmp_path)
        hosts = HostMap({"a.test": b"x"})
        with pytest.raises(ValueError, match="set_session_id_context"):
            hosts.install(listener)
        assert id_context(connect(listener, client_ctx)) == CPYTHON
        set_session_id_context(listener, b"own")
        hosts.install(listener)
        assert id_context(connect(listener, client_ctx)) == b"x"

    def test_a_context_in_a_map_still_serves_connections_of_its_own(
        self, listener, make_server_ctx, client_ctx
    ):
        ctx = make_server_ctx()
        HostMap({"a.test": ctx}).install(listener)
        assert id_context(connect(ctx, client_ctx)) == CPYTHON
        set_session_id_context(ctx, b"own")
        assert id_context(connect(ctx, client_ctx)) == b"own"
        assert id_context(connect(listener, client_ctx)) == derive_session_id_context(
            "pysidctx host", "a.test", context_fingerprint(ctx))

    def test_a_listener_among_its_hosts(self, listener, client_ctx):
        HostMap({"a.test": listener}).install(listener)
        assert id_context(connect(listener, client_ctx)) == derive_session_id_context(
            "pysidctx host", "a.test", context_fingerprint(listener))


class TestServerName:
    @pytest.mark.parametrize("callback", [None, "before", "after"])
    @pytest.mark.parametrize("context", [True, False])
    def test_a_matched_name_is_acknowledged(
        self, listener, make_server_ctx, client_ctx, version, callback, context
    ):
        client_ctx.minimum_version = client_ctx.maximum_version = version
        names = []

        def on_name(server, name, ctx):
            names.append((name, ctx))

        if callback == "before":
            listener.sni_callback = on_name
        HostMap({"a.test": make_server_ctx() if context else b"x"}).install(listener)
        if callback == "after":
            listener.sni_callback = on_name
        ends = connect(listener, client_ctx)
        assert libssl.acknowledged_name(ends.client) == b"a.test"
        assert names == ([("a.test", listener)] if callback else [])

    def test_an_unmatched_name_is_not_acknowledged(self, listener, client_ctx, version):
        client_ctx.minimum_version = client_ctx.maximum_version = version
        HostMap({"a.test": b"x"}).install(listener)
        assert libssl.acknowledged_name(connect(listener, client_ctx, name="b.test").client) is None

    def test_after_uninstall_no_name_is_acknowledged(self, listener, client_ctx):
        hosts = HostMap({"a.test": b"x"})
        hosts.install(listener)
        hosts.uninstall(listener)
        assert libssl.acknowledged_name(connect(listener, client_ctx).client) is None

    def test_uninstall_leaves_a_python_callback(self, listener, client_ctx):
        names = []
        hosts = HostMap({"a.test": b"x"})
        hosts.install(listener)
        listener.sni_callback = lambda server, name, ctx: names.append(name)
        hosts.uninstall(listener)
        connect(listener, client_ctx)
        assert names == ["a.test"]

    def test_install_again_after_none_was_assigned(self, listener, client_ctx):
        hosts = HostMap({"a.test": b"x"})
        hosts.install(listener)
        listener.sni_callback = None
        assert libssl.acknowledged_name(connect(listener, client_ctx).client) is None
        hosts.install(listener)
        assert libssl.acknowledged_name(connect(listener, client_ctx).client) == b"a.test"


class TestLifetimes:
    def test_a_listener_keeps_its_map(self, listener, client_ctx):
        hosts = HostMap({"a.test": b"x"})
        hosts.install(listener)
        alive = weakref.ref(hosts)
        del hosts
        gc.collect()
        assert alive() is not None
        assert id_context(connect(listener, client_ctx)) == b"x"
        del listener

    @pytest.mark.parametrize("among_its_hosts", [True, False])
    def test_a_map_and_its_listener_die_together(
        self, make_server_ctx, make_client_ctx, among_its_hosts
    ):
        listener, other, client_ctx = make_server_ctx(), make_server_ctx(), make_client_ctx()
        hosts = HostMap({"a.test": other, "b.test": listener if among_its_hosts else b"x"})
        hosts.install(listener)
        other.sni_callback = lambda *_, hosts=hosts: None  # leads back
        for name in hosts:
            connect(listener, client_ctx, name=name)
        alive = [weakref.ref(thing) for thing in (hosts, listener, other)]
        del hosts, listener, other
        gc.collect()
        assert [thing() for thing in alive] == [None, None, None]

    @pytest.mark.parametrize("change", [
        lambda hosts: hosts.__delitem__("a.test"),
        lambda hosts: hosts.__setitem__("a.test", b"x"),
        lambda hosts: hosts.update({"a.test": b"x"}),
        lambda hosts: hosts.clear(),
        lambda hosts: None,
    ])
    @pytest.mark.parametrize("retried", [True, False])
    def test_a_context_outlives_its_connections_and_no_longer(
        self, make_server_ctx, make_client_ctx, change, retried
    ):
        listener, ctx = make_server_ctx(), make_server_ctx()
        ctx.set_alpn_protocols(["chosen"])
        if retried:  # by the second ClientHello, OpenSSL calls back with CPython's own object
            listener.set_ecdh_curve("secp384r1")
        client_ctx = make_client_ctx(ssl.TLSVersion.TLSv1_3)
        client_ctx.set_alpn_protocols(["chosen"])
        hosts = HostMap({"a.test": ctx})
        hosts.install(listener)
        ends = pair(listener, client_ctx)
        begin(ends)
        change(hosts)
        hosts.uninstall(listener)
        alive = weakref.ref(ctx)
        del ctx, hosts
        gc.collect()
        assert alive() is not None
        shake(ends)
        assert ends.server.selected_alpn_protocol() == "chosen"
        assert alive() is not None
        del ends
        gc.collect()
        assert alive() is None

    def test_contexts_in_a_cycle_outlive_their_connections(self, make_server_ctx, make_client_ctx):
        listener, ctx, other = (make_server_ctx() for _ in range(3))
        hosts = HostMap({"a.test": ctx})
        hosts.install(listener)
        ctx.mark = hosts
        ends = pair(listener, make_client_ctx())
        begin(ends)
        ends.server.context = other  # so that the connection does not keep its listener either
        del listener, ctx, hosts
        assert marked_contexts() == 1
        shake(ends)
        assert marked_contexts() == 1
        del ends
        assert marked_contexts() == 0

    def test_the_last_connection_may_end_in_another_thread(self, make_server_ctx, make_client_ctx):
        listener, ctx = make_server_ctx(), make_server_ctx()
        hosts = HostMap({"a.test": ctx})
        hosts.install(listener)
        held = [shake(pair(listener, make_client_ctx()))]
        hosts.clear()
        alive = weakref.ref(ctx)
        del ctx
        assert alive() is not None
        thread = threading.Thread(target=held.clear)
        thread.start()
        thread.join()
        gc.collect()
        assert alive() is None

    def test_a_connection_may_outlive_its_python_object(self, make_server_ctx, make_client_ctx):
        listener, ctx = make_server_ctx(), make_server_ctx()
        hosts = HostMap({"a.test": ctx})
        hosts.install(listener)
        ends = shake(pair(listener, make_client_ctx()))
        address = libssl.pointer(ends.server)
        assert libssl.SSL_dup(address) == address  # in the middle it is only counted up
        alive = weakref.ref(ctx)
        hosts.clear()
        del ctx, ends
        gc.collect()
        assert alive() is not None
        libssl.SSL_free(address)
        gc.collect()
        assert alive() is None

    def test_a_map_whose_contexts_are_gone_refuses(self, make_server_ctx, client_ctx):
        """A listener's SSL_CTX that outlives its Python object, as it does in C."""
        listener = make_server_ctx()
        HostMap({"a.test": b"x"}).install(listener)
        ends = pair(listener, client_ctx)
        ssl_of_server = libssl.pointer(ends.server)
        ctx = libssl.SSL_get_SSL_CTX(ssl_of_server)
        ends.server.context = make_server_ctx()  # instead of the listener
        assert libssl.SSL_set_SSL_CTX(ssl_of_server, ctx) == ctx
        del listener
        gc.collect()
        with pytest.raises(ssl.SSLError):
            shake(ends)
        with pytest.raises(ssl.SSLError, match="INTERNAL_ERROR"):
            ends.client.do_handshake()

    def test_errors_leave_no_context_behind(self, make_server_ctx):
        ctx = make_server_ctx()
        hosts = HostMap()
        for bad in ({"a.test": ctx, "b.test": None}, {"a.test": ctx, "": ctx}):
            with pytest.raises((TypeError, ValueError)):
                hosts.update(bad)
            with pytest.raises((TypeError, ValueError)):
                hosts.update(Host=Host(ctx, b""))
        alive = weakref.ref(ctx)
        bad = None
        del ctx
        gc.collect()
        assert alive() is None
