"""HKDF with SHA-256 (RFC 5869), as OpenSSL computes it."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize

from pysidctx.binding cimport bind_openssl
from pysidctx.errors cimport check
from pysidctx.id_contexts.derivation cimport sha256_md
from pysidctx.libssl cimport (
    EVP_PKEY_CTX, EVP_PKEY_CTX_free, EVP_PKEY_CTX_new_id, EVP_PKEY_derive, EVP_PKEY_derive_init, EVP_PKEY_HKDF,
)
from pysidctx.openssl_compat cimport (
    EVP_PKEY_CTX_add1_hkdf_info, EVP_PKEY_CTX_set1_hkdf_key, EVP_PKEY_CTX_set1_hkdf_salt, EVP_PKEY_CTX_set_hkdf_md,
)

bind_openssl()


cdef int derive_key(unsigned char *out, size_t length, const unsigned char *secret,
                    int secret_length, const unsigned char *salt, int salt_length,
                    const unsigned char *info, int info_length) noexcept nogil:
    """Fill `out` with `length` bytes. Returns 0 or less if OpenSSL fails; its error queue then holds the reason.

    `secret` has at least one byte; `salt` and `info` may be empty.
    """
    cdef size_t derived = length
    cdef EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL)
    cdef int result = ctx is not NULL
    if result > 0:
        result = EVP_PKEY_derive_init(ctx)
    if result > 0:
        result = EVP_PKEY_CTX_set_hkdf_md(ctx, sha256_md)
    if result > 0 and salt_length:
        result = EVP_PKEY_CTX_set1_hkdf_salt(ctx, <unsigned char *> salt, salt_length)
    if result > 0:
        result = EVP_PKEY_CTX_set1_hkdf_key(ctx, <unsigned char *> secret, secret_length)
    if result > 0 and info_length:
        result = EVP_PKEY_CTX_add1_hkdf_info(ctx, <unsigned char *> info, info_length)
    if result > 0:
        result = EVP_PKEY_derive(ctx, out, &derived)
    EVP_PKEY_CTX_free(ctx)
    return result


def hkdf_sha256(bytes secret not None, bytes salt not None, bytes info not None, size_t length):
    """Return `length` bytes of keying material (RFC 5869, sections 2.2 and 2.3), for known-answer tests."""
    cdef bytes out = PyBytes_FromStringAndSize(NULL, length)
    check(derive_key(<unsigned char *> PyBytes_AS_STRING(out), length,
                     <const unsigned char *> PyBytes_AS_STRING(secret), <int> len(secret),
                     <const unsigned char *> PyBytes_AS_STRING(salt), <int> len(salt),
                     <const unsigned char *> PyBytes_AS_STRING(info), <int> len(info)), b"EVP_PKEY_derive()")
    return out
