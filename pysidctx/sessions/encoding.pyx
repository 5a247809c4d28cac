"""Sessions as DER and PEM: what i2d_SSL_SESSION(3) writes, and the openssl program.

Each holds the secret of its session. Buffers of OpenSSL's are wiped when they are freed.
"""

from libc.limits cimport INT_MAX
from libc.string cimport strcmp

from pysidctx.exceptions import SessionError

from pysidctx.binding cimport bind_openssl
from pysidctx.der cimport der_of
from pysidctx.errors cimport check, check_pointer
from pysidctx.libssl cimport (
    BIO_free, BIO_get_mem_data, BIO_new, BIO_new_mem_buf, BIO_s_mem, ERR_clear_error, OPENSSL_clear_free, OPENSSL_free,
    PEM_read_bio, PEM_STRING_SSL_SESSION, PEM_write_bio, SSL_SESSION_free, SSL_SESSION_get_timeout, d2i_SSL_SESSION,
    i2d_of_void, i2d_SSL_SESSION,
)
from pysidctx.openssl_compat cimport SSL_SESSION_get_time

bind_openssl()

# The largest values, in seconds, that datetime and timedelta can represent.
cdef long long TIME_MAX = 253402300799
cdef long long TIMEOUT_MAX = 86399999913600


cdef SSL_SESSION *session_from_der(const unsigned char *data, Py_ssize_t length) except NULL:
    """Decode one session, without any data after it. The caller owns the reference. Raises SessionError."""
    cdef const unsigned char *end = data
    cdef SSL_SESSION *session = d2i_SSL_SESSION(NULL, &end, length)
    if session is NULL:
        ERR_clear_error()
        raise SessionError(
            f"these {length} bytes are not a session in DER format: pass the bytes that to_der() has returned")
    if end - data != length:
        SSL_SESSION_free(session)
        raise SessionError(f"{length - (end - data)} extra bytes follow the session: pass only those of the session")
    if not (0 <= SSL_SESSION_get_time(session) <= TIME_MAX
            and 0 <= SSL_SESSION_get_timeout(session) <= TIMEOUT_MAX):
        SSL_SESSION_free(session)
        raise SessionError("this session's time or timeout is out of range: establish a new session")
    return session


cdef bytes session_to_der(SSL_SESSION *session):
    return der_of(<i2d_of_void *> i2d_SSL_SESSION, session, b"i2d_SSL_SESSION()")


cdef SSL_SESSION *session_from_pem(const unsigned char *data, Py_ssize_t length) except NULL:
    """Like session_from_der(), but decode the only PEM block in `data`. Text may precede it."""
    if length > INT_MAX:
        raise SessionError(f"{length} bytes are too long for a session: pass only the PEM block of one session")
    cdef BIO *bio = <BIO *> check_pointer(BIO_new_mem_buf(data, <int> length),
                                          b"BIO_new_mem_buf()")
    try:
        return session_from_bio(bio)
    finally:
        BIO_free(bio)


cdef SSL_SESSION *session_from_bio(BIO *bio) except NULL:
    cdef char *name = NULL
    cdef char *header = NULL
    cdef unsigned char *data = NULL
    cdef long length = 0
    if not PEM_read_bio(bio, &name, &header, &data, &length):
        ERR_clear_error()
        raise SessionError("there is no complete PEM block: pass the text that to_pem() has returned")
    try:
        if strcmp(name, PEM_STRING_SSL_SESSION) != 0:
            raise SessionError(f"this PEM block is not labelled {PEM_STRING_SSL_SESSION.decode()}: pass the text that "
                               "to_pem() has returned")
        if header[0] != 0:
            raise SessionError("this PEM block is encrypted or has headers: pass a block without headers")
        refuse_more(bio)
        return session_from_der(data, length)
    finally:
        OPENSSL_clear_free(data, length)
        OPENSSL_free(header)
        OPENSSL_free(name)


cdef int refuse_more(BIO *bio) except -1:
    cdef const unsigned char *rest
    cdef Py_ssize_t i, length = text_of(bio, &rest)
    for i in range(length):
        if rest[i] not in b" \t\r\n":
            raise SessionError(f"{length - i} extra bytes follow the session's PEM block: pass only the block")
    return 0


cdef BIO *session_to_pem(SSL_SESSION *session) except NULL:
    """Return a new BIO with the text for text_of(). BIO_free() overwrites it."""
    cdef unsigned char *data = NULL
    cdef int length = check(i2d_SSL_SESSION(session, &data), b"i2d_SSL_SESSION()")
    cdef BIO *bio = NULL
    try:
        bio = <BIO *> check_pointer(BIO_new(BIO_s_mem()), b"BIO_new()")
        check(PEM_write_bio(bio, PEM_STRING_SSL_SESSION, b"", data, length), b"PEM_write_bio()")
    except BaseException:
        BIO_free(bio)
        raise
    finally:
        OPENSSL_clear_free(data, length)
    return bio


cdef Py_ssize_t text_of(BIO *bio, const unsigned char **text) noexcept:
    """Return the length of the data in a memory BIO, and set `text` to it. The BIO owns it until it is freed."""
    cdef char *data = NULL
    cdef Py_ssize_t length = BIO_get_mem_data(bio, &data)
    text[0] = <const unsigned char *> data
    return length
