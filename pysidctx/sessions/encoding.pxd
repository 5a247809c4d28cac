from pysidctx.libssl cimport BIO, SSL_SESSION

cdef SSL_SESSION *session_from_der(const unsigned char *data, Py_ssize_t length) except NULL
cdef SSL_SESSION *session_from_pem(const unsigned char *data, Py_ssize_t length) except NULL
cdef bytes der_of(SSL_SESSION *session)
cdef BIO *pem_of(SSL_SESSION *session) except NULL
cdef Py_ssize_t text_of(BIO *bio, const unsigned char **text) noexcept
