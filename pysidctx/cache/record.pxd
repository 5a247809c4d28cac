from libc.stdint cimport uint16_t, uint64_t

from pysidctx.libssl cimport SSL, SSL_SESSION
from pysidctx.tickets.times cimport Times

cdef enum:
    MOST_RECORD = 272  # bytes

# A part of a record.
cdef struct Field:
    const unsigned char *data  # NULL if there is none
    size_t length

# The parts of a record, of which none is copied.
cdef struct Record:
    const unsigned char *template_key  # TEMPLATE_KEY_LENGTH (32) bytes
    const unsigned char *cipher        # its id, 2 bytes
    uint64_t time, end, max_early_data
    Times times
    uint16_t version
    Field master_key, id_context, hostname, alpn

cdef size_t write_record(SSL_SESSION *session, const unsigned char *template_key, const Times *times,
                         uint64_t end, unsigned char *out) noexcept nogil
cdef bint read_record(const unsigned char *data, size_t length, Record *record) noexcept nogil
cdef bint apply_record(SSL *ssl, SSL_SESSION *copy, const unsigned char *id, const Record *record) noexcept nogil
