"""What one call costs: a pyperf script, run round by round by `benchmarks.call`."""

import _ssl
import ctypes
import socket
import ssl

import OpenSSL.SSL
import pyperf

import pysidctx
from benchmarks import native

# As derive_session_id_context() makes them, and as long as they get.
SID_CTX = pysidctx.derive_session_id_context("benchmark")

MANY = 100

EMPTY = "empty Cython function"
OPENSSL_CTX = "SSL_CTX_set_session_id_context()"
OPENSSL_SSL = "SSL_set_session_id_context()"
OPENSSL_CTX_ALL = "SSL_CTX_get_ex_data() + SSL_CTX_set_session_id_context()"
OPENSSL_SSL_ALL = "SSL_in_before() + SSL_get_ex_data() + SSL_set_session_id_context()"
HEADER_CTX = "pysidctx.h on an SSL_CTX"
HEADER_SSL = "pysidctx.h on an SSL"
CIMPORT_CTX = "cimport, on an SSL_CTX"
CIMPORT_SSL = "cimport, on an SSL"
CONTEXT = "set_session_id_context(SSLContext)"
CONTEXTS = "set_session_id_context(SSLContext), 100 in turn"
ATTRIBUTE_OBJECT = "Python's look-up of SSLObject._sslobj alone"
ATTRIBUTE_SOCKET = "Python's look-up of SSLSocket._sslobj alone"
OBJECT = "set_session_id_context(SSLObject)"
SOCKET = "set_session_id_context(SSLSocket)"
PYOPENSSL = "pyOpenSSL Context.set_session_id()"
CTYPES = "ctypes"
CFFI = "cffi"


def pointer_of(context: ssl.SSLContext) -> int:
    address = id(context) + object.__basicsize__
    return ctypes.c_void_p.from_address(address).value or 0


def main() -> None:
    runner = pyperf.Runner(program_args=("-m", "benchmarks.call_worker"))
    call_c, call_cython, cffi = map(native.load, ("call_c", "call_cython", "call_cffi"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    maker = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    contexts = [ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) for _ in range(MANY)]
    connection = maker.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)
    left, right = socket.socketpair()
    wrapped = maker.wrap_socket(left, server_side=True, do_handshake_on_connect=False)
    for target in (context, connection, wrapped, *contexts):
        pysidctx.set_session_id_context(target, SID_CTX)

    def call(name, function, *arguments):
        calls(name, function, [arguments] * MANY)

    def calls(name, function, given):
        """Time many calls written one after the other, so that the loop itself does not count."""
        distinct = list({id(argument): argument for row in given for argument in row}.values())
        names = {id(argument): f"a{number}" for number, argument in enumerate(distinct)}
        lines = [f"f({', '.join(names[id(argument)] for argument in row)})" for row in given]
        # Bound in the setup, which makes them local variables.
        setup = ["f = function"] + [f"{name} = distinct[{number}]"
                                    for number, name in enumerate(names.values())]
        runner.timeit(name, lines, setup, inner_loops=len(given),
                      globals={"function": function, "distinct": distinct})

    def loop(name, function, connection=connection):
        runner.bench_time_func(
            name, lambda loops: function(MANY * loops, context, connection, SID_CTX),
            inner_loops=MANY)

    call(EMPTY, call_cython.empty, context, SID_CTX)
    loop(OPENSSL_CTX, call_c.openssl_ctx)
    call(CONTEXT, pysidctx.set_session_id_context, context, SID_CTX)
    calls(CONTEXTS, pysidctx.set_session_id_context,
          [(one, SID_CTX) for one in contexts])
    loop(OPENSSL_SSL, call_c.openssl_ssl)
    loop(ATTRIBUTE_OBJECT, call_cython.attribute)
    loop(ATTRIBUTE_SOCKET, call_cython.attribute, wrapped)
    call(OBJECT, pysidctx.set_session_id_context, connection, SID_CTX)
    call(SOCKET, pysidctx.set_session_id_context, wrapped, SID_CTX)
    loop(OPENSSL_CTX_ALL, call_c.openssl_ctx_all)
    loop(HEADER_CTX, call_c.header_ctx)
    loop(CIMPORT_CTX, call_cython.cimport_ctx)
    loop(OPENSSL_SSL_ALL, call_c.openssl_ssl_all)
    loop(HEADER_SSL, call_c.header_ssl)
    loop(CIMPORT_SSL, call_cython.cimport_ssl)
    # The others are given what they need once, outside of what is timed.
    call(PYOPENSSL, OpenSSL.SSL.Context(OpenSSL.SSL.TLS_METHOD).set_session_id, SID_CTX)
    foreign = ctypes.CDLL(_ssl.__file__).SSL_CTX_set_session_id_context
    foreign.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint]
    call(CTYPES, foreign, pointer_of(context), SID_CTX, len(SID_CTX))
    call(CFFI, cffi.lib.SSL_CTX_set_session_id_context,
         cffi.ffi.cast("SSL_CTX *", pointer_of(context)), SID_CTX, len(SID_CTX))
    right.close()
    wrapped.close()


if __name__ == "__main__":
    main()
