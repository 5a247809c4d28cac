from pysidctx.handshake.host_names cimport HOST_NAME_MAX

cdef struct Pattern:
    size_t length
    unsigned char text[HOST_NAME_MAX]

cdef int read_pattern(Pattern *pattern, object name) except -1
