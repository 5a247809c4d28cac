"""The cost of one call: a pyperf script, which `benchmarks.calls.call` runs once for each round."""

import socket
import ssl
from collections.abc import Callable
from typing import Union

import pyperf

import pysidctx
from benchmarks import native
from benchmarks.calls.timing import MANY, SID_CTX, call, calls

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

Connection = Union[ssl.SSLObject, ssl.SSLSocket]


def main() -> None:
    runner = pyperf.Runner(program_args=("-m", "benchmarks.calls.call_worker"))
    call_c, call_cython = map(native.load, ("call_c", "call_cython"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    maker = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    contexts = [ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) for _ in range(MANY)]
    connection = maker.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)
    left, right = socket.socketpair()
    wrapped = maker.wrap_socket(left, server_side=True, do_handshake_on_connect=False)
    targets: list[Union[ssl.SSLContext, Connection]] = [context, connection, wrapped, *contexts]
    for target in targets:
        pysidctx.set_session_id_context(target, SID_CTX)

    def loop(name: str, function: Callable[[int, ssl.SSLContext, Connection, bytes], float],
             connection: Connection = connection) -> None:
        runner.bench_time_func(
            name, lambda loops: function(MANY * loops, context, connection, SID_CTX),
            inner_loops=MANY)

    call(runner, EMPTY, call_cython.empty, context, SID_CTX)
    loop(OPENSSL_CTX, call_c.openssl_ctx)
    call(runner, CONTEXT, pysidctx.set_session_id_context, context, SID_CTX)
    calls(runner, CONTEXTS, pysidctx.set_session_id_context,
          [(one, SID_CTX) for one in contexts])
    loop(OPENSSL_SSL, call_c.openssl_ssl)
    loop(ATTRIBUTE_OBJECT, call_cython.attribute)
    loop(ATTRIBUTE_SOCKET, call_cython.attribute, wrapped)
    call(runner, OBJECT, pysidctx.set_session_id_context, connection, SID_CTX)
    call(runner, SOCKET, pysidctx.set_session_id_context, wrapped, SID_CTX)
    loop(OPENSSL_CTX_ALL, call_c.openssl_ctx_all)
    loop(HEADER_CTX, call_c.header_ctx)
    loop(CIMPORT_CTX, call_cython.cimport_ctx)
    loop(OPENSSL_SSL_ALL, call_c.openssl_ssl_all)
    loop(HEADER_SSL, call_c.header_ssl)
    loop(CIMPORT_SSL, call_cython.cimport_ssl)
    right.close()
    wrapped.close()


if __name__ == "__main__":
    main()
