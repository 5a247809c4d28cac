"""Eight characters that derive from a secret, by which two machines are compared without showing it."""

from pysidctx.log import log

from pysidctx.errors cimport check
from pysidctx.tickets.hkdf cimport derive_key

cdef const char *SALT = b"pysidctx secret fingerprint 1"

cdef enum:
    SALT_LENGTH = 29


cdef int derive_fingerprint(unsigned char *out, const unsigned char *secret, size_t length) noexcept nogil:
    """Fill FINGERPRINT_LENGTH (4) bytes, whatever the secret is for. Returns 0 or less if OpenSSL fails."""
    return derive_key(out, FINGERPRINT_LENGTH, secret, <int> length, <const unsigned char *> SALT, SALT_LENGTH, NULL, 0)


cdef str fingerprint_text(const unsigned char *fingerprint):
    return fingerprint[:FINGERPRINT_LENGTH].hex()


cdef str secret_fingerprint(const unsigned char *secret, size_t length):
    """Return the fingerprint of a secret. Raises `pysidctx.Error`."""
    cdef unsigned char derived[FINGERPRINT_LENGTH]
    check(derive_fingerprint(derived, secret, length), b"EVP_PKEY_derive()")
    return fingerprint_text(derived)


cdef int log_loaded(str purpose, object path, str fingerprint) except -1:
    """Log that a secret was loaded: from the file `path`, or from the program if it is None."""
    log.info("secret loaded for %s from %s: its fingerprint is %s", purpose,
             "the program" if path is None else repr(path), fingerprint)
    return 0
