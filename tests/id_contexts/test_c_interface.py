"""pysidctx.h and `cimport pysidctx`: compiled, and used on real contexts and connections."""

import subprocess
import sys

import libssl
import pytest
from consumers import build, load
from handshakes import connect, id_context, pair, shake

OK, TOO_LONG, TOO_LATE = 1, 0, -1


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("consumers")
    build(folder, "from_c.c", "from_cython.pyx", "from_libssl.pyx")
    return folder


@pytest.fixture(params=["from_c", "from_cython"])
def consumer(request, built):
    return load(built, request.param)


def test_on_a_context(consumer, server_ctx, client_ctx):
    assert consumer.set_on_context(server_ctx, b"shop") == OK
    assert id_context(connect(server_ctx, client_ctx)) == b"shop"
    assert consumer.set_on_context(server_ctx, b"") == OK
    assert id_context(connect(server_ctx, client_ctx)) == b""


def test_on_a_connection(consumer, server_ctx, client_ctx):
    consumer.set_on_context(server_ctx, b"shop")
    ends = pair(server_ctx, client_ctx)
    assert consumer.set_on_connection(ends.server, b"own\0") == OK
    assert id_context(shake(ends)) == b"own\0"


def test_openssl_s_own_functions(built, server_ctx):
    """They are linked, and called on objects that the interpreter's libssl has made."""
    former = libssl.SSL_CTX_get_timeout(libssl.pointer(server_ctx))
    assert load(built, "from_libssl").timeout_of(server_ctx, 1234) == (former, 1234)
    assert libssl.SSL_CTX_get_timeout(libssl.pointer(server_ctx)) == 1234


def test_refusals_change_nothing(consumer, server_ctx, client_ctx):
    consumer.set_on_context(server_ctx, b"shop")
    assert consumer.set_on_context(server_ctx, b"x" * 33) == TOO_LONG
    ends = pair(server_ctx, client_ctx)
    assert consumer.set_on_connection(ends.server, b"x" * 33) == TOO_LONG
    assert id_context(shake(ends)) == b"shop"
    assert consumer.set_on_connection(ends.server, b"late") == TOO_LATE
    assert libssl.ERR_peek_error() == 0


def test_other_objects_are_refused(consumer, server_ctx, client_ctx):
    with pytest.raises(TypeError, match="SSLContext"):
        consumer.set_on_context(pair(server_ctx, client_ctx).server, b"shop")
    with pytest.raises(TypeError, match="SSLSocket"):
        consumer.set_on_connection(object(), b"shop")


def test_an_empty_connection_is_refused_and_has_no_owner(consumer, empty_connection):
    before = sys.getrefcount(empty_connection)
    with pytest.raises(ValueError, match="empty"):
        consumer.set_on_connection(empty_connection, b"shop")
    assert sys.getrefcount(empty_connection) == before


def test_the_owner_is_given_back(consumer, server_ctx, client_ctx):
    connection = pair(server_ctx, client_ctx).server._sslobj
    before = sys.getrefcount(connection)
    for _ in range(100):
        consumer.set_on_connection(connection, b"own")
    assert sys.getrefcount(connection) == before


def test_another_version_of_the_table_is_refused(built):
    script = """
import ctypes
import pysidctx
pointer = ctypes.pythonapi.PyCapsule_GetPointer
pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
table = pointer(pysidctx._C_API, b"pysidctx._C_API")
ctypes.c_uint.from_address(table).value += 1
try:
    import from_c
except ImportError as error:
    print(error)
"""
    ran = subprocess.run([sys.executable, "-c", script], cwd=built, capture_output=True, text=True)
    assert "compile it again" in ran.stdout, ran.stderr
