"""The cost of one call with each library: a pyperf script, which `benchmarks.calls.peers` runs once for each round."""

import _ssl
import ctypes
import ssl

import OpenSSL.SSL
import pyperf

import pysidctx
from benchmarks import native
from benchmarks.calls.timing import SID_CTX, call, pointer_of

try:
    import M2Crypto.SSL as m2crypto
except ImportError:  # also where it was built for another OpenSSL
    m2crypto = None

HAS_M2CRYPTO = m2crypto is not None

CONTEXT = "pysidctx, SSLContext"
CONNECTION = "pysidctx, SSLObject"
PYOPENSSL = "pyOpenSSL, Context.set_session_id()"
M2CRYPTO = "M2Crypto, Context.set_session_id_ctx()"
M2CRYPTO_CONNECTION = "M2Crypto, Connection.set_session_id_ctx()"
CTYPES = "ctypes, SSL_CTX_set_session_id_context()"
CTYPES_CONNECTION = "ctypes, SSL_set_session_id_context()"
CFFI = "cffi, SSL_CTX_set_session_id_context()"


def main() -> None:
    runner = pyperf.Runner(program_args=("-m", "benchmarks.calls.peers_worker"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    connection = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)
    for name, target in ((CONTEXT, context), (CONNECTION, connection)):
        call(runner, name, pysidctx.set_session_id_context, target, SID_CTX)
    # The others are given what they need once, outside of what is timed.
    call(runner, PYOPENSSL, OpenSSL.SSL.Context(OpenSSL.SSL.TLS_METHOD).set_session_id, SID_CTX)
    library = ctypes.CDLL(_ssl.__file__)
    for name, function, pointer in (
        (CTYPES, library.SSL_CTX_set_session_id_context, pointer_of(context)),
        (CTYPES_CONNECTION, library.SSL_set_session_id_context, pointer_of(connection)),
    ):
        function.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint]
        call(runner, name, function, pointer, SID_CTX, len(SID_CTX))
    cffi = native.load("call_cffi")
    call(runner, CFFI, cffi.lib.SSL_CTX_set_session_id_context,
         cffi.ffi.cast("SSL_CTX *", pointer_of(context)), SID_CTX, len(SID_CTX))
    if HAS_M2CRYPTO:
        theirs = m2crypto.Context("tls")
        call(runner, M2CRYPTO, theirs.set_session_id_ctx, SID_CTX)
        call(runner, M2CRYPTO_CONNECTION, m2crypto.Connection(theirs).set_session_id_ctx, SID_CTX)


if __name__ == "__main__":
    main()
