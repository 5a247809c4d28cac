cdef str secret_fingerprint(const unsigned char *secret, size_t length)
cdef int log_loaded(str purpose, object path, str fingerprint) except -1
