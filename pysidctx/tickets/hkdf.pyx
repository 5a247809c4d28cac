"""HKDF with SHA-256 (RFC 5869), as OpenSSL computes it."""

from pysidctx.errors cimport check, check_pointer
from pysidctx.libssl cimport (
    EVP_MD, EVP_PKEY_CTX, EVP_PKEY_CTX_add1_hkdf_info, EVP_PKEY_CTX_free, EVP_PKEY_CTX_new_id,
    EVP_PKEY_CTX_set1_hkdf_key, EVP_PKEY_CTX_set1_hkdf_salt, EVP_PKEY_CTX_set_hkdf_md, EVP_PKEY_derive,
    EVP_PKEY_derive_init, EVP_PKEY_HKDF,
)
from pysidctx.openssl_compat cimport fetched_sha256

cdef EVP_MD *sha256 = <EVP_MD *> check_pointer(fetched_sha256(), b"EVP_MD_fetch()")


cdef int derive_key(unsigned char *out, size_t length, const unsigned char *secret,
                    int secret_length, const unsigned char *salt, int salt_length,
                    const unsigned char *info, int info_length) noexcept nogil:
    """Fill `out`; 0 or less where OpenSSL fails, whose error queue then says why.

    `secret` has at least one byte; `salt` and `info` may have none.
    """
    cdef size_t derived = length
    cdef EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL)
    cdef int result = ctx is not NULL
    if result > 0:
        result = EVP_PKEY_derive_init(ctx)
    if result > 0:
        result = EVP_PKEY_CTX_set_hkdf_md(ctx, sha256)
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


def hkdf_sha256(const unsigned char[::1] secret not None, const unsigned char[::1] salt not None,
                const unsigned char[::1] info not None, size_t length):
    """Return `length` bytes of keying material (RFC 5869, sections 2.2 and 2.3), for known answers."""
    out = bytearray(length)
    cdef unsigned char[::1] view = out
    check(derive_key(&view[0], length, &secret[0], <int> secret.shape[0],
                     &salt[0] if salt.shape[0] else NULL, <int> salt.shape[0],
                     &info[0] if info.shape[0] else NULL, <int> info.shape[0]), b"EVP_PKEY_derive()")
    return bytes(out)
