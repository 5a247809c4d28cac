"""Derive session id contexts from the names of applications and hosts, in Python and, equally, without the GIL."""

from hashlib import sha256

from libc.string cimport memcpy, memset

from pysidctx.binding cimport bind_openssl
from pysidctx.errors cimport check_pointer
from pysidctx.handles cimport is_context
from pysidctx.libssl cimport EVP_Digest, EVP_MD
from pysidctx.openssl_compat cimport fetched_sha256

bind_openssl()

sha256_md = <EVP_MD *> check_pointer(fetched_sha256(), b"EVP_MD_fetch()")


def derive_session_id_context(*parts):
    """Derive a session id context of 32 bytes from `parts`, such as ("shop", host).

    Equal parts give equal id contexts in every process and release. The result is the SHA-256 digest of
    all parts in order, each preceded by its length in bytes as a big-endian integer of 8 bytes. A `str`
    is encoded in UTF-8. The lengths make ("ab", "c") and ("a", "bc") differ.

    The result is not secret, and the parts must not contain secrets: anyone who can guess the parts can
    compute it.

    parts
        One or more `str` or bytes-like objects, of any length.

    Raises TypeError if there are no parts or a part has another type, and UnicodeEncodeError (a
    ValueError) if a `str` contains lone surrogates. Safe in any thread. See
    SSL_CTX_set_session_id_context(3).
    """
    if not parts:
        raise TypeError("derive_session_id_context() needs at least one part: pass a name for the application "
                        "whose sessions these are")
    digest = sha256()
    for part in parts:
        encoded = encoded_part(part)
        digest.update(len(encoded).to_bytes(8, "big"))
        digest.update(encoded)
    return digest.digest()


cdef bytes encoded_part(object part):
    if isinstance(part, str):
        return part.encode()
    try:
        return memoryview(part).tobytes()
    except TypeError:
        hint = ": pass its context_fingerprint()" if is_context(part) else ""
        raise TypeError("the parts of a session id context must be str or bytes-like, not "
                        f"{type(part).__name__}{hint}") from None


cdef bint derive_id_context(unsigned char *sid_ctx, const Part *parts, int count) noexcept nogil:
    """Like derive_session_id_context(), but without the GIL. Returns False if OpenSSL fails.

    Accepts at most PARTS_MAX parts of at most PART_MAX bytes each. `sid_ctx` may also be one of the parts.
    """
    cdef unsigned char text[PARTS_MAX * (8 + PART_MAX)]
    cdef size_t length = 0
    cdef int i
    for i in range(count):
        memset(text + length, 0, 7)
        text[length + 7] = <unsigned char> parts[i].length
        memcpy(text + length + 8, parts[i].data, parts[i].length)
        length += 8 + parts[i].length
    return EVP_Digest(text, length, sid_ctx, NULL, sha256_md, NULL)
