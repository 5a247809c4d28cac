from pysidctx.demands cimport Demands
from pysidctx.host_table cimport host_table
from pysidctx.libssl cimport SSL_MAX_SID_CTX_LENGTH
from pysidctx.listener cimport Listener

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

cdef bint derive(unsigned char *sid_ctx, const Part *parts, int count) noexcept nogil
cdef bint install(Listener *listener, host_table *table, const Demands *demands,
                  const unsigned char *fingerprint) noexcept nogil
cdef bint uninstall(Listener *listener, host_table *table) noexcept nogil
cdef bint is_installed(Listener *listener, const host_table *table) noexcept nogil
cdef bint is_routed(Listener *listener) noexcept nogil
cdef bint has_own_id_context(Listener *listener) noexcept nogil
