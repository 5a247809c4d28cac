"""The two times that a ticket carries: when its full handshake was, and when its client's certificates expire."""

from libc.stdint cimport uint64_t

from pysidctx.libssl cimport SSL_SESSION, SSL_SESSION_get0_ticket_appdata, SSL_SESSION_set1_ticket_appdata

# Unix times, in seconds.
cdef struct Times:
    uint64_t full   # the full handshake
    uint64_t until  # the first second in which the client's certificates are not valid; UINT64_MAX if they always are

cdef enum:
    # The ticket's application data is this number in one byte, then each time as a big-endian integer of 8 bytes.
    APPDATA_FORMAT = 2
    APPDATA_LENGTH = 17

cdef inline void write_number(unsigned char *data, uint64_t number) noexcept nogil:
    """Write a number as a big-endian integer of 8 bytes."""
    cdef int i
    for i in range(8):
        data[i] = <unsigned char> (number >> (56 - 8 * i))

cdef inline uint64_t read_number(const unsigned char *data) noexcept nogil:
    cdef uint64_t number = 0
    cdef int i
    for i in range(8):
        number = number << 8 | data[i]
    return number

cdef inline bint set_times(SSL_SESSION *session, const Times *times) noexcept nogil:
    cdef unsigned char data[APPDATA_LENGTH]
    data[0] = APPDATA_FORMAT
    write_number(data + 1, times.full)
    write_number(data + 9, times.until)
    return SSL_SESSION_set1_ticket_appdata(session, data, sizeof(data))

cdef inline bint read_times(SSL_SESSION *session, Times *times) noexcept nogil:
    """Read the times that `session` carries. Returns False if it carries none."""
    cdef void *found
    cdef const unsigned char *data
    cdef size_t length
    if not SSL_SESSION_get0_ticket_appdata(session, &found, &length):
        return False
    data = <const unsigned char *> found
    if length != APPDATA_LENGTH or data[0] != APPDATA_FORMAT:
        return False
    times.full = read_number(data + 1)
    times.until = read_number(data + 9)
    return True
