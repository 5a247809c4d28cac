"""From OpenSSL's objects to DER."""

from pysidctx.errors cimport check, check_pointer
from pysidctx.libssl cimport OPENSSL_clear_free, i2d_of_void

cdef inline bytes der_of(i2d_of_void *i2d, const void *value, const char *call):
    """What one of OpenSSL's i2d functions, named `call`, makes of `value`. Its own copy is wiped; Error."""
    cdef unsigned char *made = NULL
    cdef int length = check(i2d(value, &made), call)
    try:
        return (<unsigned char *> check_pointer(made, call))[:length]
    finally:
        OPENSSL_clear_free(made, length)
