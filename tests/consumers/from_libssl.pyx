# distutils: libraries = ssl crypto
"""An extension module in Cython that calls OpenSSL itself, by way of `cimport pysidctx.libssl`."""

cimport pysidctx
from pysidctx.libssl cimport SSL_CTX, SSL_CTX_get_timeout, SSL_CTX_set_timeout


def timeout_of(context, long timeout):
    """The former one, and that which is then set."""
    cdef SSL_CTX *ctx = pysidctx.SSL_CTX_from(context)
    return SSL_CTX_set_timeout(ctx, timeout), SSL_CTX_get_timeout(ctx)
