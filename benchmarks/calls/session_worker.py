"""The cost of writing and reading a session: a pyperf script that `benchmarks.calls.session` runs."""

import ssl
from collections.abc import Callable

import pyperf
import trustme

import pysidctx
from benchmarks import native

CLIENT = "of a client, with a certificate"
SERVER = "of a server, without one"
I2D = "i2d_SSL_SESSION()"
TO_DER = "to_der()"
D2I = "d2i_SSL_SESSION()"
FROM_DER = "from_der()"
TO_PEM = "to_pem()"
FROM_PEM = "from_pem()"

# How many calls one loop iteration makes, so that the cost of the loop is negligible.
MANY = 10


def name(call: str, kind: str) -> str:
    return f"{call}, {kind}"


def sessions() -> dict[str, pysidctx.Session]:
    """The server's and the client's session of one TLS 1.3 connection."""
    ca = trustme.CA(key_type=trustme.KeyType.ECDSA)
    server_ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("a.test", key_type=trustme.KeyType.ECDSA).configure_cert(server_ctx)
    client_ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ca.configure_trust(client_ctx)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_ctx.wrap_bio(to_server, to_client, server_side=True)
    client = client_ctx.wrap_bio(to_client, to_server, server_hostname="a.test")
    for step in (client.do_handshake, server.do_handshake, client.do_handshake,
                 server.do_handshake, client.read):
        try:
            step()
        except ssl.SSLWantReadError:
            pass
    return {CLIENT: pysidctx.Session.of(client), SERVER: pysidctx.Session.of(server)}


def main() -> None:
    runner = pyperf.Runner(program_args=("-m", "benchmarks.calls.session_worker"))
    bare = native.load("session_c")

    def loop(title: str, function: Callable[[int, bytes], float], der: bytes) -> None:
        runner.bench_time_func(title, lambda loops: function(MANY * loops, der), inner_loops=MANY)

    def call(title: str, statement: str, **names: object) -> None:
        runner.timeit(title, [statement] * MANY, inner_loops=MANY, globals=names)

    for kind, session in sessions().items():
        der, pem, sid_ctx = session.to_der(), session.to_pem(), session.id_context
        loop(name(I2D, kind), bare.i2d, der)
        call(name(TO_DER, kind), "f()", f=session.to_der)
        loop(name(D2I, kind), bare.d2i, der)
        call(name(FROM_DER, kind), "f(data, id_context=sid_ctx)", f=pysidctx.Session.from_der,
             data=der, sid_ctx=sid_ctx)
        call(name(TO_PEM, kind), "f()", f=session.to_pem)
        call(name(FROM_PEM, kind), "f(data, id_context=sid_ctx)", f=pysidctx.Session.from_pem,
             data=pem, sid_ctx=sid_ctx)


if __name__ == "__main__":
    main()
