from pysidctx.id_contexts.client_verification cimport Demands
from pysidctx.libssl cimport SSL_MAX_SID_CTX_LENGTH
from pysidctx.lockfree.held_contexts cimport HeldContext

# An SSLContext in a HostMap: the part that connections hold, and the part that belongs to the map.
cdef struct HostContext:
    HeldContext held           # must be first, because disown_context() frees a pointer to it
    size_t entries
    bint idle                  # whether it is in the map's list of contexts that may have no entries
    HostContext *next_idle     # the next context in that list
    Demands demands            # the demands when the fingerprint was computed
    unsigned char fingerprint[SSL_MAX_SID_CTX_LENGTH]

cdef class HostContexts:
    # Keeps the SSLContexts alive, visibly for the garbage collector. It maps the address of each HostContext to its
    # SSLContext, the SSLContext that the user put in (which may wrap it), and its key in `addresses`.
    cdef dict held
    cdef dict addresses
    cdef HostContext *idle

    cdef HostContext *held_for(self, object given, object context, Demands demands,
                               bytes fingerprint) except NULL
    cdef HostContext *with_fingerprint(self, object context, dict known) except NULL
    cdef HostContext *without_fingerprint(self, object context) except NULL
    cdef void mark_idle(self, HostContext *held) noexcept
    cdef void release(self, HostContext *held) noexcept
    cdef int forget_idle(self) except -1
    cdef int forget(self, HostContext *held) except -1
    cdef object given(self, const HostContext *held)
    cdef list connecting(self)
