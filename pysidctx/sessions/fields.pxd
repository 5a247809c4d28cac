from pysidctx.libssl cimport SSL_SESSION

cdef str protocol_of(SSL_SESSION *session)
cdef bint is_marked(SSL_SESSION *session) noexcept
cdef object refusal_of_marked()
cdef bint has_id_context(SSL_SESSION *session, const unsigned char *expected, Py_ssize_t expected_length) noexcept
cdef bytes id_context_of(SSL_SESSION *session)
cdef object certificate_of(SSL_SESSION *session)
