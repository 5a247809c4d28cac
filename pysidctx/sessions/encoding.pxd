from pysidctx.libssl cimport BIO, SSL_SESSION

cdef SSL_SESSION *session_from_der(const unsigned char *data, Py_ssize_t length) except NULL
cdef SSL_SESSION *session_from_pem(const unsigned char *data, Py_ssize_t length) except NULL
cdef bytes session_to_der(SSL_SESSION *session)
cdef BIO *session_to_pem(SSL_SESSION *session) except NULL
cdef Py_ssize_t text_of(BIO *bio, const unsigned char **text) noexcept
