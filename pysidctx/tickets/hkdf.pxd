cdef int derive_key(unsigned char *out, size_t length, const unsigned char *secret,
                    int secret_length, const unsigned char *salt, int salt_length,
                    const unsigned char *info, int info_length) noexcept nogil
