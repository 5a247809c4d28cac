cdef int raise_queued(const char *call) except -1 nogil

cdef inline int check(int result, const char *call) except -1 nogil:
    """Return `result` of an OpenSSL call named `call`; 0 and less raise Error."""
    if result <= 0:
        raise_queued(call)
    return result

cdef inline void *check_pointer(void *result, const char *call) except NULL nogil:
    """Return the pointer that an OpenSSL call named `call` made; NULL raises Error."""
    if result is NULL:
        raise_queued(call)
    return result
