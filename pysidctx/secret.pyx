"""The secret that keys derive from, while they are derived: random bytes, or those that a caller passes."""

cimport cython

from pysidctx import arguments

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer

from pysidctx.binding cimport bind_openssl
from pysidctx.errors cimport check
from pysidctx.libssl cimport OPENSSL_cleanse, RAND_bytes

bind_openssl()


@cython.final
cdef class Secret:

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        self.data = NULL
        self.length = 0
        OPENSSL_cleanse(self.made, sizeof(self.made))
        PyBuffer_Release(&self.view)  # does nothing where there is none


cdef Secret random_secret():
    """Return a new secret. Raises `pysidctx.Error` if OpenSSL has no random numbers."""
    cdef Secret secret = Secret()
    check(RAND_bytes(secret.made, RANDOM_SECRET), b"RAND_bytes()")
    secret.data, secret.length = secret.made, RANDOM_SECRET
    return secret


cdef Secret secret_in(object given):
    """Return the secret in a caller's bytes-like object. Raises TypeError, ValueError."""
    cdef Secret secret = Secret()
    try:
        PyObject_GetBuffer(given, &secret.view, PyBUF_SIMPLE)
    except (BufferError, TypeError):
        raise TypeError(f"the secret must be a contiguous bytes-like object, not {type(given).__name__}") from None
    try:
        arguments.check_secret(secret.view.len, "the secret")
    except BaseException:
        PyBuffer_Release(&secret.view)
        raise
    secret.data, secret.length = <const unsigned char *> secret.view.buf, secret.view.len
    return secret
