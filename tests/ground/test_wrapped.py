"""SSLContexts that wrap another one, which makes the connections: settings reach the inner one, or are refused."""

import _ssl
import ctypes
import ssl
import subprocess
import sys
from types import SimpleNamespace

import pytest
from handshakes import connect, id_context, resumes
from machine import module

import pysidctx
from pysidctx import Host, HostMap, TicketKeys, context_fingerprint, resumable, set_session_id_context
from pysidctx.servers import SSLContextFactory


class Wrapper(ssl.SSLContext):
    """Like truststore's: the inner context makes the connections."""

    def __init__(self, protocol):
        self.inside = ssl.SSLContext(protocol)

    def wrap_bio(self, *arguments, **options):
        return self.inside.wrap_bio(*arguments, **options)

    def wrap_socket(self, *arguments, **options):
        return self.inside.wrap_socket(*arguments, **options)


class Passing(ssl.SSLContext):
    def wrap_bio(self, *arguments, **options):
        return super().wrap_bio(*arguments, **options)

    def wrap_socket(self, sock, server_side=False, do_handshake_on_connect=True, server_hostname=None):
        return super().wrap_socket(sock, server_side=server_side, server_hostname=server_hostname,
                                   do_handshake_on_connect=do_handshake_on_connect)


class Underneath(ssl.SSLContext):
    """Has the methods that those of `ssl` call."""

    def __init__(self, protocol):
        self.inside = ssl.SSLContext(protocol)

    def _wrap_bio(self, *arguments, **options):
        return self.inside._wrap_bio(*arguments, **options)

    def _wrap_socket(self, *arguments, **options):
        return self.inside._wrap_socket(*arguments, **options)


class Maker(ssl.SSLObject):
    inside = None

    @classmethod
    def _create(cls, *arguments, context, **options):
        return super()._create(*arguments, context=cls.inside, **options)


@pytest.fixture
def make_wrapper(ca, certificate):
    def make(kind=Wrapper, verify=ssl.CERT_NONE):
        made = kind(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(made.inside)
        ca.configure_trust(made.inside)
        made.inside.verify_mode = verify
        return made

    return make


@pytest.fixture
def passing(ca, certificate):
    made = Passing(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(made)
    ca.configure_trust(made)
    return made


@pytest.mark.parametrize("kind", [Wrapper, Underneath])
def test_an_id_context_is_set_on_the_context_inside(kind, make_wrapper, client_ctx):
    wrapper = make_wrapper(kind)
    set_session_id_context(wrapper, b"shop")
    assert id_context(connect(wrapper, client_ctx)) == b"shop"
    set_session_id_context(wrapper, b"bank")
    assert id_context(connect(wrapper, client_ctx)) == b"bank"


def test_a_class_of_connections_is_looked_at_too(make_server_ctx, client_ctx):
    outside, inside = make_server_ctx(), make_server_ctx()
    outside.sslobject_class = type("Other", (Maker,), {"inside": inside})
    outside.sslsocket_class = type("OtherSocket", (ssl.SSLSocket,), {})
    with pytest.raises(ValueError, match="several SSLContexts"):
        set_session_id_context(outside, b"shop")
    outside.wrap_socket = inside.wrap_socket
    set_session_id_context(outside, b"shop")
    assert id_context(connect(outside, client_ctx)) == b"shop"


# In a process of its own: CPython stores the attributes of instances elsewhere once it has seen many of a class.
ATTRIBUTES = """
import ssl
from pysidctx import set_session_id_context

class Other(ssl.SSLObject):
    @classmethod
    def _create(cls, *arguments, context, **options):
        return super()._create(*arguments, context=inside, **options)

def refused(context):
    try:
        set_session_id_context(context, b"shop")
    except ValueError as error:
        assert "several SSLContexts" in str(error), error
        return True
    return False

for called_before in False, True:
    for name in "sslobject_class", "wrap_bio":
        for more in 0, 1, 40:
            outside, inside = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            assert not called_before or not refused(outside)
            for number in range(more):
                setattr(outside, f"attribute_{number}", None)
            setattr(outside, name, Other if name == "sslobject_class" else inside.wrap_bio)
            assert refused(outside), (called_before, name, more)
            delattr(outside, name)
            assert not refused(outside), (called_before, name, more)
"""


def test_an_attribute_is_seen_wherever_python_stores_it():
    subprocess.run([sys.executable, "-c", ATTRIBUTES], check=True)


def test_what_passes_on_to_super_is_its_own(passing, client_ctx):
    set_session_id_context(passing, b"shop")
    assert id_context(connect(passing, client_ctx)) == b"shop"
    keys = TicketKeys()
    resumable(passing, keys)
    ends = connect(passing, client_ctx)
    assert resumes(passing, client_ctx, ends.client.session)
    assert keys.stats().accepted == 1


def test_clients_contexts_are_tried_as_clients(make_server_ctx, ca, version):
    ctx = Passing(ssl.PROTOCOL_TLS_CLIENT)
    ca.configure_trust(ctx)
    ctx.minimum_version = ctx.maximum_version = version
    set_session_id_context(ctx, b"shop")
    assert id_context(connect(make_server_ctx(), ctx)) != b"shop"  # the server has its own
    assert context_fingerprint(ctx) == context_fingerprint(ctx)


def test_sessions_resume_with_keys_on_a_wrapper(make_wrapper, client_ctx, version):
    client_ctx.minimum_version = client_ctx.maximum_version = version
    keys = TicketKeys()
    workers = [make_wrapper() for _ in range(2)]
    for worker in workers:
        assert resumable(worker, keys) is worker
    ends = connect(workers[0], client_ctx)
    assert resumes(workers[1], client_ctx, ends.client.session)
    keys.uninstall(workers[1])
    with pytest.raises(ValueError, match="not installed"):
        keys.uninstall(workers[1])


def test_the_fingerprint_is_that_of_the_context_inside(make_wrapper, make_server_ctx):
    wrapper = make_wrapper()
    assert context_fingerprint(wrapper) == context_fingerprint(make_server_ctx())
    assert context_fingerprint(wrapper) != context_fingerprint(Wrapper(ssl.PROTOCOL_TLS_SERVER))


def test_a_wrapper_that_is_a_host_demands_its_certificate(make_wrapper, make_server_ctx, make_client_ctx):
    host = make_wrapper(verify=ssl.CERT_REQUIRED)
    hosts = HostMap({"a.test": host, "b.test": Host(host, b"b")})
    assert hosts["a.test"] is host and hosts["b.test"] == Host(host, b"b")
    listener = make_server_ctx()
    hosts.install(listener)
    for name in hosts:
        assert connect(listener, make_client_ctx(), name=name).server.getpeercert()
        with pytest.raises(ssl.SSLError):
            connect(listener, make_client_ctx(certificate=False), name=name)


def test_a_wrapper_that_listens_is_routed(make_wrapper, make_server_ctx, client_ctx):
    listener = make_wrapper()
    hosts = HostMap({"a.test": b"a/v1"})
    hosts.install(listener)
    assert id_context(connect(listener, client_ctx)) == b"a/v1"
    hosts.uninstall(listener)
    assert id_context(connect(listener, client_ctx)) != b"a/v1"
    with pytest.raises(ValueError, match="not installed"):
        hosts.uninstall(listener)


def test_a_context_whose_instance_has_other_methods(make_server_ctx, client_ctx):
    outside, inside = make_server_ctx(), make_server_ctx()
    set_session_id_context(outside, b"before")
    outside.wrap_bio, outside.wrap_socket = inside.wrap_bio, inside.wrap_socket
    set_session_id_context(outside, b"after")
    assert id_context(connect(inside, client_ctx)) == b"after"


def refuses(*arguments, **options):
    raise ValueError("not this")  # for which `ssl` closes the socket


@pytest.mark.parametrize("methods", [
    {"wrap_bio": refuses}, {"wrap_socket": refuses}, {"_wrap_bio": refuses}, {"_wrap_socket": refuses},
    {"wrap_bio": lambda self, one: None}, {"wrap_bio": lambda self, *both, **options: None},
])
def test_what_cannot_be_tried_is_refused_and_nothing_is_changed(methods, make_server_ctx, client_ctx):
    ctx = type("Odd", (ssl.SSLContext,), methods)(ssl.PROTOCOL_TLS_SERVER)
    listener = make_server_ctx()
    hosts = HostMap()
    for call in (lambda: set_session_id_context(ctx, b"shop"), lambda: resumable(ctx, TicketKeys()),
                 lambda: TicketKeys().install(ctx), lambda: context_fingerprint(ctx),
                 lambda: hosts.install(ctx), lambda: hosts.update(a=listener, b=ctx),
                 lambda: hosts.update(a=Host(ctx, b"a"))):
        with pytest.raises(ValueError, match=r"Odd overrides wrap_\w+\(\).*`context` attribute of a connection"):
            call()
    assert not hosts and "_pysidctx_hosts" not in vars(ctx)


def test_a_method_that_sets_an_id_context_itself(ca, certificate, client_ctx):
    class Setting(Passing):
        calls = 0

        def wrap_bio(self, *arguments, **options):
            self.calls += 1
            set_session_id_context(self, b"shop")
            return super().wrap_bio(*arguments, **options)

    ctx = Setting(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(ctx)
    assert id_context(connect(ctx, client_ctx)) == b"shop"
    assert ctx.calls < 10


def test_a_method_that_shakes_hands_at_once_is_refused(make_server_ctx):
    class Hasty(ssl.SSLContext):
        def wrap_socket(self, sock, server_side=False, do_handshake_on_connect=True):
            return super().wrap_socket(sock, server_side=server_side)

    with pytest.raises(ValueError, match=r"Hasty overrides wrap_socket\(\)"):
        set_session_id_context(Hasty(ssl.PROTOCOL_TLS_SERVER), b"shop")


def test_what_the_hook_returns_is_routed(pem_files, client_ctx):
    def build():
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(pem_files[0])
        return made

    keys = TicketKeys()
    listener = SSLContextFactory(keys)(SimpleNamespace(certfile=str(pem_files[0])), build)
    HostMap({"a.test": b"a/v1", "b.test": listener}).install(listener)
    ends = connect(listener, client_ctx)
    assert id_context(ends) == b"a/v1"
    assert resumes(listener, client_ctx, ends.client.session)
    assert keys.stats().accepted == 1


def test_a_context_for_each_connection_is_refused(make_server_ctx):
    class Each(ssl.SSLContext):
        def wrap_bio(self, *arguments, **options):
            return make_server_ctx().wrap_bio(*arguments, **options)

        def wrap_socket(self, *arguments, **options):
            return make_server_ctx().wrap_socket(*arguments, **options)

    with pytest.raises(ValueError, match="several SSLContexts"):
        set_session_id_context(Each(ssl.PROTOCOL_TLS_SERVER), b"shop")


def test_attributes_without_such_methods_change_nothing(server_ctx, client_ctx):
    class Plain(ssl.SSLContext):
        name = "a"

    for ctx in (server_ctx, Plain(ssl.PROTOCOL_TLS_SERVER)):
        ctx.note = "mine"
        ctx.sslobject_class = type("Object", (ssl.SSLObject,), {})
        set_session_id_context(ctx, b"shop")
    assert id_context(connect(server_ctx, client_ctx)) == b"shop"


def SSL_CTX_from(context):
    """As C code calls it."""
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    table = get(pysidctx._C_API, b"pysidctx._C_API")
    place = table + 4 * ctypes.sizeof(ctypes.c_void_p)  # after the version, the size and two setters
    function = ctypes.c_void_p.from_address(place).value
    return ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object)(function)(context)


def test_c_code_is_told_which_context_to_pass(make_wrapper, make_server_ctx, passing):
    wrapper = make_wrapper()
    with pytest.raises(ValueError, match="Wrapper creates its connections with another SSLContext"):
        SSL_CTX_from(wrapper)
    for ctx in (wrapper.inside, make_server_ctx(), passing):
        assert SSL_CTX_from(ctx)


def test_a_bare_context_has_no_methods_to_look_at():
    set_session_id_context(_ssl._SSLContext(_ssl.PROTOCOL_TLS_SERVER), b"shop")


@pytest.mark.parametrize("order", ["truststore first", "pysidctx first"])
def test_with_truststore_in_the_place_of_ssl(order, pem_files):
    module("truststore", "truststore")
    # In a process of its own: all contexts that are made from then on are truststore's.
    script = """
import ssl, sys
order, server, ca = sys.argv[1:]
genuine, listener = (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) for _ in range(2))
client_ctx = ssl.create_default_context(cafile=ca)
for ctx in (genuine, listener):
    ctx.load_cert_chain(server)
if order == "pysidctx first":
    import pysidctx
import truststore
truststore.inject_into_ssl()
import pysidctx
sys.path.append("tests/support")
from handshakes import connect, id_context, resumes

made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
made.load_cert_chain(server)
assert type(made) is truststore.SSLContext and type(genuine) is not truststore.SSLContext

pysidctx.set_session_id_context(made, b"shop")
assert id_context(connect(made, client_ctx)) == b"shop"
pysidctx.set_session_id_context(genuine, b"shop")
assert id_context(connect(genuine, client_ctx)) == b"shop"

keys = pysidctx.TicketKeys()
for ctx in (genuine, made):
    keys.install(ctx)
session = connect(made, client_ctx).client.session
assert all(resumes(ctx, client_ctx, session) for ctx in (made, genuine))

demanding = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
demanding.load_cert_chain(server)
demanding.verify_mode = ssl.CERT_REQUIRED
hosts = pysidctx.HostMap({"a.test": pysidctx.Host(demanding, b"a")})
hosts.install(listener)
hosts.install(made)
for ctx in (listener, made):
    try:
        connect(ctx, client_ctx)
    except ssl.SSLError as error:
        assert error.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE", error
    else:
        raise AssertionError("let in without a certificate")
    assert hosts.stats().matched
    hosts.uninstall(ctx)

# truststore trusts the system's CAs on servers, too, which cannot be listed where they are a directory.
with_id = pysidctx.Host(made, b"a")
for call in (lambda: pysidctx.context_fingerprint(made), lambda: pysidctx.HostMap({"a.test": made})):
    try:
        found = call()
    except ValueError as error:
        assert "choose an id context yourself" in str(error), error
    else:
        assert found != pysidctx.context_fingerprint(genuine)
print("held")
"""
    ran = subprocess.run([sys.executable, "-c", script, order, *map(str, pem_files)], capture_output=True,
                         text=True, timeout=60)
    assert (ran.returncode, ran.stderr, ran.stdout) == (0, "", "held\n")
