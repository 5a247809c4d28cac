"""Parse a ClientHello: which host it names, and whether its client supports TLS 1.3.

Only the ClientHello callback may call these functions: OpenSSL holds the bytes only while it runs, and has
not validated them yet.
"""

from libc.string cimport memchr

from pysidctx.handshake.host_names cimport lowered, without_last_dot
from pysidctx.libssl cimport (
    SSL, SSL_client_hello_get0_ext, TLS1_3_VERSION, TLSEXT_MAXLEN_host_name,
    TLSEXT_NAMETYPE_host_name, TLSEXT_TYPE_server_name, TLSEXT_TYPE_supported_versions,
)

cdef struct ServerName:
    bint malformed
    bint valid      # whether `text` is a valid host name; False if none was sent
    size_t length   # 0 if none was sent
    unsigned char text[TLSEXT_MAXLEN_host_name]  # in lower case, without a trailing dot

cdef inline size_t two_bytes(const unsigned char *data) noexcept nogil:
    return <size_t> data[0] << 8 | data[1]

cdef inline void read_server_name(SSL *ssl, ServerName *name) noexcept nogil:
    """Read the host name: RFC 6066, section 3. Like OpenSSL, accept exactly one name, of the type host_name.

    The name has 1 to TLSEXT_MAXLEN_host_name (255) bytes and no null byte; otherwise it is malformed.
    """
    cdef const unsigned char *data
    cdef size_t size
    name.malformed = name.valid = False
    name.length = 0
    if not SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &data, &size):
        return
    if (size < 6 or two_bytes(data) != size - 2 or data[2] != TLSEXT_NAMETYPE_host_name
            or two_bytes(data + 3) != size - 5 or size - 5 > TLSEXT_MAXLEN_host_name
            or memchr(data + 5, 0, size - 5) is not NULL):
        name.malformed = True
        return
    name.length = without_last_dot(data + 5, size - 5)
    name.valid = lowered(name.text, data + 5, name.length)

cdef inline bint name_as_sent(SSL *ssl, const unsigned char **name, size_t *length) noexcept nogil:
    """Find the bytes of the host name, or the whole extension if it is not in the right form. False: there is none."""
    cdef const unsigned char *data
    cdef size_t size
    name[0] = NULL
    length[0] = 0
    if not SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &data, &size):
        return False
    name[0] = data
    length[0] = size
    if size >= 6 and data[2] == TLSEXT_NAMETYPE_host_name and two_bytes(data + 3) == size - 5:
        name[0] += 5
        length[0] -= 5
    return True

cdef inline bint offers_tls13(SSL *ssl) noexcept nogil:
    """Whether the client offers TLS 1.3: RFC 8446, section 4.2.1."""
    cdef const unsigned char *data
    cdef size_t size, i = 1
    if not SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_supported_versions, &data, &size):
        return False
    while i + 1 < size:
        if two_bytes(data + i) == TLS1_3_VERSION:
            return True
        i += 2
    return False
