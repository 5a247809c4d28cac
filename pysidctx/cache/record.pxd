from libc.stdint cimport uint64_t

from pysidctx.libssl cimport SSL, SSL_SESSION
from pysidctx.tickets.times cimport Times

cdef enum:
    MOST_RECORD = 272  # bytes

cdef size_t write_record(SSL_SESSION *session, const unsigned char *template_key, const Times *times,
                         uint64_t end, unsigned char *out) noexcept nogil

cdef const unsigned char *template_of(const unsigned char *record, size_t length) noexcept nogil
cdef bint read_record_times(const unsigned char *record, size_t length, Times *times) noexcept nogil
cdef bint apply_record(SSL *ssl, SSL_SESSION *copy, const unsigned char *id, const unsigned char *record,
                       size_t length) noexcept nogil
