from pysidctx.libssl cimport SSL_SESSION

cdef enum:
    TEMPLATE_KEY_LENGTH = 32  # bytes: a SHA-256 digest
    PEER_LENGTH = 32          # bytes: the SHA-256 digest of a certificate in DER, or zeros
    MOST_TEMPLATE = 65536     # bytes of DER

cdef bint describe_peer(SSL_SESSION *session, unsigned char *key, unsigned char **der, size_t *length) noexcept nogil

# Decoded templates of one process. Any thread may call any of these functions at any time, but free_templates().
cdef struct Templates
cdef Templates *new_templates(size_t peers) except NULL
cdef void free_templates(Templates *templates) noexcept nogil
cdef SSL_SESSION *duplicate_template(Templates *templates, const unsigned char *key,
                                     unsigned char *peer) noexcept nogil
cdef bint add_template(Templates *templates, const unsigned char *key, const unsigned char *der,
                       size_t length) noexcept nogil
cdef void drop_templates(Templates *templates) noexcept nogil
