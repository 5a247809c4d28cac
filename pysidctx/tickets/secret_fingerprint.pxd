cdef enum:
    FINGERPRINT_LENGTH = 4  # bytes, as 8 hexadecimal digits

cdef int derive_fingerprint(unsigned char *out, const unsigned char *secret, size_t length) noexcept nogil
cdef str fingerprint_text(const unsigned char *fingerprint)
cdef str secret_fingerprint(const unsigned char *secret, size_t length)
cdef int log_loaded(str purpose, object path, str fingerprint) except -1
