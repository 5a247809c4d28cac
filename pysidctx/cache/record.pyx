"""Records: what a stored session has of its own, its secret included, beside the template that it shares with others.

A record contains a session's secret. Callers wipe the buffers that hold one.
"""

from libc.stdint cimport INT32_MAX, uint16_t, uint32_t
from libc.string cimport memchr, memcpy, strlen
from libc.time cimport time_t

from pysidctx.binding cimport bind_openssl
from pysidctx.cache.templates cimport TEMPLATE_KEY_LENGTH
from pysidctx.libssl cimport (
    SSL_CIPHER, SSL_CIPHER_find, SSL_CIPHER_get_protocol_id, SSL_MAX_MASTER_KEY_LENGTH,
    SSL_MAX_SID_CTX_LENGTH, SSL_MAX_SSL_SESSION_ID_LENGTH, SSL_SESSION_get0_alpn_selected, SSL_SESSION_get0_cipher,
    SSL_SESSION_get0_hostname, SSL_SESSION_get0_id_context, SSL_SESSION_get0_ticket_appdata,
    SSL_SESSION_get_master_key, SSL_SESSION_get_max_early_data, SSL_SESSION_get_protocol_version,
    SSL_SESSION_set1_alpn_selected, SSL_SESSION_set1_hostname, SSL_SESSION_set1_id, SSL_SESSION_set1_id_context,
    SSL_SESSION_set1_master_key, SSL_SESSION_set_cipher, SSL_SESSION_set_max_early_data,
    SSL_SESSION_set_protocol_version, SSL_SESSION_set_timeout,
)
from pysidctx.openssl_compat cimport SSL_SESSION_get_time, SSL_SESSION_set_time
from pysidctx.tickets.times cimport read_number, read_times, set_times, write_number

bind_openssl()

cdef enum:
    # A record begins with this number in one byte, the template key, and seven numbers, big-endian: the session's
    # time, its end, its two Times, max_early_data (8 bytes each), the protocol version, and the cipher's id (2 each).
    FORMAT = 1
    NUMBERS = 1 + TEMPLATE_KEY_LENGTH
    VERSION = NUMBERS + 5 * 8
    CIPHER = VERSION + 2
    # Then follow four fields: the master key, the id context, the host name and the ALPN protocol. Each is a byte
    # with its length, or with NONE, and its bytes.
    FIELDS = CIPHER + 2
    NONE = 255
    # The first byte of each protocol version.
    TLS = 0x03
    DTLS = 0xFE


cdef size_t write_record(SSL_SESSION *session, const unsigned char *template_key, const Times *times,
                         uint64_t end, unsigned char *out) noexcept nogil:
    """Write the record of `session` into the MOST_RECORD bytes of `out`, and return its length.

    `times` are those of the session's full handshake, and `end` is the Unix time in seconds from which it cannot be
    resumed. Returns 0, and writes nothing, if the record would be too long, if the session has no cipher or no
    secret, or if its application data is not that of set_times().
    """
    cdef const SSL_CIPHER *cipher = SSL_SESSION_get0_cipher(session)
    cdef Record record
    cdef unsigned int id_context_length = 0
    cdef unsigned char *at
    if cipher is NULL or has_foreign_appdata(session):
        return 0
    record.master_key.length = SSL_SESSION_get_master_key(session, NULL, 0)
    record.id_context.data = SSL_SESSION_get0_id_context(session, &id_context_length)
    record.id_context.length = id_context_length
    record.hostname.data = <const unsigned char *> SSL_SESSION_get0_hostname(session)
    record.hostname.length = strlen(<const char *> record.hostname.data) if record.hostname.data is not NULL else 0
    SSL_SESSION_get0_alpn_selected(session, &record.alpn.data, &record.alpn.length)
    if (not 1 <= record.master_key.length <= SSL_MAX_MASTER_KEY_LENGTH
            or FIELDS + 4 + record.master_key.length + record.id_context.length + record.hostname.length
            + record.alpn.length > MOST_RECORD):
        return 0
    out[0] = FORMAT
    memcpy(out + 1, template_key, TEMPLATE_KEY_LENGTH)
    write_number(out + NUMBERS, <uint64_t> SSL_SESSION_get_time(session))
    write_number(out + NUMBERS + 8, end)
    write_number(out + NUMBERS + 16, times.full)
    write_number(out + NUMBERS + 24, times.until)
    write_number(out + NUMBERS + 32, SSL_SESSION_get_max_early_data(session))
    write_short(out + VERSION, <uint16_t> SSL_SESSION_get_protocol_version(session))
    write_short(out + CIPHER, SSL_CIPHER_get_protocol_id(cipher))
    out[FIELDS] = <unsigned char> record.master_key.length
    at = out + FIELDS + 1
    at += SSL_SESSION_get_master_key(session, at, record.master_key.length)
    at = write_field(at, &record.id_context)
    at = write_field(at, &record.hostname)
    at = write_field(at, &record.alpn)
    return at - out


cdef bint has_foreign_appdata(SSL_SESSION *session) noexcept nogil:
    cdef void *data
    cdef size_t length
    cdef Times times
    return (SSL_SESSION_get0_ticket_appdata(session, &data, &length) and length > 0
            and not read_times(session, &times))


cdef void write_short(unsigned char *out, uint16_t number) noexcept nogil:
    out[0] = <unsigned char> (number >> 8)
    out[1] = <unsigned char> number


cdef unsigned char *write_field(unsigned char *out, const Field *field) noexcept nogil:
    """Write a field, and return where the next one begins."""
    if field.data is NULL:
        out[0] = NONE
        return out + 1
    out[0] = <unsigned char> field.length
    memcpy(out + 1, field.data, field.length)
    return out + 1 + field.length


cdef bint read_record(const unsigned char *data, size_t length, Record *record) noexcept nogil:
    """Find the parts of a record, which `record` points to. Returns False if it is malformed."""
    cdef const unsigned char *at
    cdef const unsigned char *end = data + length
    if length < FIELDS or length > MOST_RECORD or data[0] != FORMAT:
        return False
    record.template_key = data + 1
    record.cipher = data + CIPHER
    record.time = read_number(data + NUMBERS)
    record.end = read_number(data + NUMBERS + 8)
    record.times.full = read_number(data + NUMBERS + 16)
    record.times.until = read_number(data + NUMBERS + 24)
    record.max_early_data = read_number(data + NUMBERS + 32)
    record.version = <uint16_t> (data[VERSION] << 8 | data[VERSION + 1])
    at = read_field(data + FIELDS, end, &record.master_key)
    at = read_field(at, end, &record.id_context)
    at = read_field(at, end, &record.hostname)
    at = read_field(at, end, &record.alpn)
    return (at == end and (record.version >> 8 == TLS or record.version >> 8 == DTLS)
            and record.max_early_data <= <uint32_t> -1
            and 1 <= record.master_key.length <= SSL_MAX_MASTER_KEY_LENGTH
            and record.id_context.data is not NULL and record.id_context.length <= SSL_MAX_SID_CTX_LENGTH
            and (record.hostname.length == 0 or memchr(record.hostname.data, 0, record.hostname.length) is NULL))


cdef const unsigned char *read_field(const unsigned char *at, const unsigned char *end, Field *field) noexcept nogil:
    """Read a field, and return where the next one begins: NULL if there is none at `at`, or that is NULL."""
    field.data = NULL
    field.length = 0
    if at is NULL or at == end:
        return NULL
    if at[0] == NONE:
        return at + 1
    if end - at - 1 < at[0]:
        return NULL
    field.data = at + 1
    field.length = at[0]
    return at + 1 + at[0]


cdef bint apply_record(SSL *ssl, SSL_SESSION *copy, const unsigned char *id, const Record *record) noexcept nogil:
    """Turn `copy`, a duplicate of the record's template, into the session with an id of 32 bytes.

    `ssl` is the connection that is to resume it, or any other. Returns False if this OpenSSL does not know the cipher,
    or fails: errors may then be left in its queue, and `copy` is of no use.
    """
    cdef const SSL_CIPHER *cipher = SSL_CIPHER_find(ssl, record.cipher)
    SSL_SESSION_set_time(copy, <time_t> record.time)  # returns what was set
    return (cipher is not NULL
            and SSL_SESSION_set_cipher(copy, cipher)
            and SSL_SESSION_set_protocol_version(copy, record.version)
            and SSL_SESSION_set1_id(copy, id, SSL_MAX_SSL_SESSION_ID_LENGTH)
            and SSL_SESSION_set1_master_key(copy, record.master_key.data, record.master_key.length)
            and SSL_SESSION_set1_id_context(copy, record.id_context.data, <unsigned int> record.id_context.length)
            and set_hostname(copy, &record.hostname)
            and SSL_SESSION_set1_alpn_selected(copy, record.alpn.data, record.alpn.length)
            and SSL_SESSION_set_max_early_data(copy, <uint32_t> record.max_early_data)
            and set_times(copy, &record.times)
            and SSL_SESSION_set_timeout(copy, timeout_of(record)))


cdef bint set_hostname(SSL_SESSION *session, const Field *hostname) noexcept nogil:
    cdef char name[MOST_RECORD]
    if hostname.data is NULL:
        return SSL_SESSION_set1_hostname(session, NULL)
    memcpy(name, hostname.data, hostname.length)
    name[hostname.length] = 0
    return SSL_SESSION_set1_hostname(session, name)


cdef long timeout_of(const Record *record) noexcept nogil:
    """The seconds from the session's time to its end: at least 1, as OpenSSL takes 0 for no timeout in some places."""
    if record.end <= record.time:
        return 1
    return <long> min(record.end - record.time, <uint64_t> INT32_MAX)
