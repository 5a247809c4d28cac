from pysidctx.id_contexts.client_verification cimport Demands
from pysidctx.libssl cimport SSL_MAX_SID_CTX_LENGTH
from pysidctx.lockfree.held_contexts cimport HeldContext

# What connections hold of an SSLContext, and what is its HostMap's own.
cdef struct HostContext:
    HeldContext held           # first: what disown_context() frees is this
    size_t entries
    bint idle                  # in the map's list of those that may be without entries
    HostContext *next_idle     # the one after it there
    Demands demands            # as they were when the fingerprint was taken
    unsigned char fingerprint[SSL_MAX_SID_CTX_LENGTH]

cdef class HostContexts:
    # What keeps the SSLContexts alive, where the garbage collector sees it: the address of each
    # HostContext with its SSLContext, the one that was put in (which may wrap it), and its key in
    # `addresses`.
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
