"""set_session_id_context() and derive_session_id_context(): what they accept and refuse."""

import _ssl
import array
import ctypes
import hashlib
import inspect
import mmap
import socket
import ssl
import subprocess
import sys

import libssl
import pytest
from handshakes import Pair, close, connect, id_context, pair, shake
from hypothesis import given, settings
from hypothesis import strategies as st
from machine import module

import pysidctx
from pysidctx import MAX_SID_CTX_LENGTH, derive_session_id_context, set_session_id_context


class HasOwnAttribute:
    def __init__(self, value):
        self._sslobj = value


class Subclass(ssl.SSLContext):
    pass


NOT_TARGETS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(),
    st.lists(st.integers()), st.dictionaries(st.text(), st.integers()),
    st.sampled_from([
        object(), object, type, ssl, ssl.SSLContext, ssl.SSLSocket, ssl.SSLObject, len,
        _ssl._SSLContext, ssl.SSLSession, ssl.MemoryBIO(), ssl.TLSVersion.TLSv1_3,
        inspect.signature(len), ctypes.c_void_p(1), socket.socket,
    ]),
).flatmap(lambda value: st.sampled_from([value, HasOwnAttribute(value)]))


def contiguous_buffers(minimum, maximum):
    content = st.binary(min_size=minimum, max_size=maximum)
    return st.one_of(
        content,
        content.map(bytearray),
        content.map(memoryview),
        content.map(lambda data: memoryview(data).cast("b")),
        content.map(lambda data: array.array("B", data)),
        content.map(lambda data: (ctypes.c_char * len(data)).from_buffer_copy(data)),
    )


@pytest.fixture(scope="module")
def contexts(ca, certificate):
    server_ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(server_ctx)
    client_ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ca.configure_trust(client_ctx)
    return server_ctx, client_ctx


@given(target=NOT_TARGETS, sid_ctx=contiguous_buffers(0, 32))
def test_no_other_object_is_a_target(target, sid_ctx):
    none_behind = isinstance(target, HasOwnAttribute) and target._sslobj is None
    with pytest.raises(ValueError if none_behind else TypeError):
        set_session_id_context(target, sid_ctx)
    assert libssl.ERR_peek_error() == 0


@given(sid_ctx=contiguous_buffers(0, 32))
def test_every_buffer_of_up_to_32_bytes_arrives(contexts, sid_ctx):
    server_ctx, client_ctx = contexts
    ends = pair(server_ctx, client_ctx)
    set_session_id_context(ends.server, sid_ctx)
    assert id_context(shake(ends)) == bytes(memoryview(sid_ctx))
    set_session_id_context(server_ctx, sid_ctx)
    assert id_context(connect(server_ctx, client_ctx)) == bytes(memoryview(sid_ctx))


@settings(max_examples=50)
@given(sid_ctx=contiguous_buffers(33, 200))
def test_a_longer_one_is_refused_and_changes_nothing(contexts, sid_ctx):
    server_ctx, client_ctx = contexts
    set_session_id_context(server_ctx, b"context")
    ends = pair(server_ctx, client_ctx)
    set_session_id_context(ends.server, b"own")
    for target in (server_ctx, ends.server):
        message = rf"is {len(sid_ctx)} bytes long, at most 32"
        with pytest.raises(ValueError, match=message):
            set_session_id_context(target, sid_ctx)
        assert libssl.ERR_peek_error() == 0
    assert id_context(shake(ends)) == b"own"
    assert id_context(connect(server_ctx, client_ctx)) == b"context"


@given(sid_ctx=st.one_of(st.none(), st.integers(), st.text(), st.lists(st.integers()),
                         st.builds(object)))
def test_what_is_not_a_buffer_is_refused(contexts, sid_ctx):
    with pytest.raises(TypeError, match="bytes-like"):
        set_session_id_context(contexts[0], sid_ctx)


def test_a_str_is_told_to_be_encoded(server_ctx):
    with pytest.raises(TypeError, match=r"\.encode\(\)"):
        set_session_id_context(server_ctx, "shop")


def test_a_buffer_that_is_not_contiguous_is_refused(server_ctx):
    with pytest.raises(TypeError, match="contiguous"):
        set_session_id_context(server_ctx, memoryview(b"abcdef")[::2])


def test_a_released_buffer_is_refused(server_ctx):
    view = memoryview(b"abc")
    view.release()
    with pytest.raises(ValueError, match="released"):
        set_session_id_context(server_ctx, view)


def test_a_buffer_is_released_again(server_ctx):
    shared = bytearray(b"x" * 40)
    with pytest.raises(ValueError):
        set_session_id_context(server_ctx, shared)
    del shared[10:]
    set_session_id_context(server_ctx, shared)
    del shared[:]
    with mmap.mmap(-1, 32) as mapped:
        set_session_id_context(server_ctx, mapped)


def test_wide_items_count_as_bytes(server_ctx, client_ctx):
    words = array.array("H", [1, 2, 3])
    set_session_id_context(server_ctx, words)
    assert id_context(connect(server_ctx, client_ctx)) == words.tobytes()
    with pytest.raises(ValueError, match="34 bytes"):
        set_session_id_context(server_ctx, array.array("H", range(17)))


def test_the_objects_beneath_and_subclasses_are_targets(ca, certificate, client_ctx):
    ctx = Subclass(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(ctx)
    set_session_id_context(ctx, b"subclass")
    assert id_context(connect(ctx, client_ctx)) == b"subclass"
    ends = pair(ctx, client_ctx)
    set_session_id_context(ends.server._sslobj, b"beneath")
    assert id_context(shake(ends)) == b"beneath"
    set_session_id_context(_ssl._SSLContext(ssl.PROTOCOL_TLS_SERVER), b"base class")


def test_arguments_may_be_named(server_ctx):
    set_session_id_context(sid_ctx=b"shop", target=server_ctx)
    assert list(inspect.signature(set_session_id_context).parameters) == ["target", "sid_ctx"]


def test_an_empty_ssl_object_is_refused(empty_connection):
    with pytest.raises(ValueError, match="empty"):
        set_session_id_context(empty_connection, b"shop")


def test_an_error_of_the_target_itself_comes_through(server_ctx):
    class Broken:
        @property
        def _sslobj(self):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        set_session_id_context(Broken(), b"shop")


@pytest.fixture
def sockets(server_ctx, client_ctx):
    left, right = socket.socketpair()
    server = server_ctx.wrap_socket(left, server_side=True, do_handshake_on_connect=False)
    client = client_ctx.wrap_socket(right, server_hostname="a.test", do_handshake_on_connect=False)
    with server, client:
        yield server, client


def shake_sockets(server, client):
    for end in (server, client):
        end.setblocking(False)
    return shake(Pair(server, client))


def test_a_socket_is_a_target(sockets):
    server, client = sockets
    set_session_id_context(server, b"socket")
    assert id_context(shake_sockets(server, client)) == b"socket"


def test_a_socket_after_the_handshake_is_refused_on_both_sides(sockets):
    server, client = sockets
    ends = shake_sockets(server, client)
    for end in ends:
        with pytest.raises(ValueError, match="handshake has begun"):
            set_session_id_context(end, b"late")
    assert id_context(ends) == b"Python\0"


def test_in_sni_callback_it_is_refused(server_ctx, client_ctx):
    refused = []

    def late(server, name, ctx):
        try:
            set_session_id_context(server, b"late")
        except ValueError as error:
            refused.append(str(error))

    server_ctx.sni_callback = late
    connect(server_ctx, client_ctx)
    assert len(refused) == 1
    assert "before the handshake" in refused[0]


def test_uncaught_in_sni_callback_it_ends_the_handshake(server_ctx, client_ctx, monkeypatch):
    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    server_ctx.sni_callback = lambda server, name, ctx: set_session_id_context(server, b"late")
    with pytest.raises(ssl.SSLError):
        connect(server_ctx, client_ctx)
    assert [type(one.exc_value) for one in unraisable] == [ValueError]
    unraisable.clear()


def test_a_server_that_still_waits_for_the_client_is_not_too_late(server_ctx, client_ctx):
    ends = pair(server_ctx, client_ctx)
    with pytest.raises(ssl.SSLWantReadError):
        ends.server.do_handshake()
    set_session_id_context(ends.server, b"in time")
    assert id_context(shake(ends)) == b"in time"


def test_a_closed_socket_is_refused(sockets):
    sockets[0].close()
    with pytest.raises(ValueError, match="closed"):
        set_session_id_context(sockets[0], b"shop")


def test_an_unconnected_socket_is_refused(server_ctx, client_ctx):
    roles = ((server_ctx, {"server_side": True}), (client_ctx, {"server_hostname": "a.test"}))
    for ctx, options in roles:
        with ctx.wrap_socket(socket.socket(), **options) as unconnected:
            with pytest.raises(ValueError, match="not yet connected"):
                set_session_id_context(unconnected, b"shop")


def test_an_unwrapped_socket_is_refused(sockets):
    ends = shake_sockets(*sockets)
    close(ends)
    ends.server.unwrap().close()
    with pytest.raises(ValueError, match="unwrapped"):
        set_session_id_context(ends.server, b"shop")


def test_a_plain_socket_is_refused():
    with socket.socket() as plain, pytest.raises(TypeError, match="socket.socket"):
        set_session_id_context(plain, b"shop")


def test_objects_of_pyopenssl_are_told_what_to_call():
    crypto = module("OpenSSL.SSL", "pyOpenSSL")
    context = crypto.Context(crypto.TLS_METHOD)
    for target in (context, crypto.Connection(context, None)):
        with pytest.raises(TypeError, match=r"set_session_id\(\)"):
            set_session_id_context(target, b"shop")


def test_gevent_s_own_classes_are_targets():
    module("gevent", "gevent")
    # In a process of its own: gevent changes threads and signals of the one it is in.
    script = """
import socket, _ssl
import gevent.ssl
from pysidctx import set_session_id_context
ctx = gevent.ssl.SSLContext(gevent.ssl.PROTOCOL_TLS_SERVER)
set_session_id_context(ctx, b"shop")
import gevent.socket
left, right = gevent.socket.socketpair()
server = ctx.wrap_socket(left, server_side=True, do_handshake_on_connect=False)
assert type(server).__module__.startswith("gevent."), type(server)
set_session_id_context(server, b"own")
try:
    server.close()
    set_session_id_context(server, b"own")
except ValueError as error:
    print(error)
right.close()
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "closed" in ran.stdout


def test_derived_contexts_are_what_the_documentation_says():
    def derived(*parts):
        return hashlib.sha256(
            b"".join(len(part).to_bytes(8, "big") + part for part in parts)).digest()

    assert derive_session_id_context("shop", b"\0") == derived(b"shop", b"\0")
    assert derive_session_id_context("käse") == derived("käse".encode())
    # Written down, because it must be the same in every release.
    assert derive_session_id_context("shop", "a.test").hex() == (
        "0950d4e201dfae0d506a5eef89e3fad6bb7b02843d24597fa43851c3814e3133")


@given(first=st.lists(st.text() | st.binary(), min_size=1),
       second=st.lists(st.text() | st.binary(), min_size=1))
def test_derived_contexts_differ_where_the_parts_do(first, second):
    def encoded(parts):
        return [part.encode() if isinstance(part, str) else part for part in parts]

    equal = derive_session_id_context(*first) == derive_session_id_context(*second)
    assert equal == (encoded(first) == encoded(second))
    assert len(derive_session_id_context(*first)) == MAX_SID_CTX_LENGTH


@pytest.mark.parametrize("parts", [(), (None,), (5,), ("a", ["b"])])
def test_derive_refuses_what_has_no_bytes(parts):
    with pytest.raises(TypeError):
        derive_session_id_context(*parts)


def test_derive_refuses_lone_surrogates():
    with pytest.raises(ValueError, match="surrogates"):
        derive_session_id_context("\ud800")


def test_derive_takes_every_buffer():
    assert derive_session_id_context(memoryview(b"abcdef")[::2]) == derive_session_id_context("ace")
    assert derive_session_id_context(array.array("H", [1])) == derive_session_id_context(
        array.array("H", [1]).tobytes())


def test_the_maximum_is_openssl_s():
    assert MAX_SID_CTX_LENGTH == libssl.SSL_MAX_SID_CTX_LENGTH == 32
    assert pysidctx.MAX_SID_CTX_LENGTH is MAX_SID_CTX_LENGTH
