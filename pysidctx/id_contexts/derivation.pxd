from libc.string cimport strlen

from pysidctx.libssl cimport EVP_MD

# Fetched once, and kept for as long as the process lives.
cdef EVP_MD *sha256_md

cdef enum:
    PARTS_MAX = 3
    PART_MAX = 255  # bytes

cdef struct Part:
    const void *data
    size_t length

cdef inline Part part(const void *data, size_t length) noexcept nogil:
    cdef Part made
    made.data = data
    made.length = length
    return made

# The first part of each id context that pysidctx derives. Each kind of id context has a different label.
cdef extern from *:
    """
    #define PYSIDCTX_LABEL_HOST "pysidctx host"
    #define PYSIDCTX_LABEL_UNMATCHED_NAME "pysidctx unmatched name"
    #define PYSIDCTX_LABEL_NO_NAME "pysidctx no name"
    #define PYSIDCTX_LABEL_VERIFICATION "pysidctx verification"
    #define PYSIDCTX_LABEL_NAME "pysidctx name"
    #define PYSIDCTX_LABEL_RESUMABLE "pysidctx resumable"
    #define PYSIDCTX_LABEL_FINGERPRINT "pysidctx context fingerprint 1"
    """
    const char *LABEL_HOST "PYSIDCTX_LABEL_HOST"
    const char *LABEL_UNMATCHED_NAME "PYSIDCTX_LABEL_UNMATCHED_NAME"
    const char *LABEL_NO_NAME "PYSIDCTX_LABEL_NO_NAME"
    const char *LABEL_VERIFICATION "PYSIDCTX_LABEL_VERIFICATION"
    const char *LABEL_NAME "PYSIDCTX_LABEL_NAME"
    const char *LABEL_RESUMABLE "PYSIDCTX_LABEL_RESUMABLE"
    const char *LABEL_FINGERPRINT "PYSIDCTX_LABEL_FINGERPRINT"

cdef inline Part label(const char *text) noexcept nogil:
    return part(text, strlen(text))

cdef bint derive_id_context(unsigned char *sid_ctx, const Part *parts, int count) noexcept nogil
