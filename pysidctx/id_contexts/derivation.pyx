"""Deriving session id contexts from what they stand for: in Python, and the same without the GIL."""

from hashlib import sha256

from libc.string cimport memcpy, memset

from pysidctx.errors cimport check_pointer
from pysidctx.handles cimport is_context
from pysidctx.libssl cimport EVP_Digest, EVP_MD
from pysidctx.openssl_compat cimport fetched_sha256

cdef EVP_MD *sha256_md = <EVP_MD *> check_pointer(fetched_sha256(), b"EVP_MD_fetch()")


def derive_session_id_context(*parts):
    """Return a session id context of 32 bytes for what `parts` name, such as ("shop", host).

    Equal parts give equal id contexts, in every process and release: it is the SHA-256 of the
    parts one after the other, each preceded by its length in bytes as a big-endian number of 8
    bytes; a `str` counts as its UTF-8 encoding. So ("ab", "c") and ("a", "bc") differ.

    It is no secret, and takes none: whoever can guess the parts can compute it.

    parts
        One or more `str` or bytes-like objects.

    Raises TypeError for a part of another type and for no parts at all, and UnicodeEncodeError
    (a ValueError) for a `str` with lone surrogates. Safe in any thread.
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
    """What derive_session_id_context() makes of these parts; False where OpenSSL fails.

    At most PARTS_MAX of them, each of at most PART_MAX bytes. `sid_ctx` may be among them.
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
